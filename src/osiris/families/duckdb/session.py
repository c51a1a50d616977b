"""What all components of the duckdb family share: opening a database, its tables, its types, and its errors.

A database is attached to an engine that is locked afterwards: what runs there can reach that one file, and nothing
else of the outside. The engine opens no file twice in one process, so steps that read the same one share an engine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import diagnostic, fail, raise_all
from osiris.families.source_columns import check_known
from osiris.families.sql.database_file import check_file, fail_no_table, label, patiently, taking_turns
from osiris.families.sql.target_table import Column, Target, fail_row, refuse_columns, same_name
from osiris.fault import fault
from osiris.files import fail_os, make_private, steady, sweep, sync_folder
from osiris.model import Field
from osiris.sql.binding.duck_types import NotCarried, carry, quote_name
from osiris.sql.binding.engine import open_engine
from osiris.sql.binding.interrupts import interruptible
from osiris.sql.binding.problems import ENGINE_ERRORS, details, kind_of, runtime_problem
from osiris.types import Type, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Schema

DATABASE = "osiris_database"
"""The name under which the file is attached."""

SCHEMA = "main"
_IN_SCHEMA = "database_name = ? AND lower(schema_name) = lower(?)"
"""What tells the tables of a schema; its name means the same in any case."""

_SHARE = 0.5
"""The part of a step's memory that the engine may use."""

_BUSY = "Resource In Use"
_DAMAGED = frozenset({"Data Corruption", "Serialization", "Invalid Configuration", "Missing Extension"})

_ABOUT_ROWS = ("Constraint", "Conversion")

_lock = threading.Lock()
_readers: dict[str, tuple[DuckDBPyConnection, int]] = {}

_PLAIN = {
    **{f"int{bits}": name for bits, name in ((8, "TINYINT"), (16, "SMALLINT"), (32, "INTEGER"), (64, "BIGINT"))},
    **{f"uint{bits}": name for bits, name in ((8, "UTINYINT"), (16, "USMALLINT"), (32, "UINTEGER"), (64, "UBIGINT"))},
    "bool": "BOOLEAN",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "utf8": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "uuid": "UUID",
    "json": "JSON",
}
_MOMENTS: dict[tuple[str, bool], tuple[str, ...]] = {
    ("time", False): ("TIME", "TIME", "TIME", "TIME_NS"),
    ("timestamp", False): ("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"),
    ("timestamp", True): ("TIMESTAMPTZ", "TIMESTAMPTZ", "TIMESTAMPTZ", "TIMESTAMPTZ_NS"),
}
_UNITS = ("s", "ms", "us", "ns")


@contextmanager
def reading(ctx: StepContext, path: Path, schema: str = SCHEMA) -> Iterator[DuckDBPyConnection]:
    """Give a connection that reads one snapshot of the database; names without a schema are looked up in `schema`."""
    check_file(path, label(ctx, path))
    key = os.path.realpath(path)
    with steady(path, label(ctx, path)):
        cursor = patiently(lambda: _borrow(key, path, ctx), ctx, path)
    try:
        with taking_turns(path), interruptible(cursor, ctx.cancelled):
            cursor.execute(f"USE {DATABASE}")
            _expect_schema(cursor, ctx, path, schema)
            cursor.execute(f"USE {DATABASE}.{quote_name(schema)}")
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield cursor
    finally:
        cursor.close()
        _give_back(key)


@contextmanager
def writing(ctx: StepContext, path: Path) -> Iterator[DuckDBPyConnection]:
    """Give the only connection to the database, which is made if it is not there."""
    sweep(path.parent)
    with _lock:
        if not path.exists():
            _create(ctx, path)
    with steady(path, label(ctx, path)):
        engine = patiently(lambda: _attach(path, ctx, "READ_WRITE"), ctx, path)
    try:
        with taking_turns(path), interruptible(engine, ctx.cancelled):
            engine.execute(f"USE {DATABASE}")
            yield engine
    finally:
        engine.close()


def _borrow(key: str, path: Path, ctx: StepContext) -> DuckDBPyConnection | None:
    with _lock:
        engine, users = _readers.get(key) or (_attach(path, ctx, "READ_ONLY"), 0)
        if engine is None:
            return None
        _readers[key] = engine, users + 1
        return engine.cursor()


def _give_back(key: str) -> None:
    with _lock:
        engine, users = _readers.pop(key)
        if users > 1:
            _readers[key] = engine, users - 1
        else:
            engine.close()


def _attach(path: Path, ctx: StepContext, how: str) -> DuckDBPyConnection | None:
    """Return an engine with the database; None if others use it."""
    quoted = str(path).replace("'", "''")
    attach = f"ATTACH '{quoted}' AS {DATABASE} (TYPE duckdb, {how})"
    memory = int(ctx.memory * _SHARE)
    try:
        first = ("SET GLOBAL errors_as_json = true", attach)
        return open_engine(ctx.scratch, memory=memory, threads=ctx.threads, first=first)
    except ENGINE_ERRORS as error:
        told = details(error)
        if told.get("exception_type") == _BUSY or _number(told) == errno.EAGAIN:
            return None
        if _number(told):
            fail_os(OSError(_number(told), os.strerror(_number(told))), label(ctx, path))
        check_file(path, label(ctx, path))
        fail(
            "DRV010",
            path=label(ctx, path),
            kind="DuckDB",
            reason="it is damaged, encrypted, of another version, or no database",
        )


def _number(told: dict[str, JsonValue]) -> int:
    text = str(told.get("errno", ""))
    return int(text) if text.isdigit() else 0


def _create(ctx: StepContext, path: Path) -> None:
    """Make an empty database appear whole: one that a kill left half made could never be opened again."""
    make_private(ctx.scratch)
    made = ctx.scratch / "new.duckdb"
    made.unlink(missing_ok=True)
    engine = _attach(made, ctx, "READ_WRITE")
    if engine is not None:
        engine.close()
    temporary = path.with_name(f".{path.name}.osiris-{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # a sweep removes what nobody holds
            file.write(made.read_bytes())
            file.flush()
            fault("duckdb.create")
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        fail_os(error, label(ctx, path))
    finally:
        temporary.unlink(missing_ok=True)
        made.unlink(missing_ok=True)


def _expect_schema(cursor: DuckDBPyConnection, ctx: StepContext, path: Path, schema: str) -> None:
    rows = cursor.execute("SELECT schema_name FROM duckdb_schemas() WHERE database_name = ?", [DATABASE]).fetchall()
    known = [name for (name,) in rows]
    if same_name(schema, known) is None:
        fail_no_table(ctx, path, f"{schema}.…", known)


def relations(engine: DuckDBPyConnection, schema: str) -> dict[str, int | None]:
    """Return the tables and views of a schema: of a table how many rows it has, about, of a view None."""
    tables = engine.execute(
        f"SELECT table_name, estimated_size FROM duckdb_tables() WHERE {_IN_SCHEMA}",
        [DATABASE, schema],
    ).fetchall()
    views = engine.execute(
        f"SELECT view_name FROM duckdb_views() WHERE {_IN_SCHEMA} AND NOT internal",
        [DATABASE, schema],
    ).fetchall()
    return {**dict(tables), **{name: None for (name,) in views}}


def described_columns(
    engine: DuckDBPyConnection, schema: str, table: str, columns: Sequence[str] | None, where: str
) -> Schema:
    """Return the columns of a table or a view, all or those asked for, in that order; `where` names it.

    Fails with DAT005 for a column that is not there, with DAT006 for one that is not carried.
    """
    kinds = _kinds(engine, schema, table)
    check_known({"columns": columns or ()}, list(kinds), where)
    needed = {name for name, nullable, *_ in _declared(engine, schema, table) if not nullable}
    fields, problems = [], []
    for name in kinds if columns is None else columns:
        try:
            fields.append(Field(name, carry(kinds[name]).type, name not in needed))
        except NotCarried as refused:
            why = "it cannot be handed to another step; leave it out with 'columns', or read it with 'query'"
            problems.append(diagnostic("DAT006", hint=refused.instead, column=name, type=refused.kind, reason=why))
    if problems:
        raise_all(problems)
    return tuple(fields)


def table_columns(engine: DuckDBPyConnection, schema: str, table: str) -> list[Column]:
    """Return the columns of a table as a writer sees them."""
    kinds = _kinds(engine, schema, table)
    declared = {
        name: (not nullable and default is None, computed)
        for name, nullable, default, computed in _declared(engine, schema, table)
    }
    return [Column(name, _carried(kind), str(kind), *declared.get(name, ())) for name, kind in kinds.items()]


def is_unique(engine: DuckDBPyConnection, schema: str, table: str, key: Sequence[str]) -> bool:
    """Tell whether a constraint keeps the key unique, or an index, of which the engine tells no columns, may."""
    where, values = f"{_IN_SCHEMA} AND table_name = ?", [DATABASE, schema, table]
    found = engine.execute(
        f"""SELECT constraint_column_names FROM duckdb_constraints()
        WHERE {where} AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')""",
        values,
    ).fetchall()
    wanted = {name.lower() for name in key}
    if any({name.lower() for name in names} == wanted for (names,) in found):
        return True
    return bool(engine.execute(f"SELECT 1 FROM duckdb_indexes() WHERE {where} AND is_unique", values).fetchall())


def has_collation(engine: DuckDBPyConnection, schema: str, table: str) -> bool:
    """Tell whether a table may compare text otherwise than by its characters: only the text that made it tells."""
    query = f"SELECT contains(lower(sql), 'collate') FROM duckdb_tables() WHERE {_IN_SCHEMA} AND table_name = ?"
    return any(found for (found,) in engine.execute(query, [DATABASE, schema, table]).fetchall())


def _kinds(engine: DuckDBPyConnection, schema: str, table: str) -> dict[str, DuckDBPyType]:
    relation = engine.sql(f"SELECT * FROM {qualified(schema, table)} LIMIT 0")
    return dict(zip(relation.columns, relation.types, strict=True))


def _declared(engine: DuckDBPyConnection, schema: str, table: str) -> list[tuple[str, bool, str | None, bool]]:
    return engine.execute(
        f"""SELECT column_name, is_nullable, column_default, is_generated FROM duckdb_columns()
        WHERE {_IN_SCHEMA} AND table_name = ? ORDER BY column_index""",
        [DATABASE, schema, table],
    ).fetchall()


def _carried(kind: DuckDBPyType) -> str | None:
    try:
        return carry(kind).type
    except NotCarried:
        return None


def column_type(kind: str) -> str | None:
    """Return the DuckDB type that holds every value of a type; None if there is none."""
    return _column_type(parse_type(kind))


def _column_type(kind: Type) -> str | None:
    if kind.kind == "decimal":
        digits, scale = map(int, kind.parameters)
        return f"DECIMAL({digits}, {scale})" if digits <= 38 else None
    if kind.kind in ("time", "timestamp"):
        unit, *zone = kind.parameters
        return _MOMENTS[kind.kind, bool(zone)][_UNITS.index(str(unit))] if zone in ([], ["UTC"]) else None
    if kind.children:
        inner = [(name, _column_type(child)) for name, child in kind.children]
        if any(child is None for _, child in inner):
            return None
        if kind.kind == "list":
            return f"{inner[0][1]}[]"
        return f"STRUCT({', '.join(f'{quote_name(name)} {child}' for name, child in inner)})"
    return _PLAIN[kind.kind]


def refuse_types(ctx: StepContext, schema: Schema) -> None:
    """Fail with CMP012 for columns that DuckDB cannot hold as they are."""
    reasons = {
        column.name: "DuckDB has decimals of at most 38 digits, and times with a zone only in UTC"
        for column in schema
        if column_type(column.type) is None
    }
    refuse_columns(ctx, schema, reasons)


@contextmanager
def refusing(ctx: StepContext, target: Target) -> Iterator[None]:
    """Say in our words that a row does not fit the table: fails with DAT032."""
    try:
        yield
    except ENGINE_ERRORS as error:
        told = details(error)
        if told.get("exception_type") not in _ABOUT_ROWS:
            raise
        fail_row(ctx, target, " ".join(str(told.get("exception_message", "")).split()))


@contextmanager
def translated(ctx: StepContext, path: Path, query: str | None = None) -> Iterator[None]:
    """Say in our words what the engine raises; `query` is the user's text, if it is one that runs."""
    try:
        yield
    except MemoryError:
        fail("RUN013", step=ctx.step, limit=f"{ctx.memory / 1e6:.0f} MB")
    except ENGINE_ERRORS as error:
        _fail_engine(error, ctx, path, query)


def _fail_engine(error: Exception, ctx: StepContext, path: Path, query: str | None) -> NoReturn:
    told, shown = details(error), label(ctx, path)
    kind = kind_of(error)
    if kind == "interrupted":
        fail("RUN003", signal="request")
    if kind == "memory":
        fail("RUN013", step=ctx.step, limit=f"{ctx.memory / 1e6:.0f} MB")
    if _number(told):
        fail_os(OSError(_number(told), os.strerror(_number(told))), shown)
    if told.get("exception_type") in _DAMAGED:
        fail("DRV010", path=shown, kind="DuckDB", reason="it is damaged")
    problem = runtime_problem(error, query or "")
    if query:
        raise_all([problem])
    fail("DRV013", path=shown, problem=problem.message)


def qualified(schema: str, table: str) -> str:
    """Return a table's full name, quoted."""
    return f"{DATABASE}.{quote_name(schema)}.{quote_name(table)}"


def target_of(ctx: StepContext, path: Path, schema: str, table: str) -> Target:
    """Return how a table is called in the ledger and in messages."""
    return Target(table if schema == SCHEMA else f"{schema}.{table}", label(ctx, path))
