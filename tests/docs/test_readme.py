"""The README does what it says: every code block of it is executed, in order, in one fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {name: BLOCK.findall((ROOT / name).read_text(encoding="utf-8")) for name in ("README.md",)}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page):
    assert {language for language, _ in PAGES[page]} <= {"sh", "make", "yaml"}


@pytest.mark.parametrize("page", PAGES)
def test_shell_blocks_run(page, tmp_path):
    """YAML blocks are what the shell block before them works on, so they must stand in the folder it made."""
    script = "\n".join(text for language, text in PAGES[page] if language == "sh")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_make_blocks_name_real_doors(page):
    commands = [line for language, text in PAGES[page] if language == "make" for line in text.splitlines()]
    assert commands
    for command in commands:
        target = command.split()[1]
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_yaml_blocks_are_pipelines_that_run_in_a_new_project(page, tmp_path, osiris):
    for index, (_, text) in enumerate(block for block in PAGES[page] if block[0] == "yaml"):
        folder = tmp_path / str(index)
        osiris("init", folder, cwd=tmp_path)
        (folder / "pipelines" / "readme.yaml").write_text(text, encoding="utf-8")
        done = osiris("run", "pipelines/readme.yaml", cwd=folder)
        assert done.returncode == 0, done.stderr
