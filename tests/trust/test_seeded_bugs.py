"""The tests detect bugs: each of these bugs, put into a copy of the code, makes the test that it names fail.

A copy has its own environment, so that the worker processes run it too: they ignore environment variables.
"""

import subprocess
import tomllib
from pathlib import Path

import pytest
from tests.chance import say_tried

TREE = Path(__file__).parents[2]
SEEDS = sorted(Path(__file__).with_name("seeds").glob("*.toml"))
KEYS = {"title", "file", "find", "replace", "test"}
FAILED = 1
"""Exit status of pytest when tests ran and some failed; a test that cannot be found or read ends otherwise."""


def read(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(params=SEEDS, ids=lambda path: path.stem)
def bug(request):
    return read(request.param)


def test_each_bug_is_one_change_that_a_test_of_ours_is_to_find():
    """One test of all, as a sample of the cases would leave some out."""
    for bug in map(read, SEEDS):
        assert set(bug) == KEYS
        text = (TREE / "src" / "osiris" / bug["file"]).read_text(encoding="utf-8")
        assert text.count(bug["find"]) == 1, f"{bug['file']} has it {text.count(bug['find'])} times: {bug['find']}"
        assert bug["find"] != bug["replace"]
        path, _, name = bug["test"].partition("::")
        assert (TREE / path).is_file()
        assert f"def {name.split('[')[0]}(" in (TREE / path).read_text(encoding="utf-8") if name else True


@pytest.mark.trust
def test_each_bug_turns_its_test_red(bug, copy):
    path = copy / "src" / "osiris" / bug["file"]
    before = path.read_text(encoding="utf-8")
    command = [
        copy / ".venv/bin/python",
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-m",
        "not long",
        bug["test"],
    ]
    path.write_text(before.replace(bug["find"], bug["replace"]), encoding="utf-8")
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    finally:
        path.write_text(before, encoding="utf-8")
    say_tried("bugs put into a copy of the code, each found by a test", 1)
    assert done.returncode == FAILED, f"{bug['title']}: not found\n{done.stdout[-2000:]}"
    found = done.stdout  # a test that fails may also leave what its fixtures do not like
    assert "\nFAILED " in found, f"{bug['title']}: the test could not run\n{found[-2000:]}"
