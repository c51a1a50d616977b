"""The reliability tests run what they claim, and their page keeps the results of other runs."""

from pathlib import Path

import pytest
from bench.trust.__main__ import page
from bench.trust.kinds import KINDS

TREE = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_kind_names_tests_that_are_there(kind):
    assert [name for name in kind.tests if not (TREE / name).exists()] == []


def test_a_run_of_one_kind_replaces_the_rows_of_that_kind_and_size_alone():
    text = page("", "kills", ["| kills | small |\n"], long=False)
    text = page(text, "bugs", ["| bugs | small |\n"], long=False)
    text = page(text, "kills", ["| kills | large |\n", "| kills | **failed** |\n"], long=True)
    text = page(text, "kills", ["| kills | newer |\n"], long=False)
    lines = [line for line in text.splitlines() if line.startswith(("## ", "| kills", "| bugs"))]
    assert [line[:16] for line in lines] == [
        "## Small N: `mak",
        "| bugs | small |",
        "| kills | newer ",
        "## Large N: `mak",
        "| kills | large ",
        "| kills | **fail",
    ]
