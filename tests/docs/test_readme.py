"""The README does what it says: followed from top to bottom in a fresh folder, as a newcomer would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.yaml)\n")
ENDS = re.compile(r"^(osiris .*?) +#.*exit code (\d+)$", re.MULTILINE)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def texts(language):
    return [text for kind, text in BLOCKS if kind == language]


def script():
    """What a reader types: commands as they stand, and a file for each YAML block.

    A command whose comment ends with `exit code N` must end so, and every other one with 0.
    """
    for language, text in BLOCKS:
        if language == "sh":
            yield ENDS.sub(r'code=0; \1 || code=$?; test "$code" = \2', text)
        if language == "yaml":
            path = FILE.match(text)[1]
            yield f"cat > {path} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"


@pytest.fixture(scope="module")
def followed(tmp_path_factory, e2b):
    folder = tmp_path_factory.mktemp("readme")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        **e2b.environment,
    }
    return subprocess.run(
        ["bash", "-xeuo", "pipefail", "-c", "".join(script())],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_every_block_says_what_it_is():
    assert {language for language, _ in BLOCKS} <= {"sh", "make", "yaml", "text"}
    assert all(map(FILE.match, texts("yaml")))


def test_every_pipeline_is_run():
    paths = [FILE.match(text)[1] for text in texts("yaml")]
    run = re.findall(r"^osiris run (\S+)", "".join(texts("sh")), re.MULTILINE)
    assert {path for path in paths if path.startswith("pipelines/")} <= set(run)


def test_the_page_can_be_followed(followed):
    assert followed.returncode == 0, followed.stdout + followed.stderr


def test_what_is_shown_is_printed(followed):
    printed = {line.rstrip() for line in (followed.stdout + followed.stderr).splitlines()}
    assert [line for text in texts("text") for line in text.splitlines() if line.rstrip() not in printed] == []


def test_make_blocks_name_real_doors():
    commands = [line for text in texts("make") for line in text.splitlines()]
    assert commands
    for command in commands:
        target = command.split()[1]
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
