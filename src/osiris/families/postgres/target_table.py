"""The table that a step writes: its columns as the catalogue has them, and whether it takes rows in some mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.errors import did_you_mean, fail
from osiris.families.postgres.column_mapping import cast_for, way
from osiris.families.postgres.session import relations
from osiris.families.postgres.types import Kind
from osiris.families.sql.database import Column as TargetColumn
from osiris.families.sql.database import no_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.families.postgres.column_mapping import Way
    from osiris.families.postgres.session import Session, Table
    from osiris.families.sql.database import Delivery
    from osiris.model import Schema

    Found = Sequence[tuple["Column", Way]]
    """Columns of a table, and how values get into each."""

_SHOWN = 3
_EXACT = frozenset((16, 17, 18, 19, 20, 21, 23, 25, 26, 28, 1043, 1082, 1083, 1114, 1184, 2950))
"""Types of which equal values are the same value: numbers without a point, texts, bytes, moments, identifiers."""
_SCALED = (1042, 1700)
"""char and numeric, which are so where the column says how long its values are."""
_BIGINT = Kind(20, "bigint", "b", "int8")
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
class Column(TargetColumn):
    """A column of a table: `type` is the one that values may be cast to before, so that it takes them.

    `numbered`: the server gives its value whenever a row is changed. `collation` is how its texts are compared, as SQL
    says it, where it finds different texts equal.
    """

    modifier: int = -1
    kind: Kind = _BIGINT
    numbered: bool = False
    collation: str = ""

    @property
    def loose(self) -> bool:
        """Whether two of its values can be equal and differ, like texts in another case, or 1.0 and 1.00."""
        scaled = self.kind.oid in _SCALED and self.modifier >= 0
        exact = scaled or self.kind.oid in _EXACT or self.kind.sort == "e"
        return bool(self.collation) or not exact


def expect_table(session: Session, name: str) -> Table:
    """Return a table of the session's schema; fails with DRV012 if it is not there, naming the nearest."""
    known = relations(session)
    if name not in known:
        shown = f"{session.schema}.{name}"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(name, known))
    return known[name]


def columns_of(session: Session, relation: Table) -> tuple[Column, ...]:
    """Return the columns of a table; a domain is the type that it is made of."""
    return tuple(_column(*row) for row in session.rows(_COLUMNS, relation.oid, relation.oid))


def _column(name: str, declared: str, *told: Any) -> Column:  # noqa: ANN401  what the catalogue says
    needed, default, computed, numbered, collation, modifier, oid, sort, plain, item, item_sort, item_plain = told
    inner = Kind(item, item_plain, item_sort, item_plain) if item is not None else None
    kind, required = Kind(oid, declared, sort, plain, inner), needed and not default and not computed
    cast = cast_for(kind, modifier)
    return Column(name, cast, declared, required, computed, modifier, kind, numbered, collation)


def fits(column: Column, source: str) -> bool:
    """Tell whether a column holds values of one of our types: all, but for those that are looked at one by one."""
    return way(column.kind, column.modifier, source) is not None


def whole_key(columns: Sequence[Column], key: Sequence[str]) -> bool:
    """Tell whether a row that takes the place of another must bring its key too: theirs can be equal and differ."""
    return any(column.loose for column in columns if column.name in key)


def ways_into(columns: Sequence[Column], schema: Schema) -> Found:
    """Return the column of each field of a schema that fits, and how its values get there."""
    known = {column.name: column for column in columns}
    found = [
        (known[field.name], way(known[field.name].kind, known[field.name].modifier, field.type)) for field in schema
    ]
    return [(column, how) for column, how in found if how]


def is_staged(session: Session, delivery: Delivery, found: Found) -> bool:
    """Tell whether even appended rows go by way of a temporary table: COPY takes no casts, and no row security."""
    return any(how.text for _, how in found) or under_row_security(session, expect_table(session, delivery.table))


def unwritable(relation: Table) -> tuple[str, str] | None:
    """Return why nothing may be written to a relation, and the hint at it; None if it may."""
    return (f"it is {_KINDS[relation.kind]}", "write a table") if relation.kind in _KINDS else None


def unfit(session: Session, delivery: Delivery, relation: Table) -> tuple[str, str] | None:
    """Return why rows cannot be written in this mode to a table whose columns they fit, and the hint at it."""
    mode = delivery.mode
    if mode == "replace" and under_row_security(session, relation):
        problem = f"its row security hides rows from '{session.target.user}', which would stay"
        return problem, "write as its owner, or with BYPASSRLS"
    ((_, children),) = session.rows(_KEPT, relation.oid)
    if children and mode != "append":  # it would delete rows of those tables too, or not see their keys
        why = "whose rows would be deleted too" if mode == "replace" else "and a key is unique in each of them alone"
        problem = f"tables inherit from it ({', '.join(children[:_SHOWN])}), {why}"
        return problem, "write the table that has the rows, or append"
    if mode == "upsert" and not is_unique(session, relation, delivery.key):
        return no_key(delivery.key, "a deferrable" if _indexes(session, relation, delivery.key) else "no")
    return None


def is_unique(session: Session, relation: Table, key: Sequence[str]) -> bool:
    """Tell whether an index keeps the key unique; a deferrable one spoils it for the server."""
    found = _indexes(session, relation, key)
    return bool(found) and all(found)


def _indexes(session: Session, table: Table, key: Sequence[str]) -> list[bool]:
    """Return of each unique index over a key whether it is looked at immediately."""
    return [immediate for names, immediate in session.rows(_KEYS, table.oid) if set(names) == set(key)]


def tell_unlogged(session: Session, delivery: Delivery) -> None:
    """Tell of a table that a crash of the server empties."""
    ((unlogged, _),) = session.rows(_KEPT, expect_table(session, delivery.table).oid)
    if unlogged:
        reason = "a crash of the server empties it, and the ledger goes on to say that the rows are there"
        delivery.ctx.emit("unlogged_table", {"table": delivery.target.table, "reason": reason})


def under_row_security(session: Session, table: Table) -> bool:
    """Tell whether policies say which rows of a table the user may see and write."""
    ((active,),) = session.rows("SELECT pg_catalog.row_security_active(%s::pg_catalog.oid)", table.oid)
    return bool(active)


def delete_rows(session: Session, delivery: Delivery) -> None:
    """Delete all rows; fails with DAT029 for some that are left, as a trigger or a rule of the table may have it."""
    session.run(f"LOCK TABLE {delivery.quoted} IN SHARE ROW EXCLUSIVE MODE")
    session.run(f"DELETE FROM {delivery.quoted}")
    ((watched,),) = session.rows(_WATCHED, expect_table(session, delivery.table).oid)
    if watched and session.rows(f"SELECT 1 FROM {delivery.quoted} LIMIT 1"):
        problem, hint = "a trigger or rule of it keeps rows that are deleted", "use another mode"
        fail("DAT029", step=delivery.ctx.step, table=delivery.target.table, problem=problem, hint=hint)


def refuse_changed(session: Session, delivery: Delivery) -> None:
    """Fail with DAT029 if the table has other columns than when rows were sent."""
    if columns_of(session, expect_table(session, delivery.table)) != delivery.columns:
        problem, hint = "its columns were changed while the rows were on their way", "run the same command again"
        fail("DAT029", step=delivery.ctx.step, table=delivery.target.table, problem=problem, hint=hint)


def unchangeable(delivery: Delivery, columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Return the columns of an upsert whose values the server lets nobody change, and a hint."""
    if delivery.mode != "upsert":
        return []
    given = {field.name for field in delivery.schema} - set(() if whole_key(columns, delivery.key) else delivery.key)
    hint = "leave the column out of the rows, or have it GENERATED BY DEFAULT"
    return [
        (f"its column '{column.name}' is GENERATED ALWAYS AS IDENTITY, and never changed in a row", hint)
        for column in columns
        if column.numbered and column.name in given
    ]
