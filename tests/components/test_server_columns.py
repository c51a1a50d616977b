"""Existing columns with a smaller range than the type in Osiris: no value is changed."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from osiris.codes import CODES
from osiris.components.mysql_writer import driver as mysql_writer
from osiris.components.postgres_writer import driver as postgres_writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.type_compat import REFRESH
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import arrow_type, schema_of

WRITERS = {"postgres": postgres_writer, "mariadb": mysql_writer}
MOMENT = datetime.fromisoformat("2024-03-31T02:30:01")


class Place:
    """A database of a server: `write` writes one column `v` beside `id` to table t, `sql` runs statements."""

    def __init__(self, server, kind, root):
        self.server, self.writer, self.root = server, WRITERS[kind], root
        self.database = server.new_database()
        fields = server.fields(self.database)
        connection = {**fields, "password": Secret(fields["password"])}
        self.ctx = StepContext("load", root, root, root / "scratch", connection, emit=lambda name, told: None)

    def write(self, kind, values, on_reject="fail", **config):
        rows = pa.table({"id": pa.array(range(len(values)), pa.int64()), "v": pa.array(values, arrow_type(kind))})
        return self.write_rows(rows, on_reject, **config)

    def write_rows(self, rows, on_reject="fail", **config):
        source = stream(schema_of(rows.schema), rows.to_batches(), "fixed")
        ctx = replace(self.ctx, on_reject=on_reject)
        return self.writer.Driver().write(self.writer.Config("t", **config), source, ctx)

    def table(self, declared, *more):
        self.sql("DROP TABLE IF EXISTS t", *more, f"CREATE TABLE t (id BIGINT PRIMARY KEY, v {declared})")

    def values(self, shown="v"):
        return [value for (value,) in self.sql(f"SELECT {shown} FROM t ORDER BY id")]

    def sql(self, *texts):
        with self.server.connect(self.database) as client, client.cursor() as cursor:
            for text in texts:
                cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(scope="module")
def postgres_place(postgres, tmp_path_factory):
    return Place(postgres, "postgres", tmp_path_factory.mktemp("columns"))


@pytest.fixture(scope="module")
def mariadb_place(mariadb, tmp_path_factory):
    return Place(mariadb, "mariadb", tmp_path_factory.mktemp("columns"))


def refused(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    (found,) = caught.value.diagnostics
    return found


POSTGRES = [
    ("timestamp(0)", "timestamp[us]", [MOMENT], MOMENT.replace(microsecond=1)),
    ("timestamp(5)", "timestamp[us]", [MOMENT.replace(microsecond=999_990)], MOMENT.replace(microsecond=999_999)),
    ("timestamptz(3)", "timestamp[us,UTC]", [MOMENT.replace(tzinfo=UTC)], MOMENT.replace(microsecond=1, tzinfo=UTC)),
    ("time(1)", "time[us]", [time(23, 59, 59, 900_000)], time(23, 59, 59, 950_000)),
    ("time(1)", "time[ms]", [time(23, 59, 59, 900_000)], time(23, 59, 59, 950_000)),
    ("timestamp(0)[]", "list<timestamp[us]>", [[MOMENT, None]], [MOMENT, MOMENT.replace(microsecond=1)]),
    ("numeric(3,-2)", "decimal(5,0)", [Decimal(-99900)], Decimal(150)),
    ("numeric(2,4)", "decimal(4,4)", [Decimal("-0.0099")], Decimal("0.0100")),
    ("numeric", "utf8", ["0.10", "-1", "NaN", "9" * 90], "1e5"),
    ("numeric", "utf8", ["12.50"], "-0"),
    ("numeric", "utf8", ["12.50"], " 1"),
    ("numeric[]", "list<utf8>", [["0.10", None], []], ["1", "+1"]),
    ('"char"', "utf8", ["a", ""], "ab"),
    ('"char"', "utf8", ["a"], "é"),
    ("name", "utf8", ["é" * 31], "é" * 32),
    ("name[]", "list<utf8>", [["x" * 63]], ["x" * 64]),
    ("bit(3)", "utf8", ["101"], "1010"),
    ("varbit(3)", "utf8", ["101", ""], "1010"),
    ("bit(3)[]", "list<utf8>", [["101", None]], ["1010"]),
    ("timetz(0)", "utf8", ["12:00:00+00"], "12:00:00.5+00"),
    ("interval second(0)", "utf8", ["PT2S"], "PT1.5S"),
    ("interval year to month", "utf8", ["P1Y2M"], "P1D"),
    ("interval(0)[]", "list<utf8>", [["P1D", None]], ["PT1.5S"]),
]


@pytest.mark.parametrize(("declared", "kind", "right", "wrong"), POSTGRES)
def test_postgres_refuses_what_it_would_change(postgres_place, declared, kind, right, wrong):
    place = postgres_place
    place.table(declared)
    found = refused(place.write, kind, [*right, None, wrong])
    assert (found.code, f"in row {len(right) + 2} cannot" in found.message) == ("DAT015", True), found.message
    assert "column 'v'" in found.message
    assert place.values() == []
    told = place.write(kind, [*right, wrong, None], on_reject="quarantine")
    assert (told.rows, told.rejected) == (len(right) + 1, 1)
    assert len(place.values()) == len(right) + 1
    place.sql("DELETE FROM t")
    for _ in range(2):
        assert place.write(kind, right, write_mode="upsert", primary_key="id").rows == len(right)
    found = [None if text is None else text.strip("{}").split(",")[0] for text in place.values("v::text")]
    wanted = [each[0] if isinstance(each, list) and each else each for each in right]
    wanted = ["" if each == [] else each for each in wanted]
    assert [_plain(text) for text in found] == [_plain(str(each)) for each in wanted]


def _plain(text):
    moment = text.strip('"').removesuffix("+00").removesuffix("+00:00").replace("P1D", "1 day").replace("P1Y2M", "1 ye")
    return moment.replace("1 year 2 mons", "1 ye").replace("PT2S", "00:00:02").rstrip("0").rstrip(".")


ODD = r"'Ab','2','a''b','c\\d','e,f','é','x\ny','ž 😀','ž ?'"
MARIADB = [
    ("DATETIME", "timestamp[us]", [MOMENT], MOMENT.replace(microsecond=1)),
    ("DATETIME(2)", "timestamp[ms]", [MOMENT.replace(microsecond=990_000)], MOMENT.replace(microsecond=999_000)),
    ("TIMESTAMP(3) NULL", "timestamp[us,UTC]", [MOMENT.replace(tzinfo=UTC)], MOMENT.replace(microsecond=1, tzinfo=UTC)),
    ("TIME", "time[us]", [time(23, 59, 59)], time(23, 59, 59, 500_000)),
    ("TIME", "time[ms]", [time(23, 59, 59)], time(23, 59, 59, 500_000)),
    ("MEDIUMINT", "int32", [-(2**23), 2**23 - 1], 2**23),
    ("MEDIUMINT UNSIGNED", "uint32", [0, 2**24 - 1], 2**24),
    ("MEDIUMINT UNSIGNED", "uint8", [0, 255], None),
    ("YEAR", "uint16", [0, 1901, 2155], 50),
    ("YEAR", "uint16", [2000], 2156),
    ("BIT(9)", "uint16", [0, 511], 512),
    ("BIT(64)", "uint64", [2**64 - 1], None),
    ("DECIMAL(5,2) UNSIGNED", "decimal(5,2)", [Decimal("999.99")], Decimal("-0.01")),
    ("DECIMAL(12,2) UNSIGNED", "int32", [0, 2**31 - 1], -1),
    ("FLOAT(7,3)", "float32", [1.25, 0.125], 1.0625),
    ("DOUBLE(20,2)", "float64", [0.13, 1e17], 0.126),
    ("DOUBLE(5,0)", "float64", [2.0], 2.5),
    ("INET4", "utf8", ["0.0.0.0", "255.1.2.3"], "010.0.0.1"),
    ("INET6", "utf8", ["::", "::ffff:1.2.3.4"], "1.2.3.4"),
    ("VECTOR(2)", "binary", [bytes(8)], bytes(4)),
    (f"ENUM({ODD})", "utf8", ["Ab", "2", "a'b", "c\\d", "e,f", "é", "x\ny", "ž 😀", "ž ?"], "ab"),
    (f"ENUM({ODD})", "utf8", ["é"], "1"),
    (f"ENUM({ODD})", "utf8", ["é"], "e"),
    (f"ENUM({ODD})", "utf8", ["é"], ""),
    (f"ENUM({ODD})", "utf8", ["é"], "é "),
    ("ENUM('a', 'é') CHARACTER SET latin1", "utf8", ["a", "é"], "É"),
    ("SET('x', 'y z', '😀', '?')", "utf8", ["", "x", "x,y z", "😀", "x,😀,?"], "y z,x"),
    ("SET('x', 'y z', '😀', '?')", "utf8", ["😀"], "x,x"),
    ("SET('x', 'y z', '😀', '?')", "utf8", ["😀"], "X"),
    ("SET('x', 'y z', '😀', '?')", "utf8", ["😀"], "2"),
]


def shown(declared, name="v"):
    """Return the expression that selects values in comparable form."""
    forms = {"BIT": f"{name} + 0", "YEAR": f"{name} + 0", "FLOAT": f"CAST({name} AS DOUBLE)"}
    return forms.get(declared.split("(")[0].split(" ")[0], name)


def compared(kind, values):
    """Return sent values in the form in which the column stores them."""
    midnight = datetime.fromisoformat("2024-01-01")
    if kind.startswith("time["):
        return [each and datetime.combine(midnight, each) - midnight for each in values]
    return [each.replace(tzinfo=None) if each and kind.endswith("UTC]") else each for each in values]


@pytest.mark.parametrize(("declared", "kind", "right", "wrong"), [case for case in MARIADB if case[3] is not None])
def test_mariadb_refuses_what_it_would_change(mariadb_place, declared, kind, right, wrong):
    mariadb_place.table(declared)
    found = refused(mariadb_place.write, kind, [*right, None, wrong])
    assert (found.code, f"in row {len(right) + 2} cannot" in found.message) == ("DAT015", True), found.message
    assert "column 'v'" in found.message
    assert mariadb_place.values() == []
    told = mariadb_place.write(kind, [*right, wrong, None], on_reject="quarantine")
    assert (told.rows, told.rejected) == (len(right) + 1, 1)
    assert mariadb_place.values(shown(declared)) == compared(kind, [*right, None])


@pytest.mark.parametrize("files", [0, 1])
@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_mariadb_takes_values_in_files_and_in_inserts(mariadb_place, files, mode):
    """A server may forbid LOAD DATA LOCAL: then rows are sent in INSERTs."""
    place, count = mariadb_place, max(len(right) for _, _, right, _ in MARIADB)
    columns = {f"c{number}": case for number, case in enumerate(MARIADB)}
    place.sql("DROP TABLE IF EXISTS t", f"SET GLOBAL local_infile = {files}")
    listed = ", ".join(f"{name} {declared}" for name, (declared, *_) in columns.items())
    place.sql(f"CREATE TABLE t (id BIGINT PRIMARY KEY, {listed})")
    padded = {name: [*right, *[None] * (count - len(right))] for name, (_, _, right, _) in columns.items()}
    arrays = {name: pa.array(padded[name], arrow_type(kind)) for name, (_, kind, _, _) in columns.items()}
    rows = pa.table({"id": pa.array(range(count), pa.int64()), **arrays})
    try:
        for _ in range(2 if mode == "upsert" else 1):
            assert place.write_rows(rows, write_mode=mode, primary_key="id").rows == count
    finally:
        place.sql("SET GLOBAL local_infile = 1")
    for name, (declared, kind, _, _) in columns.items():
        assert place.values(shown(declared, name)) == compared(kind, padded[name]), declared


def test_values_that_cannot_be_learnt_are_refused(mariadb, tmp_path):
    """The catalogue shows `?` for letters such as 😀, and this user may not create a table that shows them."""
    place = Place(mariadb, "mariadb", tmp_path)
    place.table("ENUM('a', '😀')")
    user, password = f"few{place.database[3:]}", "few rights, 1"
    place.sql(
        f"CREATE USER `{user}`@'%' IDENTIFIED BY '{password}'",
        f"GRANT SELECT, INSERT ON `{place.database}`.* TO `{user}`@'%'",
    )
    place.ctx = replace(place.ctx, connection={**place.ctx.connection, "user": user, "password": Secret(password)})
    for text in ("?", "😀"):
        assert refused(place.write, "utf8", [text]).code == "DAT015"
    assert place.write("utf8", ["a"]).rows == 1


HINTS = [
    ("INT", "int64", "int32"),
    ("BIGINT", "utf8", "int64"),
    ("DECIMAL(5,2)", "decimal(10,4)", "decimal(5,2)"),
    ("VARCHAR(9)", "int64", "utf8"),
    ("DATE", "utf8", "date"),
]


@pytest.mark.parametrize(("declared", "kind", "cast"), HINTS)
@pytest.mark.parametrize("server", ["postgres_place", "mariadb_place"])
def test_a_type_that_does_not_fit_comes_with_the_cast_that_does(request, server, declared, kind, cast):
    place = request.getfixturevalue(server)
    place.table(declared)
    found = refused(place.write, kind, [None])
    written = f'"{cast}"' if "," in cast else cast
    assert (found.code, found.hint) == (
        "DAT029",
        f"change the table, or give the config of the step that reads 'cast: {{v: {written}}}' {REFRESH}",
    )


def test_no_cast_is_offered_where_none_helps(postgres_place):
    postgres_place.table("bytea")
    found = refused(postgres_place.write, "int64", [1])
    assert (found.code, found.hint) == ("DAT029", CODES["DAT029"].hint)


def test_what_was_set_aside_tells_the_column(postgres_place):
    postgres_place.table("interval second(0)")
    postgres_place.write("utf8", ["PT1S", "PT1.5S"], on_reject="quarantine")
    header, row = csv.reader((postgres_place.root / "rejected.csv").read_text().splitlines())
    assert header == ["file", "line", "column", "value", "reason", "row"]
    assert [*row[:3], row[5]] == ["", "", "v", "2"]
    assert json.loads(row[3]) == {"id": 1, "v": "PT1.5S"}
