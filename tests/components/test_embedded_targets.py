"""Writers of databases in a file: no row is lost silently, the ledger is no valid target, targets can be checked."""

import sqlite3
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pytest

from osiris.components.duckdb_writer import driver as duckdb_writer
from osiris.components.sqlite_writer import driver as sqlite_writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.table import stream
from osiris.types import schema_of

WRITERS = {"duckdb": duckdb_writer, "sqlite": sqlite_writer}
CLIENTS = {"duckdb": duckdb.connect, "sqlite": sqlite3.connect}
ROWS = pa.table({"k": ["a", "b"], "v": [1, 2]})
TWINS = pa.table({"k": ["a", "A"], "v": [1, 2]})


class Place:
    """A database of one family: `write` and `confirm` call the writer, `sql` changes the database from outside."""

    def __init__(self, family, root):
        self.writer, self.connect = WRITERS[family], CLIENTS[family]
        self.path = root / "store.db"
        self.ctx = StepContext("load", root, root, root / "scratch", {"path": "store.db"}, run_key="p/1", plan="f")

    def write(self, rows, table="t", size=None, **config):
        source = stream(schema_of(rows.schema), rows.to_batches(size), "fixed")
        return self.writer.Driver().write(self.writer.Config(table, **config), source, self.ctx)

    def confirm(self, rows=ROWS, table="t", **config):
        return self.writer.Driver().confirm(self.writer.Config(table, **config), schema_of(rows.schema), self.ctx)

    def check(self, table):
        return self.writer.Driver().check(self.writer.Config(table), schema_of(ROWS.schema), self.ctx)

    def carries(self, rows):
        """Return whether the writer accepts such columns; otherwise it rejects them with CMP012."""
        try:
            self.writer.Driver().check(self.writer.Config("t"), schema_of(rows.schema), self.ctx)
        except OsirisError as error:
            codes = {problem.code for problem in error.diagnostics}
            return bool(codes - {"CMP012"})
        return True

    def sql(self, *texts):
        client = self.connect(str(self.path))
        try:
            found = [client.execute(text).fetchall() for text in texts]
            client.commit()
            return found[-1]
        finally:
            client.close()


@pytest.fixture(params=WRITERS)
def place(request, tmp_path):
    return Place(request.param, tmp_path)


@pytest.fixture
def app(tmp_path):
    return Place("sqlite", tmp_path)


def refused(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return SimpleNamespace(
        codes=[found.code for found in caught.value.diagnostics],
        text="\n".join(found.message for found in caught.value.diagnostics),
    )


@pytest.mark.parametrize("table", ["_osiris_ledger", "_OSIRIS_LEDGER", "_Osiris_other", "", "t\x00", "t\n"])
def test_tables_of_ours_and_names_that_cannot_be_told_are_no_targets(place, table):
    place.write(ROWS)
    assert refused(place.check, table).codes == ["OML045"]
    assert refused(place.confirm, table=table).codes == ["OML045"]
    assert refused(place.write, ROWS, table, write_mode="replace").codes == ["OML045"]
    assert place.sql("SELECT count(*) FROM _osiris_ledger") == [(1,)]


ITEMS = {
    **{f"time[{unit}]": pa.time32(unit) for unit in ("s", "ms")},
    **{f"time[{unit}]": pa.time64(unit) for unit in ("us", "ns")},
    **{f"timestamp[{unit}]": pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
    **{f"timestamp[{unit},UTC]": pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")},
    **{str(kind): kind for kind in (pa.int8(), pa.uint64(), pa.float32(), pa.bool_(), pa.utf8(), pa.binary())},
    **{str(kind): kind for kind in (pa.date32(), pa.decimal128(5, 2))},
}


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("name", ITEMS)
def test_a_table_that_was_made_for_rows_takes_such_rows_again(place, name, depth):
    kind = ITEMS[name]
    for _ in range(depth):
        kind = pa.list_(kind)
    rows = pa.table({"x": pa.nulls(2, kind)})
    if place.carries(rows):
        place.write(rows)
        assert place.confirm(rows) == "there"


@pytest.mark.parametrize("size", [None, 1])
def test_keys_that_the_target_takes_for_one_are_refused(place, size):
    place.sql("CREATE TABLE t (k VARCHAR COLLATE NOCASE PRIMARY KEY, v INT8)", "INSERT INTO t VALUES ('z', 0)")
    found = refused(place.write, TWINS, size=size, write_mode="upsert", primary_key=["k"])
    assert found.codes == ["DAT028"]
    assert "appears in 2 rows" in found.text
    assert place.sql("SELECT k, v FROM t") == [("z", 0)]


def test_keys_far_from_each_other_are_refused_too(place):
    """Each of them is in a different statement or batch, which does not see the other."""
    place.sql("CREATE TABLE t (k VARCHAR COLLATE NOCASE PRIMARY KEY, v INT8)")
    many = pa.table({"k": ["a", *map(str, range(20_000)), "A"], "v": range(20_002)})
    assert refused(place.write, many, write_mode="upsert", primary_key=["k"]).codes == ["DAT028"]
    assert place.sql("SELECT count(*) FROM t") == [(0,)]


def test_a_row_takes_the_place_of_one_with_an_equal_key_as_it_is(place):
    place.sql("CREATE TABLE t (k VARCHAR COLLATE NOCASE PRIMARY KEY, v INT8)", "INSERT INTO t VALUES ('A', 0)")
    assert place.write(ROWS, write_mode="upsert", primary_key=["k"]).rows == 2
    assert place.sql("SELECT k, v FROM t ORDER BY v") == [("a", 1), ("b", 2)]


def test_keys_are_compared_as_by_the_index_of_the_key(app):
    app.sql("CREATE TABLE t (k TEXT, v INTEGER)", "CREATE UNIQUE INDEX by_k ON t (k COLLATE NOCASE)")
    assert refused(app.write, TWINS, write_mode="upsert", primary_key=["k"]).codes == ["DAT028"]
    app.sql("CREATE TABLE plain (k TEXT PRIMARY KEY, v INTEGER)")
    app.ctx = StepContext("other", app.ctx.root, app.ctx.artifacts, app.ctx.scratch, app.ctx.connection)
    assert app.write(TWINS, "plain", write_mode="upsert", primary_key=["k"]).rows == 2


@pytest.mark.parametrize("action", ["IGNORE", "REPLACE", "FAIL", "ROLLBACK"])
def test_what_a_table_says_of_conflicts_loses_no_rows(app, action):
    app.sql(
        f"CREATE TABLE t (k TEXT PRIMARY KEY ON CONFLICT {action}, v INTEGER UNIQUE ON CONFLICT {action})",
        "INSERT INTO t VALUES ('a', 9)",
    )
    assert refused(app.write, ROWS).codes == ["DAT032"]
    two = pa.table({"k": ["x", "y"], "v": [9, 9]})
    assert refused(app.write, two, write_mode="upsert", primary_key=["k"]).codes == ["DAT032"]
    assert refused(app.write, two, write_mode="replace").codes == ["DAT032"]
    assert app.sql("SELECT * FROM t") == [("a", 9)]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize(
    "trigger",
    [
        "BEFORE INSERT ON t WHEN new.k = 'a' BEGIN SELECT raise(IGNORE); END",
        "BEFORE DELETE ON t BEGIN SELECT raise(IGNORE); END",
        "BEFORE UPDATE ON t BEGIN SELECT raise(IGNORE); END",
        "AFTER INSERT ON T BEGIN DELETE FROM t WHERE k = 'a'; END",
        "AFTER INSERT ON t WHEN new.k = 'a' BEGIN INSERT INTO t VALUES ('c', 3); END",
    ],
    ids=["ignored", "kept", "not updated", "deleted", "added"],
)
def test_a_trigger_that_drops_or_adds_rows_is_found_out(app, mode, trigger):
    app.sql("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER)", "INSERT INTO t VALUES ('b', 0)")
    app.sql(f"CREATE TRIGGER meddle {trigger}")
    rows = ROWS if mode != "append" else pa.table({"k": ["a", "d"], "v": [1, 2]})
    event = trigger.split()[1]
    key = {"primary_key": ["k"]} if mode == "upsert" else {}
    if event in {"append": "UPDATE DELETE", "replace": "UPDATE", "upsert": "DELETE"}[mode]:
        assert app.write(rows, write_mode=mode, **key).rows == 2
        return
    found = refused(app.write, rows, write_mode=mode, **key)
    assert found.codes in (["DRV015"], ["DAT032"])
    assert app.sql("SELECT * FROM t") == [("b", 0)]
    assert app.sql("SELECT count(*) FROM sqlite_schema WHERE name = '_osiris_ledger'") == [(0,)]


def test_a_schema_is_the_same_in_any_case(tmp_path):
    place = Place("duckdb", tmp_path)
    place.sql("CREATE TABLE t (k VARCHAR, v VARCHAR)")
    assert refused(place.write, ROWS, schema="MAIN").codes == ["DAT029"]
    assert place.confirm(ROWS.select(["k"]), schema="Main") == "there"


def test_targets_tell_what_they_are(place):
    assert place.confirm() == "absent"
    assert refused(place.confirm, create_if_missing=False).codes == ["DRV001"]
    assert not place.path.exists()
    place.write(ROWS)
    assert (place.confirm(), place.confirm(table="T"), place.confirm(table="u")) == ("there", "there", "absent")
    assert refused(place.confirm, table="u", create_if_missing=False).codes == ["DRV012"]
    assert refused(place.confirm, ROWS.rename_columns(["k", "w"])).codes == ["DAT029"]
    assert refused(place.confirm, write_mode="upsert", primary_key=["k"]).codes == ["DAT029"]
