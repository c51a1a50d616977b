"""The compiled modules of sqlglot, which another tool may have installed beside Osiris."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
import sqlglot

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from osiris.errors import OsirisError
from osiris.sql.check_text import check
try:
    print(check("SELECT 1 AS one", "duckdb", relations=None))
except OsirisError as error:
    print(error.diagnostics[0], error.diagnostics[0].hint)
"""


@pytest.mark.long  # the package is 18 MB, of the registry
def test_compiled_modules_are_named_with_the_line_that_removes_them(tmp_path):
    package = f"sqlglotc=={version('sqlglot')}"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path), package]
    subprocess.run(download, check=True, timeout=300)
    shutil.copytree(Path(sqlglot.__file__).parent, tmp_path / "both" / "sqlglot")
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "both")
    words = [sys.executable, "-c", PROGRAM, str(tmp_path / "both")]
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=100).stdout
    assert "SQL033" in said
    assert "pip uninstall sqlglotc" in said
