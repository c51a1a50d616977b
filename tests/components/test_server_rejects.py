"""Rows that a server's table rejects: they fail the step, or are quarantined and counted; all others are written."""

import csv
import json
import random
from dataclasses import replace

import pyarrow as pa
import pytest

from osiris.components.mysql_extractor import driver as mysql_extractor
from osiris.components.mysql_writer import driver as mysql_writer
from osiris.components.postgres_extractor import driver as postgres_extractor
from osiris.components.postgres_writer import driver as postgres_writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import schema_of

WRITERS = {"postgres": postgres_writer, "mariadb": mysql_writer}


class Place:
    """A database of a server:

    `write` writes a table, `sql` runs statements from outside, `rejected` has the quarantine.
    """

    def __init__(self, server, writer, root):
        self.server, self.writer, self.root = server, writer, root
        self.database = server.new_database()
        fields = server.fields(self.database)
        connection = {**fields, "password": Secret(fields["password"])}
        self.events = []
        self.ctx = StepContext(
            "load",
            root,
            root,
            root / "scratch",
            connection,
            on_reject="quarantine",
            run_key="p/1",
            plan="f",
            digest=lambda: {"kind": "test"},
            emit=lambda name, told: self.events.append((name, dict(told))),
        )

    def write(self, rows, ctx=None, size=None, **config):
        source = stream(schema_of(rows.schema), rows.to_batches(size), "fixed")
        return self.writer.Driver().write(self.writer.Config("t", **config), source, ctx or self.ctx)

    def sql(self, *texts):
        with self.server.connect(self.database) as client, client.cursor() as cursor:
            for text in texts:
                cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []

    def rejected(self):
        with (self.root / "rejected.csv").open(newline="") as file:
            return [(int(row["row"]), json.loads(row["value"]), row["reason"]) for row in csv.DictReader(file)]


@pytest.fixture(params=WRITERS)
def place(request, tmp_path):
    return Place(request.getfixturevalue(request.param), WRITERS[request.param], tmp_path)


@pytest.fixture
def loose(place):
    """A place whose context fails the step."""
    place.ctx = replace(place.ctx, on_reject="fail")
    return place


def refused(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    (found,) = caught.value.diagnostics
    return found.code, found.message


def ids(*numbers):
    return pa.table({"id": pa.array(numbers, pa.int64()), "name": [f"n {number}" for number in numbers]})


TABLE = "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9) NOT NULL CHECK (name <> 'n 5'))"
BAD = [(1, 3), (5, 5), (17, 1), (18, None)]
"""Rows by number that the table rejects: an existing key, a check, a duplicate key, and NULL."""


def some_rows():
    numbers = [3, 10, 11, 12, 5, *range(20, 30), 1, 1, None, *range(40, 60)]
    names = [f"n {number}" for number in numbers]
    return pa.table({"id": pa.array(numbers, pa.int64()), "name": names})


@pytest.mark.parametrize("size", [None, 1, 7])
def test_what_a_table_refuses_is_set_aside_and_all_else_is_there(place, size):
    place.sql(TABLE, "INSERT INTO t VALUES (3, 'old')")
    rows = some_rows()
    told = place.write(rows, size=size)
    assert (told.rows, told.rejected) == (rows.num_rows - 4, 4)
    assert [(line, values["id"]) for line, values, _ in place.rejected()] == BAD
    assert all(reason for _, _, reason in place.rejected())
    assert place.events == [("rows_quarantined", {"file": "rejected.csv", "rows": 4})]
    assert place.sql("SELECT COUNT(*), MIN(name) FROM t WHERE id <> 3") == [(rows.num_rows - 4, "n 1")]
    assert place.sql("SELECT name FROM t WHERE id = 3") == [("old",)]


def test_what_was_set_aside_is_known_to_the_ledger(place):
    place.sql(TABLE, "INSERT INTO t VALUES (3, 'old')")
    first = place.write(ids(3, 4, 5))
    again = place.write(ids(3, 4, 5))
    assert (first.rows, first.rejected, again.rows, again.rejected) == (1, 2, 1, 2)
    assert (first.earlier, again.earlier) == (None, {"kind": "test"})
    assert place.sql("SELECT COUNT(*) FROM t") == [(2,)]


def test_what_was_set_aside_stays_where_its_delivery_is_found_again(place):
    place.sql(TABLE)
    place.write(ids(4, 5))
    place.write(ids(4, 5))
    assert [(line, values["id"]) for line, values, _ in place.rejected()] == [(2, 5)]


def test_what_an_attempt_that_failed_has_set_aside_goes_with_the_next(place):
    place.sql(TABLE)
    (place.root / "rejected.csv").write_text("file,line,column,value,reason\n")
    assert place.write(ids(4)).rows == 1
    assert not (place.root / "rejected.csv").exists()


@pytest.mark.parametrize("mode", ["replace", "upsert"])
def test_other_modes_set_rows_aside_too(place, mode):
    place.sql(TABLE, "INSERT INTO t VALUES (3, 'old'), (4, 'kept')")
    rows = pa.table(
        {"id": pa.array([3, 7, 5, 8, 7, None, 9], pa.int64()), "name": ["new", "a", "n 5", None, "again", "b", "c"]}
    )
    told = place.write(rows, write_mode=mode, primary_key="id")
    assert (told.rows, told.rejected) == (3, 4)
    seventh = {"replace": (5, 7), "upsert": (2, 7)}[mode]
    told = sorted((line, values["id"]) for line, values, _ in place.rejected())
    assert told == sorted([(3, 5), (4, 8), seventh, (6, None)], key=lambda each: each[0])
    kept, last = {"replace": ([], "a"), "upsert": ([(4, "kept")], "again")}[mode]
    assert place.sql("SELECT * FROM t ORDER BY id") == [(3, "new"), *kept, (7, last), (9, "c")]


@pytest.mark.parametrize("seed", range(6))
def test_of_rows_with_one_key_the_last_that_fits_stays(place, seed):
    chosen = random.Random(seed)
    rows = [(chosen.randint(1, 6), chosen.choice(["a", "b", "c", "n 5", None])) for _ in range(chosen.randint(1, 30))]
    place.sql(TABLE, "INSERT INTO t VALUES (1, 'old'), (99, 'kept')")
    given = pa.table({"id": pa.array([key for key, _ in rows], pa.int64()), "name": [name for _, name in rows]})
    told = place.write(given, size=chosen.choice([None, 1, 4]), write_mode="upsert", primary_key="id")
    good = {key: line for line, (key, name) in enumerate(rows, 1) if name not in ("n 5", None)}
    kept = {1: "old", 99: "kept"} | {key: rows[line - 1][1] for key, line in good.items()}
    assert place.sql("SELECT * FROM t ORDER BY id") == sorted(kept.items())
    assert (told.rows, told.rejected) == (len(good), len(rows) - len(good))
    aside = sorted(line for line, *_ in place.rejected()) if told.rejected else []
    assert aside == sorted(set(range(1, len(rows) + 1)) - set(good.values()))
    later = [line for line, _, reason in place.rejected() if "later row has the same key" in reason] if aside else []
    assert all(rows[line - 1][0] in good and line < good[rows[line - 1][0]] for line in later)


def test_an_upsert_that_something_else_unique_refuses(place):
    place.sql(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(9) UNIQUE, more INT DEFAULT 5)",
        "INSERT INTO t VALUES (1, 'a', 8), (2, 'b', 8)",
    )
    rows = pa.table({"id": [1, 3, 4, 5], "name": ["A1", "b", "d", "e"]})
    told = place.write(rows, write_mode="upsert", primary_key="id")
    assert (told.rows, told.rejected) == (3, 1)
    assert [(line, values) for line, values, _ in place.rejected()] == [(2, {"id": 3, "name": "b"})]
    assert place.sql("SELECT * FROM t ORDER BY id") == [(1, "A1", 8), (2, "b", 8), (4, "d", 5), (5, "e", 5)]


def test_values_that_would_be_changed_are_set_aside_too(place):
    place.sql("CREATE TABLE t (id BIGINT, name CHAR(2))")
    rows = pa.table({"id": [1, 2, 3, 4], "name": ["ab", "a ", "cd", "too long"]})
    told = place.write(rows)
    assert told.rejected == len(place.rejected())
    assert {values["id"] for _, values, _ in place.rejected()} >= {4}
    assert place.sql("SELECT id FROM t WHERE id IN (1, 3) ORDER BY id") == [(1,), (3,)]


def test_a_day_that_python_has_not_is_set_aside(place):
    place.sql("CREATE TABLE t (id BIGINT, day DATE)")
    days = pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32())
    assert place.write(pa.table({"id": [1, 2], "day": days})).rejected == 1
    assert place.rejected()[0][:2] == (2, {"id": 2, "day": 2**31 - 1})


def test_all_rows_may_be_refused(place):
    place.sql(TABLE)
    told = place.write(pa.table({"id": list(range(300)), "name": pa.array([None] * 300, pa.utf8())}), size=100)
    assert (told.rows, told.rejected) == (0, 300)
    assert [line for line, *_ in place.rejected()] == list(range(1, 301))


def test_where_all_rows_fit_nothing_is_set_aside(place):
    for mode in ("append", "replace", "upsert"):
        told = place.write(ids(1, 2, 3), replace(place.ctx, run_key=mode), write_mode=mode, primary_key="id")
        assert (told.rows, told.rejected) == (3, 0)
        place.sql("DELETE FROM t WHERE id = 3")
    assert not (place.root / "rejected.csv").exists()
    assert place.events == [("new_table", {"table": "t", "near": None})]


def test_what_is_no_matter_of_rows_fails_the_step(place):
    place.sql("CREATE TABLE t (id BIGINT)")
    assert refused(place.write, ids(1))[0] == "DAT029"


@pytest.mark.parametrize("size", [None, 2])
def test_an_error_names_the_row_and_the_key(loose, size):
    loose.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name CHAR(3))")
    code, message = refused(loose.write, ids(1, 2, 3, 2), size=size)
    assert code == "DAT032"
    assert "2" in message
    assert any(word in message for word in ("row 4: constraint 't_pkey'", "'2' for key 'PRIMARY'")), message
    rows = pa.table({"id": [1, 2, 3], "name": ["abc", "abc", "a "]})
    code, message = refused(loose.write, rows, size=size)
    assert (code, "'a ' in row 3" in message or "a  in row 3" in message) == ("DAT015", True)


def test_secrets_are_not_written_down(place):
    place.sql(TABLE)
    rows = pa.table({"id": pa.array([None], pa.int64()), "name": ["hush"]})
    place.write(rows, replace(place.ctx, masked=lambda text: text.replace("hush", "****")))
    assert place.rejected()[0][1] == {"id": None, "name": "****"}


EXTRACTORS = {"postgres": postgres_extractor, "mariadb": mysql_extractor}
NO_DAYS = {"postgres": "'infinity'", "mariadb": "'2024-02-00'"}


@pytest.fixture(params=EXTRACTORS)
def days(request, tmp_path):
    """A place with a table of 30,000 rows, some with a date that cannot be carried; returns it and `read`."""
    place = Place(request.getfixturevalue(request.param), WRITERS[request.param], tmp_path)
    many = {"postgres": "generate_series(1, 30000) AS s(seq)", "mariadb": "seq_1_to_30000"}[request.param]
    no_day = NO_DAYS[request.param]
    place.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40), day DATE)",
        *(["SET sql_mode = ''"] if request.param == "mariadb" else []),
        "INSERT INTO t SELECT seq, 'some text that takes its place', CAST(CASE WHEN seq IN (1, 7, 8, 29999) "
        f"THEN {no_day} ELSE '2024-02-29' END AS DATE) FROM {many}",
    )
    driver = EXTRACTORS[request.param]
    counts = {}

    def read(on_reject="quarantine", **config):
        counts.clear()
        count = lambda metric, value: counts.update({metric: counts.get(metric, 0) + value})  # noqa: E731
        ctx = replace(place.ctx, on_reject=on_reject, count=count)
        chosen = driver.Config(**(config or {"table": "t"}))
        described = driver.Driver().describe(chosen, ctx)
        return driver.Driver().read(chosen, described.schema, ctx).reader().read_all(), counts

    return place, read


def lines_of(place):
    with (place.root / "rejected.csv").open(newline="") as file:
        return [(row["file"] + row["line"], int(row["row"]), row["column"]) for row in csv.DictReader(file)]


def test_rows_that_cannot_be_carried_are_set_aside(days):
    place, read = days
    found, counts = read()
    assert (found.num_rows, counts["rows_read"], counts["rows_rejected"]) == (29996, 30000, 4)
    assert lines_of(place) == [("", number, "day") for number in (1, 7, 8, 29999)]
    assert found["id"].to_pylist() == [n for n in range(1, 30001) if n not in (1, 7, 8, 29999)]
    assert place.events == [("rows_quarantined", {"file": "rejected.csv", "rows": 4})]


def test_all_rows_of_a_query_may_be_set_aside(days):
    place, read = days
    found, counts = read(query="SELECT id, day FROM t WHERE id IN (7, 8) ORDER BY id")
    assert (found.num_rows, counts["rows_rejected"]) == (0, 2)
    assert lines_of(place) == [("", 1, "day"), ("", 2, "day")]


def test_a_value_that_cannot_be_carried_fails_the_step_and_its_row_is_named(days):
    _, read = days
    code, message = refused(read, on_reject="fail", query="SELECT id, day FROM t WHERE id > 1 ORDER BY id")
    assert (code, "column 'day', row 6" in message) == ("DAT031", True)


LARGE = pa.table({"id": [1, 2, 3], "name": pa.array(["é" * 5, "é" * 6, None])})


def test_cells_that_are_too_large_to_write(place):
    told = place.write(LARGE, max_cell_bytes=10)
    assert (told.rows, told.rejected) == (2, 1)
    assert "a value of 12 bytes: max_cell_bytes is 10" in place.rejected()[0][2]
    strict = replace(place.ctx, on_reject="fail", run_key="p/2")
    code, message = refused(place.write, LARGE, strict, max_cell_bytes=10)
    assert (code, "column 'name': a value of 12 bytes in row 2" in message) == ("DAT015", True)
    assert "max_cell_bytes is 10" in message
    assert place.write(LARGE, strict, max_cell_bytes=12).rows == 3


def test_cells_that_are_too_large_to_read(days):
    place, read = days
    place.sql("UPDATE t SET name = 'a text that takes more of its place' WHERE id = 9")
    query = "SELECT id, name FROM t WHERE id < 12 ORDER BY id"
    code, message = refused(read, on_reject="fail", query=query, max_cell_bytes=30)
    assert (code, "column 'name', row 9: a value of 35 bytes; max_cell_bytes is 30" in message) == ("DAT031", True)
    found, counts = read(query=query, max_cell_bytes=30)
    assert (found.num_rows, counts["rows_rejected"]) == (10, 1)
