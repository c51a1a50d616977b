"""The table that a step writes: its name and columns, and whether rows fit it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import Location, diagnostic, fail, nearest, raise_all
from osiris.families.type_compat import column_hint, uncarried

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.model import Schema

THERE, ABSENT = "there", "absent"
"""What a writer says of its table before a run."""
_RESERVED = "_osiris_"
"""How names of our own tables begin; both engines take two names that differ in the case of ASCII letters for one."""


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a step writes, for the ledger and for messages: its name and its database's."""

    table: str
    database: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table: its type here, if it has one, as declared, and whether a row must give a value.

    `computed`: no row can give one.
    """

    name: str
    type: str | None
    declared: str
    required: bool = False
    computed: bool = False


def refuse_columns(ctx: StepContext, schema: Schema, reasons: Mapping[str, str]) -> None:
    """Fail with CMP012 for each column that cannot be carried, with the reason by its name."""
    folded = Counter(column.name.lower() for column in schema)
    twins = {c.name: "SQL does not tell its name from another column's" for c in schema if folded[c.name.lower()] > 1}
    unnamed = {c.name: "its name is empty or has a control character" for c in schema if not _is_name(c.name)}
    found = {**reasons, **twins, **unnamed}
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


def refuse_misfit(
    ctx: StepContext,
    target: Target,
    schema: Schema,
    columns: Sequence[Column],
    holds: Callable[[Column, str], bool],
) -> None:
    """Fail with DAT029 for all in which rows of a schema do not fit an existing table; `holds` compares types."""
    known = {column.name.lower(): column for column in columns}
    given = {column.name.lower() for column in schema}
    found: list[Diagnostic] = []

    def report(problem: str, hint: str | None = None) -> None:
        found.append(diagnostic("DAT029", step=ctx.step, table=target.table, problem=problem, hint=hint))

    for field in schema:
        there = known.get(field.name.lower())
        if there is None:
            report(f"it has no column '{field.name}'", column_hint(field.name, [column.name for column in columns]))
        elif there.computed:
            report(f"its column '{there.name}' is computed by the database", "leave the column out of the rows")
        elif not holds(there, field.type):
            report(f"its column '{there.name}' is {there.declared or 'of no type'}, which cannot hold {field.type}")
    for column in columns:
        if column.required and column.name.lower() not in given:
            report(f"its column '{column.name}' needs a value, and the rows have no such column")
    if found:
        raise_all(found)


def fail_view(ctx: StepContext, target: Target) -> NoReturn:
    """Fail with DAT029 for what is no table."""
    fail("DAT029", step=ctx.step, table=target.table, problem="it is a view", hint="write a table")


def fail_row(ctx: StepContext, target: Target, problem: str) -> NoReturn:
    """Fail with DAT032 for a row that a rule of the table refuses."""
    hint = "mend or leave out such rows before; nothing was written"
    fail("DAT032", step=ctx.step, table=target.table, problem=problem, hint=hint)


def fail_no_key(ctx: StepContext, target: Target, key: Sequence[str]) -> NoReturn:
    """Fail with DAT029 for a table in which nothing keeps the key of an upsert unique."""
    problem = f"it has no PRIMARY KEY or UNIQUE over {', '.join(key)}"
    fail("DAT029", step=ctx.step, table=target.table, problem=problem, hint="add one to the table, or use another mode")


def tell_new_table(ctx: StepContext, table: str, known: Iterable[str]) -> None:
    """Tell that a step makes its table, and which of those that are there is called nearly so."""
    near = nearest(table, [name for name in known if not name.lower().startswith(_RESERVED)])
    ctx.emit("new_table", {"table": table, "near": near})


def same_name(name: str, known: Collection[str]) -> str | None:
    """Return the name among `known` that SQL takes for `name`: itself, or one that is equal but for case."""
    if name in known:
        return name
    return next((each for each in known if each.lower() == name.lower()), None)
