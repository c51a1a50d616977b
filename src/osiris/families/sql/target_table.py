"""The table that a step writes: checks of its name, columns and key, and whether rows fit it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import Location, diagnostic, did_you_mean, fail, nearest, raise_all
from osiris.families.sql.database import listed
from osiris.families.text_format import value_text
from osiris.families.type_compat import cast_hint, column_hint, uncarried
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.binding.engine import borrow
from osiris.table import stream
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.sql.database import Delivery, Session, Staged, Target
    from osiris.model import Field, JsonValue, Schema

THERE, ABSENT = "there", "absent"
"""The state of a writer's table before a run."""
_RESERVED = "_osiris_"
"""The prefix of our own tables; file databases ignore the case of ASCII letters in names."""
KEYS = "osiris_keys"
"""The temporary table of staged keys."""
_SHARE = 0.5
_SHOWN = 100


def check_columns(ctx: StepContext, schema: Schema, reasons: Mapping[str, str], *, by_case: bool = False) -> None:
    """Fail with CMP012 for each column that the target does not support; `reasons` are by column name.

    `by_case`: names are case-sensitive, and `reasons` covers all problems with names.
    """
    folded = Counter(column.name.lower() for column in schema)
    twins = {c.name: "in SQL its name equals another column's" for c in schema if folded[c.name.lower()] > 1}
    unnamed = {c.name: "its name is empty or has a control character" for c in schema if not _is_name(c.name)}
    problems = {**reasons} if by_case else {**reasons, **twins, **unnamed}
    if problems:
        types = {column.name: column.type for column in schema}
        raise_all(uncarried(ctx.step, name, types[name], reason) for name, reason in problems.items())


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable()


def name_problem(table: str) -> str | None:
    """Return why a table of a file cannot have a name: it is reserved, empty, or not printable; None if it can."""
    if table.lower().startswith(_RESERVED):
        return f"names that begin with {_RESERVED} are reserved, in any case"
    return None if _is_name(table) else "it is empty or contains a control character"


def expect_all_written(ctx: StepContext, target: Target, expected: int, written: int) -> None:
    """Fail with DRV015 if a table has more or fewer new rows than were sent; the transaction is then rolled back."""
    if written != expected:
        fail("DRV015", step=ctx.step, table=target.table, path=target.database, given=expected, taken=written)


def fail_table(delivery: Delivery, problem: str, hint: str) -> NoReturn:
    """Fail with DAT029 for a table to which rows cannot be written as configured."""
    fail("DAT029", step=delivery.ctx.step, table=delivery.target.table, problem=problem, hint=hint)


def fail_schema(delivery: Delivery, schema: str, remedy: str, path: str, schemas: Iterable[str] = ()) -> NoReturn:
    """Fail with DRV071 for a missing schema; `remedy` is the statement that creates it, `schemas` are those there."""
    near = nearest(schema, [*schemas])
    hint = f"run {remedy}, or write '{near}' if that is meant" if near else None
    fail("DRV071", schema=schema, table=delivery.target.table, path=path, remedy=remedy, hint=hint)


def check_columns_fit(delivery: Delivery, columns: Sequence[Any]) -> None:
    """Fail with DAT029 for all mismatches between rows and the columns of an existing table."""
    database = delivery.database
    by_name = {database.fold(column.name): column for column in columns}
    names = {database.fold(field.name) for field in delivery.schema}
    problems = [(problem, hint) for field in delivery.schema for problem, hint in _misfit(delivery, field, by_name)]
    problems += [
        (f"its column '{column.name}' needs a value, and the rows have no such column", None)
        for column in columns
        if column.required and database.fold(column.name) not in names
    ]
    problems += database.extra_mismatches(delivery, columns)
    if problems:
        step, table = delivery.ctx.step, delivery.target.table
        raise_all(
            diagnostic("DAT029", step=step, table=table, problem=problem, hint=hint) for problem, hint in problems
        )


def add_column(delivery: Delivery, name: str, kind: str) -> str:
    """Return the statement that adds a column to the target; rows that are there have NULL in it."""
    quote = delivery.database.quote
    table = ".".join(map(quote, filter(None, (delivery.config.schema, delivery.table))))
    return f"ALTER TABLE {table} ADD COLUMN {quote(name)} {kind} NULL"


def _misfit(delivery: Delivery, field: Field, columns: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield why a column of rows does not fit a table, and a hint."""
    database = delivery.database
    column = columns.get(database.fold(field.name))
    if column is None:
        statement = add_column(delivery, field.name, str(database.column_type(field.type)))
        names = [column.name for column in columns.values()]
        yield f"it has no column '{field.name}'", column_hint(field.name, names, statement)
    elif column.computed:
        yield f"its column '{column.name}' is computed by {database.computed_by}", "leave the column out of the rows"
    elif not database.can_store(column, field.type):
        hint = cast_hint(column.name, column.type, field.type) if database.hints_at_casts else None
        yield f"its column '{column.name}' is {column.declared or 'of no type'}, which cannot hold {field.type}", hint


def fail_row(ctx: StepContext, target: Target, problem: str) -> NoReturn:
    """Fail with DAT032 for a row that violates a constraint of the table."""
    hint = "fix or remove such rows first"
    fail("DAT032", step=ctx.step, table=target.table, problem=problem, hint=hint)


def emit_new_table(ctx: StepContext, table: str, tables: Iterable[str]) -> None:
    """Emit that a step creates its table, and which existing table has a similar name."""
    near = nearest(table, [name for name in tables if not name.lower().startswith(_RESERVED)])
    ctx.emit("new_table", {"table": table, "near": near})


def check_key_columns(ctx: StepContext, schema: Schema, key: Sequence[str]) -> None:
    """Fail with DAT005 for a key column that does not exist, with CMP012 for one that cannot identify a row."""
    types = {column.name: column.type for column in schema}
    problems: list[Diagnostic] = []
    for index, name in enumerate(key):
        if name not in types:
            at, where = Location(pointer=f"/config/primary_key/{index}"), f"the input of step '{ctx.step}'"
            problems.append(diagnostic("DAT005", at=at, column=name, where=where, hint=did_you_mean(name, types)))
        elif reason := _unfit(types[name]):
            problems.append(diagnostic("CMP012", step=ctx.step, column=name, type=types[name], reason=reason))
    if problems:
        raise_all(problems)


def _unfit(kind: str) -> str | None:
    parsed = parse_type(kind)
    wide = parsed.kind == "decimal" and int(parsed.parameters[0]) > 38
    if parsed.children or wide or parsed.kind in ("float32", "float64", "json"):
        return "it is in primary_key, but such values have no defined equality"
    return None


def check_repeated_keys(waiting: Staged, key: Sequence[str], ctx: StepContext) -> None:
    """Fail with DAT028 if two rows have the same key, or a key contains NULL: which row wins would be random."""
    rows = waiting.open()
    schema = tuple(column for name in key for column in rows.schema if column.name == name)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows.batches():
            yield batch.select(list(key))

    names = [quote_name(name) for name in key]
    listed, null = ", ".join(names), " OR ".join(f"{name} IS NULL" for name in names)
    engine = borrow(ctx.scratch, memory=int(ctx.memory * _SHARE), threads=ctx.threads)
    try:
        engine.register("waiting", stream(schema, batches(), rows.order).reader())
        repeated = engine.execute(
            f"SELECT count(*), {listed} FROM waiting GROUP BY {listed} HAVING count(*) > 1 OR {null} "
            f"ORDER BY {listed} LIMIT 1"
        ).fetchone()
    finally:
        engine.close()
    if repeated:
        fail_key(repeated[1:], key, "has NULL in it" if None in repeated[1:] else f"appears in {repeated[0]} rows", ctx)


def on_conflict(columns: Sequence[str], key: Sequence[str], *, update_key: bool) -> str:
    """Return the ON CONFLICT clause that makes an insertion replace the existing row with the same `key`.

    `update_key`: the key is written too, as keys that are equal under a collation may differ.
    """
    names = [quote_name(name) for name in columns if update_key or name not in key]
    action = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}" if names else "NOTHING"
    return f" ON CONFLICT ({listed(key)}) DO {action}"


def stage_keys(session: Session, delivery: Delivery) -> None:
    """Create a temporary table for the keys of rows, which compares them as the target does."""
    key = ", ".join(map(quote_name, delivery.key))
    session.run(f"CREATE TEMP TABLE {KEYS} AS SELECT {key} FROM {delivery.quoted} LIMIT 0")


def repeated_key(table: str, key: Sequence[str], collations: Mapping[str, str] | None = None) -> str:
    """Return the query for one key that occurs in several rows of a table, preceded by the number of rows.

    Keys are compared under `collations` (by column), else under those of the table.
    """
    by = (f"{quote_name(name)} COLLATE {quote_name(order)}" for name, order in (collations or {}).items())
    groups = ", ".join(by) or listed(key)
    shown = ", ".join(f"min({quote_name(name)})" for name in key)
    return f"SELECT count(*), {shown} FROM {table} GROUP BY {groups} HAVING count(*) > 1 ORDER BY 2 LIMIT 1"


def check_staged_keys(session: Session, delivery: Delivery, collations: Mapping[str, str] | None = None) -> None:
    """Fail with DAT028 for staged keys that the target considers equal; `collations` (by column) override its own."""
    for repeated in session.rows(repeated_key(f"temp.{KEYS}", delivery.key, collations)):
        problem = f"appears in {repeated[0]} rows, by the rules by which the table compares text"
        fail_key(repeated[1:], delivery.key, problem, delivery.ctx)


def fail_key(values: Sequence[JsonValue], key: Sequence[str], problem: str, ctx: StepContext) -> NoReturn:
    """Fail with DAT028 for a key that identifies no row, or several."""
    shown = ", ".join(f"{name}={value_text(value)}"[:_SHOWN] for name, value in zip(key, values, strict=True))
    hint = "leave out rows without a key in a SQL step before it: WHERE KEY IS NOT NULL" if None in values else None
    fail("DAT028", step=ctx.step, key=shown, problem=problem, hint=hint)
