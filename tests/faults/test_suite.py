"""Another author's package is tested by the suite that it inherits: three lines, run as its author would."""

import subprocess

import pytest

TESTS = """\
from osiris.testing import Case, suite

test_numbers = suite("strange.numbers")
test_passing = suite("strange.passing")
test_writer = suite("strange.file_writer")
test_liar = suite("strange.file_writer", Case({"path": "x.txt", "lose": 1}))
"""


@pytest.fixture(scope="module")
def told(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_strange.py").write_text(TESTS)
    command = [python, "-I", "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "test_strange.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300).stdout


@pytest.mark.parametrize("name", ["test_numbers", "test_passing", "test_writer"])
def test_what_is_promised_holds(told, name):
    lines = [line for line in told.splitlines() if line.startswith(f"test_strange.py::{name}[")]
    assert any("[does what its spec says] PASSED" in line for line in lines), told
    assert all(" PASSED " in line or " SKIPPED " in line for line in lines), told
    assert sum(" PASSED " in line for line in lines) > 5


def test_a_lie_is_told(told):
    assert (
        "REG005 component 'strange.file_writer' fails the test 'accounts for every row': it took 7 rows, wrote 6"
        in told
    )


def test_what_needs_a_case_is_skipped_and_says_so(told):
    assert "REG006 component 'strange.numbers': behaviours not tested: keeps every value; add a test case" in told
