"""DuckDB databases: opening a file, its tables, types and errors, reading and writing rows.

A database is attached to an engine that is then locked down: statements can access only that one file. The engine
cannot open a file twice in one process, so steps that read the same file share an engine.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from duckdb import DuckDBPyConnection

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.families.quarantine import RowRejected
from osiris.families.source_columns import check_known
from osiris.families.sql.database import Column, ForeignKey, Relation, Source, insert_rows, listed
from osiris.families.sql.database_file import FileDatabase, FileSession, check_file, label
from osiris.families.sql.deletes import KEYS_TO_DELETE, gone_columns, key_fields
from osiris.families.sql.result import bound_values
from osiris.families.sql.stamps import is_zone
from osiris.families.sql.target_table import (
    KEYS,
    check_staged_keys,
    expect_all_written,
    fail_row,
    on_conflict,
    stage_keys,
)
from osiris.families.type_compat import holds
from osiris.fault import fault
from osiris.files import fail_os
from osiris.model import Field
from osiris.sql import check
from osiris.sql.binding.bind import carried, explain, schema_of_relation
from osiris.sql.binding.duck_types import PLAIN, NotCarried, carry, casts_in, quote_name
from osiris.sql.binding.engine import interruptible, open_engine
from osiris.sql.binding.precision_loss import precision_losses
from osiris.sql.binding.problems import ENGINE_ERRORS, details, kind_of, runtime_problem, with_place
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.sql.safety.names import mentioned_parameters
from osiris.table import finite, own_errors, passed_on
from osiris.types import Type, arrow_schema, parse_type

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

    from osiris.driver import StepContext
    from osiris.families.sql.database import Delivery, Staged, StepConfig
    from osiris.model import JsonValue, Order, Schema
    from osiris.replication import KeysToDelete
    from osiris.sql import Verdict

    Session = FileSession[DuckDBPyConnection]

DATABASE = "osiris_database"
"""The catalogue name of the attached file."""

_IN_SCHEMA = "database_name = ? AND lower(schema_name) = lower(?)"
"""The condition for the tables of a schema; its name is case-insensitive."""

_SHARE = 0.5
"""The part of a step's memory that the engine may use."""

_BUSY = "Resource In Use"
_DAMAGED = frozenset({"Data Corruption", "Serialization", "Invalid Configuration", "Missing Extension"})

_NO_CAST = "Conversion"
_ABOUT_ROWS = ("Constraint", _NO_CAST)

_lock = threading.Lock()
_readers: dict[str, tuple[DuckDBPyConnection, int]] = {}

_MADE = {
    **{ours: name.upper() for name, ours in PLAIN.items()},
    **dict.fromkeys(("time[s]", "time[ms]"), "TIME"),
    **dict.fromkeys(("timestamp[s,UTC]", "timestamp[ms,UTC]"), "TIMESTAMPTZ"),
    "json": "JSON",
}
"""The DuckDB type of each Osiris type without children."""
_CLOCK_VALUE = re.compile(
    r"(?:cast\()?(?:timezone\('(?P<zone>[^']*)', )?"
    r"(?:current_timestamp|(?P<local>current_localtimestamp\(\)|(?P<day>current_date|today\(\)))"
    r"|(?:now|get_current_timestamp|transaction_timestamp)\(\))"
    r"\)?(?: as (?P<type>[a-z _]+)\))?",
    re.IGNORECASE,
)
"""A default that is only the clock, perhaps in a time zone or another type."""
_BATCH = 100_000
_ROWS, _GONE_ROWS = "osiris_rows", "osiris_gone_rows"
_DECLARED = f"""
SELECT column_name, is_nullable, column_default, is_generated, comment FROM duckdb_columns()
WHERE {_IN_SCHEMA} AND table_name = ? ORDER BY column_index"""
_FOREIGN = """
SELECT schema_name, table_name, referenced_table, constraint_name FROM duckdb_constraints()
WHERE database_name = ? AND constraint_type = 'FOREIGN KEY'"""
_UNIQUE = f"""
SELECT constraint_column_names FROM duckdb_constraints()
WHERE {_IN_SCHEMA} AND table_name = ? AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')"""
_UNIQUE_INDEX = f"SELECT 1 FROM duckdb_indexes() WHERE {_IN_SCHEMA} AND table_name = ? AND is_unique"
"""DuckDB does not report the columns of an index."""
_COLLATED = f"SELECT contains(lower(sql), 'collate') FROM duckdb_tables() WHERE {_IN_SCHEMA} AND table_name = ?"
"""Whether a table may have a collation: only its CREATE statement says so."""
_COMMENT = f"SELECT comment FROM duckdb_tables() WHERE {_IN_SCHEMA} AND lower(table_name) = lower(?)"
_MARK = re.compile(r"\[osiris ([0-9a-f]{16})\]$")


class DuckDB(FileDatabase[DuckDBPyConnection]):
    """The duckdb family."""

    name = "duckdb"
    log_suffix = ".wal"
    created_atomically = True
    checks_foreign_keys = "row"
    unsupported_reason = "DuckDB has decimals of at most 38 digits, and times with a zone only in UTC"

    def open(self, ctx: StepContext, path: Path, *, writing: bool) -> DuckDBPyConnection | None:
        """Return a connection to a new engine, or to one that already reads the file; None if it is locked."""
        return _attach(path, ctx, "READ_WRITE") if writing else _borrow(path, ctx)

    def close(self, session: Session, writing: bool) -> None:
        """Close a session, and the engine with the last one."""
        session.connection.close()
        if not writing:
            _give_back(session.path)

    @contextmanager
    def in_use(self, session: Session, writing: bool) -> Iterator[None]:
        """Interrupt statements once the step is cancelled; a reader resolves names in its schema."""
        with interruptible(session.connection, session.ctx.cancelled):
            session.run(f"USE {DATABASE}")
            if not writing:
                _expect_schema(session)
                session.run(f"USE {DATABASE}.{quote_name(session.schema)}")
                session.run("BEGIN TRANSACTION READ ONLY")
            yield

    def make_empty(self, ctx: StepContext, path: Path) -> None:
        """Create an empty database."""
        engine = _attach(path, ctx, "READ_WRITE")
        if engine is not None:
            engine.close()

    def client_errors(self) -> tuple[type[Exception], ...]:
        """Return the exception types of the engine."""
        return ENGINE_ERRORS

    def fail_engine(self, error: Exception, ctx: StepContext, path: Path, query: str | None) -> NoReturn:
        """Fail with the diagnostic for an error of the engine."""
        info, shown, kind = details(error), label(ctx, path), kind_of(error)
        if kind == "interrupted":
            fail("RUN003", signal="request")
        if kind == "memory":
            fail("RUN013", step=ctx.step, limit=f"{ctx.memory / 1e6:.0f} MB")
        if _number(info):
            fail_os(OSError(_number(info), os.strerror(_number(info))), shown)
        if info.get("exception_type") in _DAMAGED:
            fail("DRV010", path=shown, kind="DuckDB", reason="it is damaged")
        problem = runtime_problem(error, query or "")
        if query:
            raise_all([problem])
        fail("DRV013", path=shown, problem=problem.message)

    def as_rejection(self, error: Exception) -> RowRejected | None:
        """Return why a constraint rejects a row; None for other errors."""
        info = details(error)
        message = " ".join(str(info.get("exception_message", "")).split())
        return RowRejected("", message) if info.get("exception_type") == "Constraint" else None

    # The catalogue

    def relations(self, session: Session) -> dict[str, Relation]:
        """Return the tables, with estimated row counts, and views of the session's schema."""
        where = (DATABASE, session.schema)
        tables = session.rows(f"SELECT table_name, estimated_size FROM duckdb_tables() WHERE {_IN_SCHEMA}", *where)
        views = session.rows(f"SELECT view_name FROM duckdb_views() WHERE {_IN_SCHEMA} AND NOT internal", *where)
        relations = [Relation(name, rows=rows) for name, rows in tables] + [Relation(name, "view") for (name,) in views]
        return {relation.name: relation for relation in relations}

    def has_own(self, session: Session, table: str) -> bool:
        """Return whether one of our own tables exists; they are in the default schema."""
        return super().has_own(replace(session, schema=self.own_schema), table)

    def columns(self, session: Session, relation: Relation) -> list[Column]:
        """Return the columns of a table, in order."""
        declared = {
            name: (not nullable and default is None, computed, nullable, default, comment)
            for name, nullable, default, computed, comment in _declared(session, relation.name)
        }
        kinds = _kinds(session, relation.name)
        return [Column(name, _carried(kind), str(kind), *declared.get(name, ())) for name, kind in kinds.items()]

    def is_unique(self, session: Session, relation: Relation, key: Sequence[str]) -> bool:
        """Return whether a constraint enforces a unique key, or a unique index may: its columns are unknown."""
        where, key_names = (DATABASE, session.schema, relation.name), {name.lower() for name in key}
        if any({name.lower() for name in names} == key_names for (names,) in session.rows(_UNIQUE, *where)):
            return True
        return bool(session.rows(_UNIQUE_INDEX, *where))

    def qualified(self, schema: str, table: str) -> str:
        """Return a table's full name, quoted."""
        return f"{DATABASE}.{super().qualified(schema, table)}"

    def product(self, session: Session) -> str:
        """Return the name and the version of the engine."""
        ((version,),) = session.rows("SELECT version()")
        return f"DuckDB {version.removeprefix('v')}"

    def file_facts(self, session: Session) -> Mapping[str, JsonValue]:
        """Return the version of the file's storage format."""
        rows = session.rows("SELECT tags FROM duckdb_databases() WHERE database_name = ?", DATABASE)
        return {"storage_version": rows[0][0].get("storage_version") if rows else None}

    # Types

    def column_type(self, kind: str) -> str | None:
        """Return the DuckDB type that stores every value of an Osiris type; None if there is none."""
        return column_type(parse_type(kind))

    def can_store(self, column: Column, kind: str) -> bool:
        """Return whether a column stores each value of a type unchanged; for lists, this depends on their items."""
        wide = column.type or ""
        while wide.startswith("list<") and kind.startswith("list<"):
            wide, kind = wide[5:-1], kind[5:-1]
        return bool(wide) and holds(wide, kind)

    # Reading

    def select(self, session: Session, config: StepConfig, ctx: StepContext) -> Source:
        """Return what a step reads; fails with DAT005, DAT006, DRV012, SQL001 to SQL009, SQL031."""
        if config.query is not None:
            return _query(session, config.query, ctx)
        relation = self.relation(session, str(config.table))
        schema = described_columns(session, relation.name, config.columns)
        text = f"SELECT {listed([c.name for c in schema])} FROM {self.qualified(session.schema, relation.name)}"
        text += "" if config.limit is None else f" LIMIT {config.limit}"
        rows = relation.rows
        estimate = rows if rows is None or config.limit is None else min(rows, config.limit)
        return Source(schema, text, order_of(relation), estimate)

    def batches(
        self, session: Session, source: Source, _config: StepConfig, _ctx: StepContext
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows."""
        return finite(read_batches(session, source.text, source.schema, _BATCH, source.detail))

    def is_stamped(self, session: Session, relation: Relation, column: Field, zone: str | None) -> bool:
        """Return whether the default of a column is the clock; DuckDB has no triggers."""
        defaults = {name: default for name, _, default, *_ in _declared(session, relation.name)}
        match = _CLOCK_VALUE.fullmatch(defaults.get(column.name) or "")
        if match is None or (column.type != "date" and (match["day"] or (match["type"] or "").lower() == "date")):
            return False
        return match["zone"] is None or (not match["local"] and is_zone(match["zone"], zone))

    # Writing

    def identity(self, session: Session, delivery: Delivery) -> str:
        """Return the mark in the comment of the target; empty without one."""
        match = _MARK.search(_comment(session, delivery))
        return match[1] if match else ""

    def put_mark(self, session: Session, delivery: Delivery, mark: str) -> None:
        """Add a mark to the comment of the target: nothing else that ALTER keeps can be given to a table."""
        text = f"{_comment(session, delivery)} [osiris {mark}]".strip().replace("'", "''")
        session.run(f"COMMENT ON TABLE {delivery.quoted} IS '{text}'")

    def make_table(self, session: Session, delivery: Delivery) -> None:
        """Create the table, and its schema."""
        session.run(f"CREATE SCHEMA IF NOT EXISTS {quote_name(session.schema)}")
        super().make_table(session, delivery)

    def load(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Insert all rows; fails with DAT032 for one that the table rejects, DRV015 if not all were inserted."""
        written = _insert(session, delivery, waiting)
        expect_all_written(delivery.ctx, delivery.target, waiting.rows, written)

    def merge(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Upsert all rows by their key; fails with DAT028 for keys that the table considers equal, else as `load`."""
        names = [column.name for column in delivery.schema]
        table = self.relation(session, delivery.table).name
        collated = any(flag for (flag,) in session.rows(_COLLATED, DATABASE, session.schema, table))
        if collated:
            stage_keys(session, delivery)
            session.connection.register(_ROWS, waiting.open().reader())
            session.run(f"INSERT INTO temp.{KEYS} SELECT {listed(delivery.key)} FROM temp.{_ROWS}")
            check_staged_keys(session, delivery)
        written = _insert(session, delivery, waiting, on_conflict(names, delivery.key, update_key=collated))
        if collated or set(names) != set(delivery.key):  # else existing rows are not counted
            expect_all_written(delivery.ctx, delivery.target, waiting.rows, written)

    def loose_columns(self, session: Session, relation: Relation, columns: Sequence[Column]) -> dict[str, str]:
        """Return all columns if the table has a collation: it is not known of which column."""
        collated = any(flag for (flag,) in session.rows(_COLLATED, DATABASE, session.schema, relation.name))
        texts = (column.name.lower() for column in columns if column.type == "utf8")
        return dict.fromkeys(texts, "the table has a collation") if collated else {}

    def foreign_keys(self, session: Session, _deliveries: Sequence[Delivery]) -> list[ForeignKey]:
        """Return the foreign keys of the database, which all refer to tables of their own schemas."""
        rows = session.rows(_FOREIGN, DATABASE)
        return [ForeignKey((schema, table), (schema, parent), name=name) for schema, table, parent, name in rows]

    def stage_keys_to_delete(self, session: Session, delivery: Delivery, to_delete: KeysToDelete) -> str:
        """Load the keys of rows to delete into a temporary table; returns its name in SQL."""
        names = gone_columns(delivery)
        keys = ", ".join(f"{quote_name(key)} AS {name}" for key, name in zip(delivery.key, names, strict=True))
        session.run(f"CREATE TEMP TABLE {KEYS_TO_DELETE} AS SELECT {keys} FROM {delivery.quoted} LIMIT 0")
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(arrow_schema(key_fields(delivery)), to_delete.batches())
        session.connection.register(_GONE_ROWS, reader)
        columns = listed([field.name for field in key_fields(delivery)])
        session.run(f"INSERT INTO temp.{KEYS_TO_DELETE} SELECT {columns} FROM temp.{_GONE_ROWS}")
        return f"temp.{KEYS_TO_DELETE}"

    def make_durable(self, session: Session, _delivery: Delivery) -> None:
        """Commit the transaction durably."""
        fault("duckdb.commit")
        session.run("COMMIT")
        fault("duckdb.committed")


DUCKDB = DuckDB()


def _comment(session: Session, delivery: Delivery) -> str:
    (comment,) = session.rows(_COMMENT, DATABASE, session.schema, delivery.table) or ((None,),)
    return comment[0] or ""


def _borrow(path: Path, ctx: StepContext) -> DuckDBPyConnection | None:
    key = os.path.realpath(path)
    with _lock:
        engine, users = _readers.get(key) or (_attach(path, ctx, "READ_ONLY"), 0)
        if engine is None:
            return None
        _readers[key] = engine, users + 1
        return engine.cursor()


def _give_back(path: Path) -> None:
    key = os.path.realpath(path)
    with _lock:
        engine, users = _readers.pop(key)
        if users > 1:
            _readers[key] = engine, users - 1
        else:
            engine.close()


def _attach(path: Path, ctx: StepContext, how: str) -> DuckDBPyConnection | None:
    """Return an engine with the attached database; None if it is locked."""
    quoted = str(path).replace("'", "''")
    attach = f"ATTACH '{quoted}' AS {DATABASE} (TYPE duckdb, {how})"
    memory = int(ctx.memory * _SHARE)
    try:
        first = ("SET GLOBAL errors_as_json = true", attach)
        return open_engine(ctx.scratch, memory=memory, threads=ctx.threads, first=first)
    except ENGINE_ERRORS as error:
        info = details(error)
        if info.get("exception_type") == _BUSY or _number(info) == errno.EAGAIN:
            return None
        if _number(info):
            fail_os(OSError(_number(info), os.strerror(_number(info))), label(ctx, path))
        check_file(path, label(ctx, path))
        fail(
            "DRV010",
            path=label(ctx, path),
            kind="DuckDB",
            reason="it is damaged, encrypted, of another version, or not a database",
        )


def _number(info: dict[str, JsonValue]) -> int:
    text = str(info.get("errno", ""))
    return int(text) if text.isdigit() else 0


def _expect_schema(session: Session) -> None:
    rows = session.rows("SELECT schema_name FROM duckdb_schemas() WHERE database_name = ?", DATABASE)
    schemas = [name for (name,) in rows]
    if DUCKDB.same_name(session.schema, schemas) is None:
        shown = f"{session.schema}.…"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(shown, schemas))


def described_columns(session: Session, table: str, columns: Sequence[str] | None) -> Schema:
    """Return the columns of a table or view: all, or `columns` in that order.

    Fails with DAT005 for a column that does not exist, with DAT006 for an unsupported one.
    """
    kinds = _kinds(session, table)
    check_known({"columns": columns or ()}, list(kinds), f"table '{table}' of {session.label}")
    needed = {name for name, nullable, *_ in _declared(session, table) if not nullable}
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


def order_of(relation: Relation) -> Order:
    """Return whether a plain scan of a relation has a fixed order of rows: that of a view is unknown."""
    return "free" if relation.kind == "view" else "fixed"


def _kinds(session: Session, table: str) -> dict[str, DuckDBPyType]:
    relation = session.connection.sql(f"SELECT * FROM {DUCKDB.qualified(session.schema, table)} LIMIT 0")
    return dict(zip(relation.columns, relation.types, strict=True))


def _declared(session: Session, table: str) -> list[tuple[str, bool, str | None, bool, str | None]]:
    return session.rows(_DECLARED, DATABASE, session.schema, table)


def _carried(kind: DuckDBPyType) -> str | None:
    try:
        return carry(kind).type
    except NotCarried:
        return None


def column_type(kind: Type) -> str | None:
    """Return the DuckDB type that stores every value of an Osiris type; None if there is none."""
    if kind.kind == "decimal":
        digits, scale = map(int, kind.parameters)
        return f"DECIMAL({digits}, {scale})" if digits <= 38 else None
    if kind.children:
        return _nested_type(kind)
    return _MADE.get(f"{kind.kind}[{','.join(map(str, kind.parameters))}]" if kind.parameters else kind.kind)


def _nested_type(kind: Type) -> str | None:
    inner = [(name, column_type(child)) for name, child in kind.children]
    if any(child is None for _, child in inner):
        return None
    if kind.kind == "list":
        return f"{inner[0][1]}[]"
    return f"STRUCT({', '.join(f'{quote_name(name)} {child}' for name, child in inner)})"


def _query(session: Session, query: str, ctx: StepContext) -> Source:
    """Check the query against the existing tables, once more before it runs: a plan is only text."""
    engine, tables = session.connection, DUCKDB.relations(session)
    verdict = check(query, "duckdb", relations=tables.keys(), parameters=mentioned_parameters(query))
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    text = str(verdict.canonical)
    assert_native(engine, text, tables.keys())
    values = bound_values(verdict, ctx.bindings) or None
    schema = _bound(session, verdict, values, {name: tables[name] for name in verdict.relations})
    total = with_total_order(text, [column.name for column in schema]) if verdict.ordered else text
    scanned = verdict.keeps_order and all(order_of(tables[name]) == "fixed" for name in verdict.relations)
    return Source(schema, total, "fixed" if verdict.ordered or scanned else "free", detail=values)


def _bound(
    session: Session, query: Verdict, values: Mapping[str, JsonValue] | None, relations: Mapping[str, Relation]
) -> Schema:
    """Return the columns of a query that was just checked; fails with SQL009 or SQL031."""
    engine, text = session.connection, str(query.canonical)
    # Unsupported columns are included for hints.
    columns = {name: DUCKDB.columns(session, each) for name, each in relations.items()}
    schemas = {name: tuple(Field(c.name, c.type or c.declared) for c in each) for name, each in columns.items()}
    explain(engine, text, values or {}, schemas)
    narrowed = precision_losses(query, engine, values or {})
    if narrowed:
        raise_all(narrowed)
    return schema_of_relation(engine.sql(text, params=values))


def read_batches(
    session: Session, text: str, schema: Schema, size: int, values: Mapping[str, JsonValue] | None = None
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of a SELECT, `size` at a time; `values` are those of its parameters."""
    engine, arrow = session.connection, arrow_schema(tuple(replace(column, nullable=True) for column in schema))
    relation = engine.sql(text, params=values)
    kinds = dict(zip(relation.columns, relation.types, strict=True))
    try:
        for batch in engine.sql(carried(text, relation), params=values).to_arrow_reader(size):
            yield batch if batch.schema.equals(arrow) else batch.cast(arrow)
    except ENGINE_ERRORS as error:
        place = _uncastable(session, text, kinds, values) if details(error).get("exception_type") == _NO_CAST else None
        if place is None:
            raise
        raise with_place(error, place) from None


def _uncastable(
    session: Session, text: str, kinds: Mapping[str, DuckDBPyType], values: Mapping[str, JsonValue] | None
) -> str | None:
    """Return the first place inside a list or struct of a SELECT with a value that its cast loses, if any.

    Of such values, the engine does not name the column.
    """
    engine = session.connection
    with suppress(*ENGINE_ERRORS):
        engine.execute("ROLLBACK")  # after an error, a transaction runs nothing more
    for name, kind in kinds.items():
        column = quote_name(name)
        for place, duck in (each for each in casts_in(kind, name) if each[0] != name):
            lost = f"SELECT 1 FROM (\n{text}\n) WHERE {column} IS NOT NULL AND TRY(CAST({column} AS {duck})) IS NULL"
            with suppress(*ENGINE_ERRORS):  # the query itself fails: then no cast of ours is the cause
                if engine.execute(f"{lost} LIMIT 1", values).fetchall():
                    return place
    return None


def _insert(session: Session, delivery: Delivery, waiting: Staged, conflict: str = "") -> int:
    """Insert all rows, and return the engine's count of written rows; fails with DAT032."""
    names = [column.name for column in delivery.schema]
    waited = waiting.open()
    rows = passed_on(waited, finite(waited.batches()))
    session.connection.register(_ROWS, rows.reader())
    statement = insert_rows(delivery.quoted, names, f"SELECT {listed(names)} FROM temp.{_ROWS}") + conflict
    try:
        with own_errors(rows):
            ((written,),) = session.rows(statement)
    except ENGINE_ERRORS as error:
        info = details(error)
        if info.get("exception_type") not in _ABOUT_ROWS:
            raise
        fail_row(delivery.ctx, delivery.target, " ".join(str(info.get("exception_message", "")).split()))
    return int(written)
