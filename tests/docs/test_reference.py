"""The reference matches the program, and tests trigger every code in it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from osiris.codes import CODES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HERE = Path(__file__)


def test_the_pages_are_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "tools" / "docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_is_not_up_to_date_is_named_and_mended(tmp_path):
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "docs.py"
    script.write_bytes((ROOT / "tools" / "docs.py").read_bytes())
    check = [sys.executable, script, "--check"]
    refused = subprocess.run(check, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "docs/errors/README.md is not up to date" in refused.stdout
    assert subprocess.run([sys.executable, script], capture_output=True).returncode == 0
    assert subprocess.run(check, capture_output=True).returncode == 0
    for page in ("errors/README.md", "errors/oml.md", "reference/components.md", "reference/cli.md"):
        assert (tmp_path / "docs" / page).read_bytes() == (DOCS / page).read_bytes()


def files_of_tests():
    """Yield all files of tests except this one and other people's files."""
    for folder, folders, names in os.walk(ROOT / "tests"):
        folders[:] = {*folders} - {"node_modules", "__pycache__"}
        yield from (Path(folder, name) for name in names if Path(folder, name) != HERE)


def test_every_code_is_provoked_somewhere():
    texts = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files_of_tests())
    assert [code for code in CODES if code not in texts] == []


def test_every_exit_code_is_explained():
    page = (DOCS / "errors" / "README.md").read_text(encoding="utf-8")
    for number in {row.exit_code for row in CODES.values()}:
        assert f"| {number} | " in page


def test_the_guide_has_the_same_exit_codes():
    codes = re.compile(r"^\| (\d+) \| ", re.MULTILINE)
    pages = (DOCS / "errors" / "README.md", DOCS / "guide" / "operations.md")
    reference, guide = (codes.findall(page.read_text(encoding="utf-8")) for page in pages)
    assert guide == reference


def test_every_command_is_documented(osiris, tmp_path):
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    todo = [()]
    leaves = []
    while todo:
        words = todo.pop()
        done = osiris(*words, "--help", "--json", cwd=tmp_path)
        inner = json.loads(done.stdout)["data"]["commands"]
        todo += [(*words, name) for name in inner]
        leaves += [] if inner else [" ".join(("osiris", *words))]
    assert len(leaves) > 10
    assert [leaf for leaf in leaves if f"## {leaf}\n" not in page] == []
