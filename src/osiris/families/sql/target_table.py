"""The table that a step writes: its name, its columns and its key, and whether rows fit it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import Location, diagnostic, did_you_mean, fail, nearest, raise_all
from osiris.families.sql.database import repeated_key
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
    from osiris.families.sql.database import Database, Delivery, Session, Staged, Target
    from osiris.model import Field, JsonValue, Schema

THERE, ABSENT = "there", "absent"
"""What a writer says of its table before a run."""
_RESERVED = "_osiris_"
"""How names of our own tables begin; both engines take two names that differ in the case of ASCII letters for one."""
KEYS = "osiris_keys"
"""The temporary table of keys."""
_SHARE = 0.5
_SHOWN = 100


def refuse_columns(ctx: StepContext, schema: Schema, reasons: Mapping[str, str], *, case_tells: bool = False) -> None:
    """Fail with CMP012 for each column that cannot be carried, with the reason by its name.

    `case_tells`: names that differ in case are those of two columns, and whatever else a name may be is in `reasons`.
    """
    folded = Counter(column.name.lower() for column in schema)
    twins = {c.name: "SQL does not tell its name from another column's" for c in schema if folded[c.name.lower()] > 1}
    unnamed = {c.name: "its name is empty or has a control character" for c in schema if not _is_name(c.name)}
    found = {**reasons} if case_tells else {**reasons, **twins, **unnamed}
    if found:
        types = {column.name: column.type for column in schema}
        raise_all(uncarried(ctx.step, name, types[name], reason) for name, reason in found.items())


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable()


def refuse_name(table: str) -> None:
    """Fail with OML028 for a table that may not be written: one of our own, or one whose name cannot be told."""
    problem = None
    if table.lower().startswith(_RESERVED):
        problem = f"may not be '{table}': names that begin with {_RESERVED} are reserved, in whatever case"
    elif not _is_name(table):
        problem = f"may not be {table!r}: it is empty or has a control character"
    if problem:
        fail("OML028", at=Location(pointer="/config/table"), key="table", problem=problem)


def expect_all_taken(ctx: StepContext, target: Target, given: int, taken: int) -> None:
    """Fail with DRV015 if a table has taken more or fewer rows than it was given; what was written is then undone."""
    if taken != given:
        fail("DRV015", step=ctx.step, table=target.table, path=target.database, given=given, taken=taken)


def refuse_table(delivery: Delivery, problem: str, hint: str) -> NoReturn:
    """Fail with DAT029 for a table that rows cannot be written to as they are meant."""
    fail("DAT029", step=delivery.ctx.step, table=delivery.target.table, problem=problem, hint=hint)


def refuse_misfit(delivery: Delivery, columns: Sequence[Any]) -> None:
    """Fail with DAT029 for all in which rows do not fit an existing table, of which these are the columns."""
    database = delivery.database
    known = {database.fold(column.name): column for column in columns}
    given = {database.fold(field.name) for field in delivery.schema}
    problems = [(problem, hint) for field in delivery.schema for problem, hint in _misfit(database, field, known)]
    problems += [
        (f"its column '{column.name}' needs a value, and the rows have no such column", None)
        for column in columns
        if column.required and database.fold(column.name) not in given
    ]
    problems += database.further_misfits(delivery, columns)
    if problems:
        step, table = delivery.ctx.step, delivery.target.table
        raise_all(
            diagnostic("DAT029", step=step, table=table, problem=problem, hint=hint) for problem, hint in problems
        )


def _misfit(database: Database[Any], field: Field, known: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield why a column of rows does not go into a table, and the hint at it."""
    column = known.get(database.fold(field.name))
    if column is None:
        hint = column_hint(field.name, [column.name for column in known.values()])
        yield f"it has no column '{field.name}'", hint
    elif column.computed:
        yield f"its column '{column.name}' is computed by {database.computed_by}", "leave the column out of the rows"
    elif not database.holds(column, field.type):
        hint = cast_hint(column.name, column.type, field.type) if database.hints_at_casts else None
        yield f"its column '{column.name}' is {column.declared or 'of no type'}, which cannot hold {field.type}", hint


def fail_row(ctx: StepContext, target: Target, problem: str) -> NoReturn:
    """Fail with DAT032 for a row that a rule of the table refuses."""
    hint = "mend or leave out such rows before; nothing was written"
    fail("DAT032", step=ctx.step, table=target.table, problem=problem, hint=hint)


def tell_new_table(ctx: StepContext, table: str, known: Iterable[str]) -> None:
    """Tell that a step makes its table, and which of those that are there is called nearly so."""
    near = nearest(table, [name for name in known if not name.lower().startswith(_RESERVED)])
    ctx.emit("new_table", {"table": table, "near": near})


def check_key_columns(ctx: StepContext, schema: Schema, key: Sequence[str]) -> None:
    """Fail with DAT005 for a column of the key that is not there, with CMP012 for one that cannot name a row."""
    types = {column.name: column.type for column in schema}
    found: list[Diagnostic] = []
    for name in key:
        if name not in types:
            hint = did_you_mean(name, types)
            found.append(diagnostic("DAT005", column=name, where=f"the input of step '{ctx.step}'", hint=hint))
        elif reason := _unfit(types[name]):
            found.append(diagnostic("CMP012", step=ctx.step, column=name, type=types[name], reason=reason))
    if found:
        raise_all(found)


def _unfit(kind: str) -> str | None:
    parsed = parse_type(kind)
    wide = parsed.kind == "decimal" and int(parsed.parameters[0]) > 38
    if parsed.children or wide or parsed.kind in ("float32", "float64", "json"):
        return "it stands in primary_key, and whether two such values are the same is not plain"
    return None


def refuse_repeated_keys(waiting: Staged, key: Sequence[str], ctx: StepContext) -> None:
    """Fail with DAT028 if two rows have the same key, or one has NULL in it: which row would win is chance."""
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
        found = engine.execute(
            f"SELECT count(*), {listed} FROM waiting GROUP BY {listed} HAVING count(*) > 1 OR {null} "
            f"ORDER BY {listed} LIMIT 1"
        ).fetchone()
    finally:
        engine.close()
    if found:
        fail_key(found[1:], key, "has NULL in it" if None in found[1:] else f"stands in {found[0]} rows", ctx)


def stage_keys(session: Session, delivery: Delivery) -> None:
    """Make a temporary table for the keys of rows, where they are compared as in the target; it goes by itself."""
    key = ", ".join(map(quote_name, delivery.key))
    session.run(f"CREATE TEMP TABLE {KEYS} AS SELECT {key} FROM {delivery.quoted} LIMIT 0")


def refuse_equal_keys(session: Session, delivery: Delivery, collations: Mapping[str, str] | None = None) -> None:
    """Fail with DAT028 for staged keys that the target takes for one, under its collations or those given by column."""
    for found in session.rows(repeated_key(f"temp.{KEYS}", delivery.key, collations)):
        problem = f"stands in {found[0]} rows, by the rules by which the table compares text"
        fail_key(found[1:], delivery.key, problem, delivery.ctx)


def fail_key(values: Sequence[JsonValue], key: Sequence[str], problem: str, ctx: StepContext) -> NoReturn:
    """Fail with DAT028 for a key that names no row, or several."""
    shown = ", ".join(f"{name}={value!r}"[:_SHOWN] for name, value in zip(key, values, strict=True))
    fail("DAT028", step=ctx.step, key=shown, problem=problem)
