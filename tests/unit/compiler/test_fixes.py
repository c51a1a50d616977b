"""The fixes that the compiler's checks suggest correct the file; and positions in a text that is not saved."""

from pathlib import Path

import pytest

from osiris.api.opening import open_project
from osiris.api.pipelines import validate_file
from osiris.oml.fix import apply_fix

TEXT = """\
oml_version: "0.1.0"
name: x
steps:
  - id: load
    component: duckdb.extractor
    mode: read
    config: {connection: "@duckdb.lake", table: orders}
  - id: sums
    component: duckdb.processor
    mode: transform
    needs: [load]
    config:
      query: |
        SELECT a
        FROM load
  - id: save
    component: filesystem.csv_writer
    mode: write
    needs: [sums]
    config: {path: output/x.csv}
"""
CONNECTIONS = "connections:\n  duckdb:\n    lake: {path: a.duckdb}\n"


@pytest.fixture
def check(tmp_path):
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)
    workspace = open_project(tmp_path, {})
    return lambda text: validate_file(workspace, Path(tmp_path / "x.yaml"), params={}, text=text)


MISTAKES = [
    ("@duckdb.lake", "@lake", "CMP008", 7),
    ("duckdb.extractor", "duckdb.reader", "CMP001", 5),
    ("filesystem.csv_writer", "filesystem.csv_writr", "CMP001", 17),
]


@pytest.mark.parametrize(("good", "bad", "code", "line"), MISTAKES, ids=[bad for _, bad, _, _ in MISTAKES])
def test_a_mistake_is_placed_and_mended(check, good, bad, code, line):
    text = TEXT.replace(good, bad)
    found = [d for d in check(text).diagnostics if d.severity == "error"]
    assert [(d.code, d.location.line) for d in found[:1]] == [(code, line)]
    assert check(apply_fix(text, found[0])).ok


UNSURE = [
    ("FROM load", "FROM load; DROP TABLE load", "SQL002"),
    ("@duckdb.lake", "@duckdb.laek", "CON003"),
    ("@duckdb.lake", "@mysql.lake", "CMP008"),
    ("needs: [sums]", "needs: []", "CMP004"),
    ("mode: transform", "mode: write", "CMP003"),
    ("mode: read", "mode: write", "CMP003"),
    ("SELECT a", "SELECT a, nobody(a)", "SQL005"),
    ("SELECT a", "SELECT uper(a)", "SQL005"),
    ("SELECT a", "SELECT a,, b", "SQL001"),
    ("FROM load", "FROM laod", "SQL006"),
]


@pytest.mark.parametrize(("good", "bad", "code"), UNSURE, ids=[bad for _, bad, _ in UNSURE])
def test_what_may_be_meant_in_two_ways_is_left_to_people(check, good, bad, code):
    found = [d for d in check(TEXT.replace(good, bad, 1)).diagnostics if d.severity == "error"]
    assert code in [d.code for d in found]
    assert not any(d.fix for d in found)


def test_a_field_that_a_connection_does_not_have_is_found(check, tmp_path):
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS.replace("path:", "pathh:"))
    (found,) = (d for d in check(TEXT).diagnostics if d.severity == "error")
    assert (found.code, found.location.file, found.location.line) == ("CON008", "osiris_connections.yaml", 3)
    path = tmp_path / "osiris_connections.yaml"
    path.write_text(apply_fix(path.read_text(), found))
    assert check(TEXT).ok
