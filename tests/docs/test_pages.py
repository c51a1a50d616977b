"""README and guide are true: each page is followed from top to bottom, like a newcomer would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import FILE, GUIDE, PAGES, README, ROOT, TESTED_ELSEWHERE, TUTORIALS
from tests.strangers import shell_of_author

BIN = Path(sys.executable).parent
FORKED = """\
#!{python} -IS
import sys
sys.path.insert(0, {root!r})
from tests.forked import run_in_place
sys.exit(run_in_place({address!r}, sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def commands(forked, tmp_path_factory):
    """The folder that has osiris for pages of the guide: forked, or with `--installed` the console script."""
    if forked is None:
        return BIN
    folder = tmp_path_factory.mktemp("bin")
    (folder / "osiris").write_text(FORKED.format(python=sys.executable, root=str(ROOT), address=forked.address))
    (folder / "osiris").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project in which each page of the guide starts."""
    folder = tmp_path_factory.mktemp("new") / "shop"
    subprocess.run([BIN / "osiris", "init", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=[*PAGES, *TUTORIALS], ids=lambda page: page.path.stem)
def page(request):
    return request.param


@pytest.fixture(scope="module")
def folder(page, tmp_path_factory):
    """The folder in which a page is followed."""
    return tmp_path_factory.mktemp(page.path.stem) / "here"


@pytest.fixture(scope="module")
def followed(page, folder, project, commands, request):
    """The output of the commands of a page; README starts in a checkout, where osiris is not on the PATH."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    if page is README:
        folder.mkdir()
        (folder / ".venv").symlink_to(sys.prefix)
    else:
        shutil.copytree(project, folder)
        environment["PATH"] = f"{commands}:{BIN}:{environment['PATH']}"
    if page in TUTORIALS:
        environment |= shell_of_author(folder.parent / "venv")
    if "--e2b" in page.script:
        environment |= request.getfixturevalue("e2b").environment
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", page.script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_page_can_be_followed(followed):
    assert followed.returncode == 0, followed.stdout


def test_what_is_shown_is_printed(page, followed):
    assert page.not_printed(followed.stdout) == [], followed.stdout


def test_every_block_says_what_it_is(page):
    assert {language for language, _ in page.blocks} <= {"sh", "make", "yaml", "toml", "python", "lua", "text"}
    assert all(FILE.match(text) for language, text in page.blocks if language in ("yaml", "toml"))


def test_every_pipeline_is_run(page):
    commands = "".join(text for language, text in page.blocks if language == "sh")
    run = re.findall(r"^osiris run (?:--\S+ )*(\S+)", commands, re.MULTILINE)
    assert {path for path in page.files if path.startswith("pipelines/")} <= {*run}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.path.stem, indirect=True)
def test_shown_code_passes_the_checks_of_ours(page, folder, followed):
    files = [path for path in page.files if path.endswith(".py")]
    settings = ("--config", ROOT / "pyproject.toml")
    as_here = ("--config", "lint.isort.known-first-party=['osiris']", "--ignore=INP001,S101")  # as files of tests
    for command in (
        ("ruff", "format", "--diff", *settings),
        ("ruff", "check", *settings, *as_here),
        ("mypy", "--config-file", settings[1], "--cache-dir", folder.parent.parent / "mypy"),
    ):
        done = subprocess.run([BIN / command[0], *command[1:], *files], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_is_the_one_of_a_new_project(project):
    path = "pipelines/example.yaml"
    assert README.files[path] == (project / path).read_text("utf-8")


def test_make_blocks_name_real_targets():
    commands = [line for language, text in README.blocks if language == "make" for line in text.splitlines()]
    assert commands[:2] == ["make demo", "make test"]
    for command in commands:
        done = subprocess.run(["make", "--dry-run", command.split()[1]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_readme_is_short():
    assert len(README.path.read_text("utf-8").splitlines()) <= 220


def test_pages_that_are_not_followed_are_few():
    assert {path.name for path in GUIDE.glob("*.md")} - {page.path.name for page in PAGES} <= {*TESTED_ELSEWHERE}
