"""The table that a step writes: its columns as the catalogue has them, and whether rows of a schema fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.families.postgres.column_mapping import cast_for, way
from osiris.families.postgres.session import relations
from osiris.families.postgres.types import Kind
from osiris.families.type_compat import cast_hint, column_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.postgres.column_mapping import Way
    from osiris.families.postgres.session import Relation, Session
    from osiris.families.postgres.transaction import Place
    from osiris.model import Schema

_SHOWN = 3
_EXACT = frozenset((16, 17, 18, 19, 20, 21, 23, 25, 26, 28, 1043, 1082, 1083, 1114, 1184, 2950))
"""Types of which equal values are the same value: numbers without a point, texts, bytes, moments, identifiers."""
_SCALED = (1042, 1700)
"""char and numeric, which are so where the column says how long its values are."""
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_COLUMNS = """
WITH RECURSIVE inner_type (attnum, type, modifier, needed) AS (
    SELECT attnum, atttypid, atttypmod, false FROM pg_catalog.pg_attribute
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
  UNION ALL
    SELECT d.attnum, t.typbasetype, CASE WHEN d.modifier = -1 THEN t.typtypmod ELSE d.modifier END, t.typnotnull
    FROM inner_type d JOIN pg_catalog.pg_type t ON t.oid = d.type WHERE t.typtype = 'd'
)
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
    a.attnotnull OR EXISTS (SELECT FROM inner_type n WHERE n.attnum = a.attnum AND n.needed),
    a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', a.attidentity = 'a',
    CASE WHEN (to_jsonb(l) ->> 'collisdeterministic')::bool IS FALSE
        THEN pg_catalog.format(' COLLATE %%I.%%I', n.nspname, l.collname) ELSE '' END,
    d.modifier, t.oid::int8, t.typtype::text, t.typname, i.oid::int8, i.typtype::text, i.typname
FROM inner_type d JOIN pg_catalog.pg_type t ON t.oid = d.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_attribute a ON a.attrelid = %s AND a.attnum = d.attnum
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
LEFT JOIN pg_catalog.pg_type i ON i.oid = t.typelem AND t.typcategory = 'A' AND t.typlen = -1
ORDER BY a.attnum"""
_KEYS = """
SELECT array_agg(a.attname::text), bool_and(i.indimmediate) FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid
    AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid"""
_WATCHED = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND ev_type = '4')
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND (tgtype & 8) <> 0)
FROM pg_catalog.pg_class c WHERE c.oid = %s"""
"""Whether rules or triggers look at what is deleted."""
_KEPT = """
SELECT relpersistence = 'u', ARRAY(
    SELECT c.relname::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = t.oid AND NOT c.relispartition ORDER BY 1
) FROM pg_catalog.pg_class t WHERE t.oid = %s"""
"""Whether a crash empties a table, and the tables that inherit from it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its type as declared, and whether a row must give a value, may leave it out, or must.

    `numbered`: the server gives its value whenever a row is changed. `collation` is how its texts are compared, as SQL
    says it, where it finds different texts equal.
    """

    name: str
    declared: str
    needed: bool
    default: bool
    generated: bool
    numbered: bool
    collation: str
    modifier: int
    kind: Kind

    @property
    def loose(self) -> bool:
        """Whether two of its values can be equal and differ, like texts in another case, or 1.0 and 1.00."""
        scaled = self.kind.oid in _SCALED and self.modifier >= 0
        exact = scaled or self.kind.oid in _EXACT or self.kind.sort == "e"
        return bool(self.collation) or not exact


def find_table(session: Session, place: Place) -> Relation | None:
    """Return the table, if it is there; fails with DRV012 for a schema that is not."""
    return relations(session).get(place.table)


def expect_table(session: Session, place: Place) -> Relation:
    """Return the table; fails with DRV012 if it is not there, naming the nearest."""
    known = relations(session)
    if place.table not in known:
        hint = did_you_mean(place.table, known)
        fail("DRV012", table=place.shown, path=session.target.where, hint=hint)
    return known[place.table]


def columns_of(session: Session, table: Relation) -> tuple[Column, ...]:
    """Return the columns of a table; a domain is the type that it is made of."""
    return tuple(_column(*row) for row in session.rows(_COLUMNS, table.oid, table.oid))


def _column(*row: Any) -> Column:  # noqa: ANN401  what the catalogue says
    *told, oid, sort, plain, item, item_sort, item_plain = row
    declared = told[1]
    inner = Kind(item, item_plain, item_sort, item_plain) if item is not None else None
    return Column(*[*told, Kind(oid, declared, sort, plain, inner)])


def whole_key(columns: Sequence[Column], key: Sequence[str]) -> bool:
    """Tell whether a row that takes the place of another must bring its key too: theirs can be equal and differ."""
    return any(column.loose for column in columns if column.name in key)


def ways_into(columns: Sequence[Column], schema: Schema) -> list[tuple[Column, Way]]:
    """Return the column of each field of a schema that fits, and how its values get there."""
    known = {column.name: column for column in columns}
    found = [
        (known[field.name], way(known[field.name].kind, known[field.name].modifier, field.type)) for field in schema
    ]
    return [(column, how) for column, how in found if how]


def refuse(session: Session, ctx: StepContext, place: Place, schema: Schema, mode: str, key: Sequence[str]) -> None:
    """Fail with all in which rows do not fit a table that is there (DAT029)."""
    table = expect_table(session, place)
    if table.kind in _KINDS:
        fail("DAT029", step=ctx.step, table=place.shown, problem=f"it is {_KINDS[table.kind]}", hint="write a table")
    columns = columns_of(session, table)
    found = _misfits(ctx, place, schema, columns)
    if mode == "upsert":
        found += _unchangeable(ctx, place, schema, columns, key)
    if found:
        raise_all(found)
    if mode == "replace" and under_row_security(session, place):
        problem = f"its row security hides rows from '{session.target.user}', which would stay"
        fail("DAT029", step=ctx.step, table=place.shown, problem=problem, hint="write as its owner, or with BYPASSRLS")
    _refuse_inherited(session, ctx, place, table, mode)
    if mode == "upsert":
        _expect_key(session, ctx, place, table, key)


def is_unlogged(session: Session, place: Place) -> bool:
    """Tell whether a crash of the server empties a table."""
    ((unlogged, _),) = session.rows(_KEPT, expect_table(session, place).oid)
    return bool(unlogged)


def _refuse_inherited(session: Session, ctx: StepContext, place: Place, table: Relation, mode: str) -> None:
    """Fail with DAT029 where a step would delete rows of tables that inherit from this one, or not see their keys."""
    ((_, children),) = session.rows(_KEPT, table.oid)
    if children and mode != "append":
        why = "whose rows would be deleted too" if mode == "replace" else "and a key is unique in each of them alone"
        problem = f"tables inherit from it ({', '.join(children[:_SHOWN])}), {why}"
        hint = "write the table that has the rows, or append"
        fail("DAT029", step=ctx.step, table=place.shown, problem=problem, hint=hint)


def _expect_key(session: Session, ctx: StepContext, place: Place, table: Relation, key: Sequence[str]) -> None:
    """Fail with DAT029 unless an index keeps the key unique; a deferrable one spoils it for the server."""
    found = [immediate for names, immediate in session.rows(_KEYS, table.oid) if set(names) == set(key)]
    if not found or not all(found):
        problem = f"it has {'a deferrable' if found else 'no'} PRIMARY KEY or UNIQUE over {', '.join(key)}"
        hint = "add one to the table, or use another mode"
        fail("DAT029", step=ctx.step, table=place.shown, problem=problem, hint=hint)


def under_row_security(session: Session, place: Place) -> bool:
    """Tell whether policies say which rows of a table the user may see and write."""
    table = expect_table(session, place)
    ((active,),) = session.rows("SELECT pg_catalog.row_security_active(%s::pg_catalog.oid)", table.oid)
    return bool(active)


def refuse_left(session: Session, ctx: StepContext, place: Place) -> None:
    """Fail with DAT029 for rows that a DELETE of all has left, as a trigger or a rule of the table may have it."""
    table = expect_table(session, place)
    ((watched,),) = session.rows(_WATCHED, table.oid)
    if watched and session.rows(f"SELECT 1 FROM {place.quoted} LIMIT 1"):
        problem, hint = "a trigger or rule of it keeps rows that are deleted", "use another mode"
        fail("DAT029", step=ctx.step, table=place.shown, problem=problem, hint=hint)


def _unchangeable(
    ctx: StepContext, place: Place, schema: Schema, columns: Sequence[Column], key: Sequence[str]
) -> list[Diagnostic]:
    """Return the columns of an upsert whose values the server lets nobody change."""
    given = {field.name for field in schema} - set(() if whole_key(columns, key) else key)
    hint = "leave the column out of the rows, or have it GENERATED BY DEFAULT"
    return [
        diagnostic(
            "DAT029",
            step=ctx.step,
            table=place.shown,
            problem=f"its column '{column.name}' is GENERATED ALWAYS AS IDENTITY, and never changed in a row",
            hint=hint,
        )
        for column in columns
        if column.numbered and column.name in given
    ]


def _misfits(ctx: StepContext, place: Place, schema: Schema, columns: Sequence[Column]) -> list[Diagnostic]:
    known = {column.name: column for column in columns}
    given = {field.name for field in schema}
    found: list[Diagnostic] = []

    def report(problem: str, hint: str | None = None) -> None:
        found.append(diagnostic("DAT029", step=ctx.step, table=place.shown, problem=problem, hint=hint))

    for field in schema:
        column = known.get(field.name)
        if column is None:
            report(f"it has no column '{field.name}'", column_hint(field.name, known))
        elif column.generated:
            report(f"its column '{column.name}' is computed by the server", "leave the column out of the rows")
        elif way(column.kind, column.modifier, field.type) is None:
            problem = f"its column '{column.name}' is {column.declared}, which cannot hold {field.type}"
            report(problem, cast_hint(column.name, cast_for(column.kind, column.modifier), field.type))
    for column in columns:
        if column.needed and not column.default and not column.generated and column.name not in given:
            report(f"its column '{column.name}' needs a value, and the rows have no such column")
    return found
