"""The table that a step writes: its columns as the catalogue has them, and whether rows of a schema fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import diagnostic, did_you_mean, fail, raise_all
from osiris.families.embedded import LEDGER
from osiris.families.fitting import cast_hint
from osiris.families.postgres import quote_name, relations
from osiris.families.postgres_held import cast_for, way
from osiris.families.postgres_types import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.postgres import Relation, Session
    from osiris.families.postgres_held import Way
    from osiris.families.postgres_write import Place
    from osiris.model import Schema

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
    a.atthasdef OR a.attidentity <> '', a.attgenerated <> '',
    d.modifier, t.oid::int8, t.typtype::text, t.typname, i.oid::int8, i.typtype::text, i.typname
FROM inner_type d JOIN pg_catalog.pg_type t ON t.oid = d.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_attribute a ON a.attrelid = %s AND a.attnum = d.attnum
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
_RIGHTS = {"append": ("INSERT",), "replace": ("INSERT", "DELETE"), "upsert": ("INSERT", "UPDATE", "SELECT")}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its type as declared, and whether a row must give a value, may leave it out, or must."""

    name: str
    declared: str
    needed: bool
    default: bool
    generated: bool
    modifier: int
    kind: Kind


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


def _column(
    name: str, declared: str, needed: bool, default: bool, generated: bool, modifier: int, *kinds: object
) -> Column:
    oid, sort, plain, item, item_sort, item_plain = kinds
    inner = Kind(item, str(item_plain), str(item_sort), str(item_plain)) if isinstance(item, int) else None
    kind = Kind(int(str(oid)), declared, str(sort), str(plain), inner)
    return Column(name, declared, needed, default, generated, modifier, kind)


def ways_into(columns: Sequence[Column], schema: Schema) -> list[tuple[Column, Way]]:
    """Return the column of each field of a schema that fits, and how its values get there."""
    known = {column.name: column for column in columns}
    found = [
        (known[field.name], way(known[field.name].kind, known[field.name].modifier, field.type)) for field in schema
    ]
    return [(column, how) for column, how in found if how]


def refuse(session: Session, ctx: StepContext, place: Place, schema: Schema, mode: str, key: Sequence[str]) -> None:
    """Fail with all in which rows do not fit a table that is there (DAT029), or a right that is missing (DRV020)."""
    table = expect_table(session, place)
    if table.kind in _KINDS:
        fail("DAT029", step=ctx.step, table=place.shown, problem=f"it is {_KINDS[table.kind]}", hint="write a table")
    columns = columns_of(session, table)
    found = _misfits(ctx, place, schema, columns)
    if found:
        raise_all(found)
    if mode == "replace" and under_row_security(session, place):
        problem = f"its row security hides rows from '{session.target.user}', which would stay"
        fail("DAT029", step=ctx.step, table=place.shown, problem=problem, hint="write as its owner, or with BYPASSRLS")
    if mode == "upsert":
        _expect_key(session, ctx, place, table, key)
        _expect_temporary(session)
    _expect_rights(session, place.shown, table, _RIGHTS[mode])


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


def _misfits(ctx: StepContext, place: Place, schema: Schema, columns: Sequence[Column]) -> list[Diagnostic]:
    known = {column.name: column for column in columns}
    given = {field.name for field in schema}
    found: list[Diagnostic] = []

    def report(problem: str, hint: str | None = None) -> None:
        found.append(diagnostic("DAT029", step=ctx.step, table=place.shown, problem=problem, hint=hint))

    for field in schema:
        column = known.get(field.name)
        if column is None:
            report(f"it has no column '{field.name}'", did_you_mean(field.name, known))
        elif column.generated:
            report(f"its column '{column.name}' is computed by the server", "leave the column out of the rows")
        elif way(column.kind, column.modifier, field.type) is None:
            problem = f"its column '{column.name}' is {column.declared}, which cannot hold {field.type}"
            report(problem, cast_hint(column.name, cast_for(column.kind, column.modifier), field.type))
    for column in columns:
        if column.needed and not column.default and not column.generated and column.name not in given:
            report(f"its column '{column.name}' needs a value, and the rows have no such column")
    return found


def _expect_temporary(session: Session) -> None:
    """Fail with DRV020 if no temporary tables may be made."""
    ask = (
        "SELECT pg_catalog.current_database(), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')"
    )
    ((database, may),) = session.rows(ask)
    if not may:
        hint = f"run GRANT TEMPORARY ON DATABASE {quote_name(database)} TO {quote_name(session.target.user)}"
        reason = "it has no right to make temporary tables, which an upsert needs"
        fail("DRV020", where=session.target.where, user=session.target.user, reason=reason, hint=hint)


def refuse_ledger(session: Session, place: Place) -> None:
    """Fail with DRV020 if the ledger may not be written, or made where it is absent."""
    ledger = relations(session).get(LEDGER)
    if ledger is None:
        expect_right_to_make(session, place, LEDGER)
    else:
        _expect_rights(session, f"{place.schema}.{LEDGER}", ledger, ("INSERT", "UPDATE", "SELECT"))


def expect_right_to_make(session: Session, place: Place, table: str) -> None:
    """Fail with DRV020 if no table may be made in the schema of the target."""
    schema, user = place.schema, session.target.user
    ((may,),) = session.rows("SELECT pg_catalog.has_schema_privilege(%s, 'CREATE')", schema)
    if not may:
        reason = f"it has no right to CREATE table '{schema}.{table}', which is not there"
        hint = f"run GRANT CREATE ON SCHEMA {quote_name(schema)} TO {quote_name(user)}, or make the table"
        fail("DRV020", where=session.target.where, user=user, reason=reason, hint=hint)


def _expect_rights(session: Session, shown: str, table: Relation, rights: Sequence[str]) -> None:
    """Fail with DRV020 for a right that is missing on the table; one on some of its columns may do."""
    asked = ", ".join(
        f"has_table_privilege(%s, '{right}')"
        + ("" if right == "DELETE" else f" OR has_any_column_privilege(%s, '{right}')")
        for right in rights
    )
    values = [table.oid for right in rights for _ in range(1 if right == "DELETE" else 2)]
    ((*granted,),) = session.rows(f"SELECT {asked}", *values)
    missing = [right for right, may in zip(rights, granted, strict=True) if not may]
    if missing:
        user, name = session.target.user, f"{quote_name(session.schema)}.{quote_name(table.name)}"
        fail(
            "DRV020",
            where=session.target.where,
            user=user,
            reason=f"it has no right to {', '.join(missing)} on table '{shown}'",
            hint=f"run GRANT {', '.join(rights)} ON {name} TO {quote_name(user)}",
        )
