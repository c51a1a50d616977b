"""The effect of a write on a table: cell by cell, the expected and the real result.

`write_semantics.jsonl` was written from the contract, by somebody who had not seen the code. A cell has an existing
table, the incoming rows, how they are written, and the expected result, which is read with the database's own client.
What cannot arrive unchanged must be rejected, with its place and a remedy, and then nothing may have changed.

Six cells were corrected afterwards. The contract left open which of several rows of an upsert with one key is kept when
the others are rejected, and the author had chosen the first. The rule is now written down (docs/decisions, 0008: the
last that the table accepts); the cells `last_of_key_stays`, `three_of_key`, `collation_twins` and `citext_twins` follow
it.
"""

import csv
import json
import math
import re
import sqlite3
import uuid
from collections import Counter
from contextlib import closing
from datetime import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pytest

from osiris.components.duckdb_writer import driver as duckdb_writer
from osiris.components.mysql_writer import driver as mysql_writer
from osiris.components.postgres_writer import driver as postgres_writer
from osiris.components.sqlite_writer import driver as sqlite_writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import arrow_type, schema_of

CELLS = [json.loads(line) for line in Path(__file__).with_name("write_semantics.jsonl").read_text("utf-8").splitlines()]
SERVED = {"mariadb": mysql_writer, "postgres": postgres_writer}
IN_FILES = {"sqlite": (sqlite_writer, sqlite3.connect), "duckdb": (duckdb_writer, duckdb.connect)}
REMARKS = {"-0.0": -0.0, "NaN": math.nan, "Infinity": math.inf}


class Served:
    """A database of a server, empty for each cell."""

    def __init__(self, writer, server, root):
        self.writer, self.server, self.root = writer, server, root
        self.database = server.new_database()
        fields = server.fields(self.database)
        self.connection = {**fields, "password": Secret(fields["password"])}
        self.client = server.connect(self.database)
        self.client.prepare_threshold = None  # tables change under their names

    def close(self):
        self.client.close()

    def empty(self):
        if self.writer is postgres_writer:
            self.sql("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        else:
            name = f"`{self.database}`"
            self.sql(
                "SET SESSION sql_mode = DEFAULT", f"DROP DATABASE {name}", f"CREATE DATABASE {name}", f"USE {name}"
            )

    def sql(self, *texts):
        with self.client.cursor() as cursor:
            for text in texts:
                cursor.execute(text)
            return [list(row) for row in cursor.fetchall()] if cursor.description else []


class InFile:
    """A database in a file, created again for each cell."""

    def __init__(self, writer, connect, root):
        self.writer, self.connect, self.root = writer, connect, root
        self.path, self.connection = root / "store.db", {"path": "store.db"}

    def close(self):
        """Nothing is open between statements."""

    def empty(self):
        for path in self.root.glob("store.db*"):
            path.unlink()

    def sql(self, *texts):
        client = self.connect(str(self.path))
        try:
            found = [client.execute(text).fetchall() for text in texts]
            client.commit()
            return [list(row) for row in found[-1]]
        finally:
            client.close()


@pytest.fixture(scope="module")
def place(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    made = (
        InFile(*IN_FILES[request.param], root)
        if request.param in IN_FILES
        else Served(SERVED[request.param], request.getfixturevalue(request.param), root)
    )
    made.name = request.param
    with closing(made):
        yield made


def value_of(kind, value):
    """Return a value of a cell for Arrow."""
    if value is None or isinstance(value, list):
        return value
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if kind.startswith("decimal"):
        return Decimal(value)
    if kind == "uuid":
        return uuid.UUID(value).bytes
    return REMARKS[value] if kind.startswith("float") and isinstance(value, str) else value


def array_of(kind, values):
    made, wanted = [value_of(kind, value) for value in values], arrow_type(kind)
    if kind.startswith("time["):
        return pa.array([value and time.fromisoformat(value) for value in values], wanted)
    if kind.startswith(("date", "timestamp")):
        return pa.array(made, pa.string()).cast(wanted)
    return pa.array(made, wanted)


def incoming(cell):
    columns = cell["incoming"]["columns"]
    values = list(zip(*cell["incoming"]["rows"], strict=True)) or [()] * len(columns)
    return pa.table({name: array_of(kind, given) for (name, kind), given in zip(columns, values, strict=True)})


def write(place, cell):
    """Write the rows of a cell as a step does; returns its report, or raises."""
    rows = incoming(cell)
    schema = schema_of(rows.schema)
    config = place.writer.Config(cell["table"], write_mode=cell["mode"], primary_key=cell.get("key"))
    reject = cell.get("on_reject", "fail")
    ctx = StepContext("load", place.root, place.root, place.root / "scratch", place.connection, on_reject=reject)
    driver = place.writer.Driver()
    driver.check(config, schema, ctx)
    driver.confirm(config, schema, ctx)
    return driver.write(config, stream(schema, rows.to_batches(), "fixed"), ctx)


def rejected(place):
    path = place.root / "rejected.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return sorted(int(row["row"]) for row in csv.DictReader(file))


def plain(value):
    """Return a value in the spelling of the cells."""
    if isinstance(value, float):
        named = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value)
        return "NaN" if math.isnan(value) else named or ("-0.0" if str(value) == "-0.0" else value)
    return value


def outcome(place, cell):
    (place.root / "rejected.csv").unlink(missing_ok=True)
    place.empty()
    place.sql(*cell["ddl"], *cell["existing"])
    problems = []
    try:
        write(place, cell)
    except OsirisError as error:
        problems = error.diagnostics
    found = [[plain(value) for value in row] for row in place.sql(cell["read"])]
    return SimpleNamespace(rows=found, problems=problems, rejected=rejected(place))


def wrong_with(cell, found):
    """Return how an outcome differs from the expected one; empty if it does not."""
    wanted = cell["expect"]
    told = [f"{each.code} {each.message} | {each.hint}" for each in found.problems]
    if found.problems and wanted["outcome"] == "rows":
        return f"refused: {told}"
    if not found.problems and wanted["outcome"] == "refused":
        return f"not refused: {found.rows}"
    if not found.problems:
        lines = wanted.get("rejected_rows", [])
        same = found.rows == wanted["rows"] and found.rejected == lines
        return "" if same else f"{found.rows}, set aside {found.rejected}; not {wanted['rows']}, {lines}"
    before = wanted["if_refused"] if wanted["outcome"] == "rows_or_refused" else wanted["rows"]
    if found.rows != before:
        return f"refused, and changed all the same: {found.rows}"
    return unclear(wanted.get("names", {}), found.problems, told)


def unclear(names, problems, told):
    """Return what a rejection lacks: the place or the remedy."""
    if not all(problem.hint for problem in problems):
        return f"without a hint: {told}"
    if names.get("column") and not any(re.search(rf"\b{names['column']}\b", each) for each in told):
        return f"without its column: {told}"
    if any(problem.code.startswith("INT") for problem in problems):
        return f"a mistake of ours: {told}"
    return ""


def kinds(*, quick):
    """Return the test parameters: a database, and the first part of the cells' names."""
    return list(dict.fromkeys((cell["db"], cell["id"].split("/")[1]) for cell in CELLS if cell["quick"] is quick))


def wrong_of(place, kind, *, quick):
    cells = [cell for cell in CELLS if cell["id"].startswith(f"{place.name}/{kind}/") and cell["quick"] is quick]
    found = {cell["id"]: wrong_with(cell, outcome(place, cell)) for cell in cells}
    return {name: problem for name, problem in found.items() if problem}


@pytest.mark.parametrize(("place", "kind"), kinds(quick=True), indirect=["place"])
def test_what_a_table_makes_of_rows(place, kind):
    assert wrong_of(place, kind, quick=True) == {}


@pytest.mark.long
@pytest.mark.parametrize(("place", "kind"), kinds(quick=False), indirect=["place"])
def test_what_a_table_makes_of_rows_in_every_mode(place, kind):
    assert wrong_of(place, kind, quick=False) == {}


def test_every_database_and_mode_has_its_cells():
    counted = Counter((cell["db"], cell["mode"]) for cell in CELLS)
    assert {db for db, _ in counted} == {"mariadb", "postgres", "sqlite", "duckdb"}
    assert all(counted[db, mode] >= 20 for db, _ in counted for mode in ("append", "replace", "upsert"))
