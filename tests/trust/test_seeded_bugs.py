"""The tests test something: each of these bugs, put into a copy of the code, turns the test that it names red.

A copy has an environment of its own, so that the worker processes run it too: they take nothing from variables.
"""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from tests.chance import say_tried

TREE = Path(__file__).parents[2]
SEEDS = sorted(Path(__file__).with_name("seeds").glob("*.toml"))
KEYS = {"title", "file", "find", "replace", "test"}
COPIED = ("src", "tests", "bench", "docs", "tools", "pyproject.toml", "requirements.lock", "README.md", "CHANGELOG.md")
FAILED = 1
"""Exit status of pytest when tests ran and some failed; a test that cannot be found or read ends otherwise."""


@pytest.fixture(params=SEEDS, ids=lambda path: path.stem)
def bug(request):
    return tomllib.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the code and its tests, and an environment that has this copy and the same packages."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = TREE / name
        if source.is_dir():
            measured = ("data",) if name == "bench" else ()  # elsewhere folders of that name belong to the code
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "seeds", *measured))
        else:
            shutil.copy(source, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = next((folder / ".venv").glob("lib/python*/site-packages"))
    # Paths of a .pth file are not searched for further ones, so the tree that is installed here stays out.
    (packages / "copy.pth").write_text(f"{folder / 'src'}\n{sysconfig.get_paths()['purelib']}\n")
    script = folder / ".venv" / "bin" / "osiris"
    script.write_text(f"#!{folder}/.venv/bin/python\nimport sys\nfrom osiris.cli.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return folder


def test_each_bug_is_one_change_that_a_test_of_ours_is_to_find(bug):
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
    found = done.stdout
    assert "\nERROR " not in found, f"{bug['title']}: the test could not run\n{found[-2000:]}"
