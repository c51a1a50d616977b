"""What is to be installed is named by the libraries' own names, as the project's file has them."""

import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from osiris.codes import CODES
from osiris.distribution import install_command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["chat", "e2b", "mcp"])
def test_libraries_have_their_own_names(extra):
    words = shlex.split(install_command(extra))
    assert words[:2] == ["pip", "install"]
    assert [Requirement(word) for word in words[2:]] == [Requirement(text) for text in EXTRAS[extra]]


def test_no_text_names_an_extra_of_another_distribution():
    texts = [(ROOT / "README.md").read_text("utf-8"), *(str(code) for code in CODES.values())]
    assert not any("osiris[" in text or "install osiris" in text for text in texts)
