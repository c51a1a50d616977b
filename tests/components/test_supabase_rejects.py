"""Rows of Supabase that cannot be carried or that its tables reject: quarantined as far as possible, and named."""

import csv
import json

import pyarrow as pa
import pytest
from tests.servers import start_postgrest

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing.trial import Trial, rows_of, table_of

REGISTRY = load_registry()
KEEP = {"on_reject": "quarantine"}
ROWS = pa.table({"id": pa.array([1, 2, 3, 4, 5], pa.int32()), "name": ["a", None, "c", "dddd", "e"]})


@pytest.fixture(scope="module")
def project(postgres):
    with start_postgrest(postgres.fields(postgres.new_database()), max_rows=2) as server:
        yield server


@pytest.fixture
def step(project, postgres, tmp_path):
    """`step("writer", "rest", …)` returns a step over REST or over the wire protocol; the table `t` is empty."""
    project.run("DROP TABLE IF EXISTS t, _osiris_ledger")
    project.run("CREATE TABLE t (id int PRIMARY KEY CHECK (id <> 3), name text NOT NULL, at date)")
    fields = postgres.fields(project.rows("SELECT current_database()")[0][0])
    ways = {
        "rest": {"url": project.url, "key": Secret(project.service_key)},
        "wire": {**fields, "password": Secret(fields["password"])},
    }

    def make(kind, way, **config):
        return Trial(REGISTRY, f"supabase.{kind}", tmp_path, {"table": "t", **config}, ways[way])

    return make


def refused(call, *args):
    with pytest.raises(OsirisError) as caught:
        call(*args)
    (found,) = caught.value.diagnostics
    return found.code, found.message


def rejected(trial):
    with (trial.root / ".step" / "artifacts" / "rejected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_over_the_wire_rows_that_a_table_refuses_are_set_aside(step, project, mode):
    trial = step("writer", "wire", write_mode=mode, primary_key="id", max_cell_bytes=3).changed(**KEEP)
    written = trial.write(rows_of(ROWS))
    assert (written.rows, written.rejected) == (2, 3)
    found = rejected(trial)
    assert sorted((row["row"], json.loads(row["value"])["id"]) for row in found) == [("2", 2), ("3", 3), ("4", 4)]
    assert all(row["reason"] for row in found)
    assert project.rows("SELECT id, name FROM t ORDER BY 1") == [(1, "a"), (5, "e")]
    assert ("rows_quarantined", {"file": "rejected.csv", "rows": 3}) in trial.emitted


def test_over_rest_a_writer_sets_nothing_aside_and_says_so_first(step, project):
    before = len(project.requests)
    for call in (lambda t: t.check(rows_of(ROWS).schema), lambda t: t.confirm(rows_of(ROWS).schema)):
        code, message = refused(call, step("writer", "rest").changed(**KEEP))
        assert (code, "on_reject: quarantine" in message) == ("DRV024", True)
    assert project.requests[before:] == []


@pytest.mark.parametrize("way", ["rest", "wire"])
def test_a_cell_that_is_too_large_names_its_row(step, project, way):
    code, message = refused(step("writer", way, max_cell_bytes=3).write, rows_of(ROWS.slice(3), 1))
    assert code == "DAT015"
    assert "'name': a value of 4 bytes in row 1 cannot be written: max_cell_bytes is 3" in message
    assert project.rows("SELECT count(*) FROM t") == [(0,)]
    assert refused(step("writer", way, max_cell_bytes=4).write, rows_of(ROWS, 2))[0] != "DAT015"


FULL = "INSERT INTO t VALUES (1, 'a', '2024-01-01'), (2, 'b', 'infinity'), (4, 'dddd', NULL), (5, 'e', '0044-03-15 BC')"


@pytest.mark.parametrize("way", ["rest", "wire"])
@pytest.mark.parametrize("order", [None, "id.desc"])
def test_what_cannot_be_read_is_set_aside_whichever_way_it_comes(step, project, way, order):
    project.run(FULL)
    config = {"limit": 2, "order": order} if order else {}
    trial = step("extractor", way, max_cell_bytes=3, **config).changed(**KEEP)
    given = table_of(trial.read()).to_pylist()
    expected = [] if order else [1]
    assert [row["id"] for row in given] == expected
    lines = {(row["row"], row["column"], row["file"], row["line"]) for row in rejected(trial)}
    aside = [("1", "at"), ("2", "name")] if order else [("2", "at"), ("3", "name"), ("4", "at")]
    assert lines == {(*each, "", "") for each in aside}
    assert (trial.counts["rows_read"], trial.counts["rows_rejected"]) == (len(given) + len(aside), len(aside))
    assert not any(event == "source_moved" for event, _ in trial.emitted)


@pytest.mark.parametrize("way", ["rest", "wire"])
def test_what_cannot_be_read_fails_the_step_with_its_row(step, project, way):
    project.run(FULL)
    config = {"columns": ["id", "name"], "max_cell_bytes": 3}
    assert "'name', row 3: a value of 4 bytes" in refused(table_of, step("extractor", way, **config).read())[1]
    code, message = refused(table_of, step("extractor", way, columns=["id", "at"]).read())
    assert (code, "'at', row 2:" in message) == ("DAT031", True)
