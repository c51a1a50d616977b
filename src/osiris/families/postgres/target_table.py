"""A writer's target table: its columns in the catalogue, and whether rows can be written in a mode.

Also which of our types a column holds exactly, and how its values are sent; and the privileges that a writer needs: a
failure names the GRANT for those missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.errors import did_you_mean, fail
from osiris.families.postgres import encode as to
from osiris.families.postgres.session import SCHEMAS, fail_right, find, qualified, relations
from osiris.families.postgres.types import BYTE, NUMERIC, SIMPLE, TEXTS, Kind, carry
from osiris.families.sql.database import LEDGER, REPEATED, STATE, ForeignKey, no_key
from osiris.families.sql.database import Column as TargetColumn
from osiris.families.sql.deletes import removes_rows
from osiris.families.sql.ledger import own_tables
from osiris.families.sql.result import UnsupportedType
from osiris.families.sql.target_table import fail_schema, fail_table
from osiris.families.type_compat import holds
from osiris.sql.binding.duck_types import quote_name
from osiris.types import arrow_type, parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from osiris.families.postgres.encode import Encode, Part
    from osiris.families.postgres.session import Session, Table
    from osiris.families.sql.database import Delivery
    from osiris.model import Schema

    Ways = Sequence[tuple["Column", "Way"]]
    """Columns of a table, with how values are written into each."""


_SHOWN = 3
_OWN_PRIVILEGES = {
    LEDGER: ("INSERT", "UPDATE", "SELECT"),
    STATE: ("INSERT", "UPDATE", "SELECT"),
    REPEATED: ("INSERT", "DELETE", "SELECT"),
}
"""What a writer needs on our own tables."""
_EXACT = frozenset((16, 17, 18, 19, 20, 21, 23, 25, 26, 28, 1043, 1082, 1083, 1114, 1184, 2950))
"""Types whose equal values are identical: integers, texts, bytes, dates and times, identifiers."""
_SCALED = (1042, 1700)
"""char and numeric, for which this holds if the column has a length or a scale."""
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
    d.modifier, t.oid::int8, t.typtype::text, t.typname, i.oid::int8, i.typtype::text, i.typname,
    NOT a.attnotnull, CASE WHEN a.attidentity <> '' THEN 'identity'
        WHEN a.attgenerated <> '' THEN 'generated: ' || pg_catalog.pg_get_expr(f.adbin, f.adrelid)
        ELSE pg_catalog.pg_get_expr(f.adbin, f.adrelid) END,
    pg_catalog.col_description(a.attrelid, a.attnum), has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM inner_type d JOIN pg_catalog.pg_type t ON t.oid = d.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_attribute a ON a.attrelid = %s AND a.attnum = d.attnum
LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
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
_ACTS_ON_DELETE = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND ev_type = '4')
    OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND (tgtype & 8) <> 0)
FROM pg_catalog.pg_class c WHERE c.oid = %s"""
"""Whether rules or triggers act on DELETE."""
_FOREIGN = """
SELECT n.nspname, c.relname, m.nspname, p.relname, f.confdeltype IN ('c', 'n', 'd'), f.conname
FROM pg_catalog.pg_constraint f
JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = f.confrelid JOIN pg_catalog.pg_namespace m ON m.oid = p.relnamespace
JOIN unnest(%s::text[], %s::text[]) t (schema, name) ON t.schema = m.nspname AND t.name = p.relname
WHERE f.contype = 'f' AND (to_jsonb(f) ->> 'conenforced')::bool IS NOT FALSE ORDER BY 1, 2, 3, 4"""
"""Constraints can be NOT ENFORCED as of PostgreSQL 18."""
_CHILDREN = """
SELECT c.relname::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %s AND NOT c.relispartition ORDER BY 1"""
"""The tables that inherit from a table."""
LONGEST_NAME = 63
"""Bytes of a name in UTF-8; the server truncates longer names."""
_TEXT, _VARCHAR, _CHAR, _JSON, _JSONB = 25, 1043, 1042, 114, 3802
_MOMENTS_AS_TEXT = (1186, 1266)
"""interval and time with time zone."""
_PLACES = 6
"""Fractional digits of a second."""
_MODIFIER_OFFSET = 4
"""The offset of lengths and precisions in a type modifier (VARHDRSZ)."""
_SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
_NANOSECONDS = "PostgreSQL counts microseconds"
_ZONES = "PostgreSQL keeps the moment and not the zone; cast it to UTC"
_COMPOSED = "PostgreSQL has no such type that is made on the way; turn it into JSON or columns in SQL"
_NEW_TYPES = {
    "bool": "boolean",
    **dict.fromkeys(("int8", "int16", "uint8"), "smallint"),
    **dict.fromkeys(("int32", "uint16"), "integer"),
    **dict.fromkeys(("int64", "uint32"), "bigint"),
    "uint64": "numeric(20,0)",
    "float32": "real",
    "float64": "double precision",
    "utf8": "text",
    "binary": "bytea",
    "date": "date",
    "uuid": "uuid",
    "json": "json",
}
_DIGITS = {"s": "(0)", "ms": "(3)", "us": ""}
_INTEGER_DIGITS = {"int8": 3, "uint8": 3, "int16": 5, "uint16": 5, "int32": 10, "uint32": 10, "int64": 19, "uint64": 20}
_ENCODERS: Mapping[int, Encode] = {
    16: to.truth,
    17: to.blobs,
    BYTE: to.letters,
    20: to.number(">i8"),
    21: to.number(">i2"),
    19: to.names,
    23: to.number(">i4"),
    _TEXT: to.texts,
    **dict.fromkeys((26, 28), to.number(">u4")),
    700: to.number(">f4"),
    701: to.number(">f8"),
    1082: to.dates,
    1083: to.times,
    **dict.fromkeys((1114, 1184), to.moments),
    2950: to.uuids,
    _JSONB: to.checked_json,
}
"""Types whose columns hold every value of one of our types, except times with fewer than six fractional digits."""
_MOMENTS = (1083, 1114, 1184)
_SCHEMA = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s"
_NO_RIGHT = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s AND NOT pg_catalog.has_schema_privilege(oid, %s)"
_NO_TEMPORARY = """
SELECT pg_catalog.current_database()
WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')"""
_LACKING = """
SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attname = ANY(%s)
    AND NOT CASE %s WHEN 'DELETE' THEN has_table_privilege(attrelid, 'DELETE')
        ELSE has_column_privilege(attrelid, attnum, %s) END ORDER BY attnum"""
_GRANTED = "SELECT bool_and(has_table_privilege(%s::oid, p)) FROM unnest(%s::text[]) AS p"
_SEQUENCES = """
SELECT DISTINCT a.attname, n.nspname, s.relname FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
    AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s ON s.oid = p.refobjid
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
WHERE d.adrelid = %s AND a.attname <> ALL(%s)
    AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END ORDER BY 1"""
"""Sequences of column defaults that the user may not use."""


@dataclass(frozen=True, slots=True)
class Column(TargetColumn):
    """A column of a table; `type` is the type of its values when read, to which other values can be cast.

    `numbered`: GENERATED ALWAYS AS IDENTITY. `collation` is the COLLATE clause of a nondeterministic collation, under
    which different texts can be equal.
    """

    modifier: int = -1
    kind: Kind = _BIGINT
    numbered: bool = False
    collation: str = ""

    @property
    def loose(self) -> bool:
        """Whether two different values can be equal, like texts in another case, or 1.0 and 1.00."""
        scaled = self.kind.oid in _SCALED and self.modifier >= 0
        exact = scaled or self.kind.oid in _EXACT or self.kind.sort == "e"
        return bool(self.collation) or not exact


def loose_columns(_session: Session, _relation: Table, columns: Sequence[Column]) -> dict[str, str]:
    """Return the columns in which different values may be equal, and why."""
    reasons = {"collation": "its collation is nondeterministic", "type": "its type ignores case or blanks"}
    return {
        column.name: reasons["collation" if column.collation else "type"]
        for column in columns
        if column.loose or column.kind.oid == _CHAR
    }


def foreign_keys(session: Session, deliveries: Sequence[Delivery]) -> list[ForeignKey]:
    """Return the enforced foreign keys that refer to the targets of these deliveries."""
    schemas, tables = [each.config.schema for each in deliveries], [each.table for each in deliveries]
    rows = session.rows(_FOREIGN, schemas, tables)
    return [ForeignKey((schema, table), (to, parent), acts, name) for schema, table, to, parent, acts, name in rows]


def expect_table(session: Session, name: str) -> Table:
    """Return a table of the session's schema; fails with DRV012 if it does not exist, suggesting a similar name."""
    table = find(session, name)
    if table is None:
        shown = f"{session.schema}.{name}"
        fail("DRV012", table=shown, path=session.label, hint=did_you_mean(name, relations(session)))
    return table


def columns_of(session: Session, relation: Table) -> tuple[Column, ...]:
    """Return the columns of a table; a domain has its base type."""
    return tuple(_column(*row) for row in session.rows(_COLUMNS, relation.oid, relation.oid))


def _column(name: str, declared: str, *details: Any) -> Column:  # noqa: ANN401  values of the catalogue
    needed, default, computed, numbered, collation, modifier, *kinds, nullable, text, comment, readable = details
    oid, sort, plain, item, item_sort, item_plain = kinds
    inner = Kind(item, item_plain, item_sort, item_plain) if item is not None else None
    kind, required = Kind(oid, declared, sort, plain, inner), needed and not default and not computed
    cast = _read_as(kind, modifier)
    shown = (nullable, text, comment, readable)
    return Column(name, cast, declared, required, computed, *shown, modifier, kind, numbered, collation)


def fits(column: Column, source: str) -> bool:
    """Whether a column holds values of one of our types, except those rejected one by one."""
    return way(column.kind, column.modifier, source) is not None


def whole_key(columns: Sequence[Column], key: Sequence[str]) -> bool:
    """Whether an update must also set the key, as equal keys can differ."""
    return any(column.loose for column in columns if column.name in key)


def ways_into(columns: Sequence[Column], schema: Schema) -> Ways:
    """Return the column of each field of a schema that fits, with how its values are written."""
    by_name = {column.name: column for column in columns}
    targets = [by_name[field.name] for field in schema]
    ways = [way(column.kind, column.modifier, field.type) for column, field in zip(targets, schema, strict=True)]
    return [(column, how) for column, how in zip(targets, ways, strict=True) if how]


def is_staged(delivery: Delivery, ways: Ways) -> bool:
    """Whether even appended rows need a temporary table: COPY supports neither casts nor row security."""
    return any(how.text for _, how in ways) or delivery.relation.secured


def unwritable(relation: Table) -> tuple[str, str] | None:
    """Return why a relation cannot be written, and a hint; None if it can."""
    return (f"it is {_KINDS[relation.kind]}", "write a table") if relation.kind in _KINDS else None


def unfit(session: Session, delivery: Delivery, relation: Table) -> tuple[str, str] | None:
    """Return why a table whose columns fit cannot be written in this mode, and a hint; None if it can."""
    mode = delivery.mode
    if mode == "replace" and relation.secured:
        problem = f"its row security hides rows from '{session.target.user}', which would stay"
        return problem, "write as its owner, or with BYPASSRLS"
    children = [name for (name,) in session.rows(_CHILDREN, relation.oid)] if relation.parent else []
    if children and mode != "append":  # DELETE affects rows of those tables too, and unique indexes do not
        why = "whose rows would be deleted too" if mode == "replace" else "and a key is unique in each of them alone"
        problem = f"tables inherit from it ({', '.join(children[:_SHOWN])}), {why}"
        return problem, "write the table that has the rows, or append"
    if mode == "upsert" and not is_unique(session, relation, delivery.key):
        return no_key(delivery.key, "a deferrable" if _indexes(session, relation, delivery.key) else "no")
    return None


def is_unique(session: Session, relation: Table, key: Sequence[str]) -> bool:
    """Whether a unique index covers the key; ON CONFLICT rejects a key with any deferrable one."""
    immediate = _indexes(session, relation, key)
    return bool(immediate) and all(immediate)


def _indexes(session: Session, table: Table, key: Sequence[str]) -> list[bool]:
    """Return for each unique index over a key whether it is not deferrable."""
    return [immediate for names, immediate in session.rows(_KEYS, table.oid) if set(names) == set(key)]


def report_unlogged(delivery: Delivery) -> None:
    """Emit an event if the table is UNLOGGED: a crash of the server empties it."""
    if delivery.relation.unlogged:
        reason = "a crash of the server empties it, and the ledger goes on to say that the rows are there"
        delivery.ctx.emit("unlogged_table", {"table": delivery.target.table, "reason": reason})


def delete_rows(session: Session, delivery: Delivery) -> None:
    """Delete all rows; fails with DAT029 if a trigger or rule of the table kept any."""
    session.run(f"LOCK TABLE {delivery.quoted} IN SHARE ROW EXCLUSIVE MODE")
    session.run(f"DELETE FROM {delivery.quoted}")
    ((watched,),) = session.rows(_ACTS_ON_DELETE, expect_table(session, delivery.table).oid)
    if watched and session.rows(f"SELECT 1 FROM {delivery.quoted} LIMIT 1"):
        fail_table(delivery, "a trigger or rule of it keeps rows that are deleted", "use another mode")


def refuse_changed(session: Session, delivery: Delivery) -> None:
    """Fail with DAT029 if the table's columns changed since rows were sent."""
    if columns_of(session, expect_table(session, delivery.table)) != delivery.columns:
        problem = "its columns were changed while the rows were on their way"
        fail_table(delivery, problem, "run the same command again")


def unchangeable(delivery: Delivery, columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Return why columns of an upsert cannot be updated (GENERATED ALWAYS AS IDENTITY), each with a hint."""
    if delivery.mode != "upsert":
        return []
    given = {field.name for field in delivery.schema} - set(() if whole_key(columns, delivery.key) else delivery.key)
    hint = "leave the column out of the rows, or have it GENERATED BY DEFAULT"
    return [
        (f"its column '{column.name}' is GENERATED ALWAYS AS IDENTITY, and never changed in a row", hint)
        for column in columns
        if column.numbered and column.name in given
    ]


@dataclass(frozen=True, slots=True)
class Way:
    """How values are written into a column: cast to a type and encoded; `text` is parsed by the server."""

    type: str
    encode: Encode
    text: bool = False

    @property
    def staged(self) -> str | None:
        """The server type of the staged texts that it parses later; None if values are sent in the column's type."""
        return ("text[]" if self.type.startswith("list<") else "text") if self.text else None

    def parts(self, array: pa.Array) -> Sequence[Part]:
        """Return a column's values as parts of the COPY format; raises InvalidCell."""
        return self.encode(array if array.type == arrow_type(self.type) else array.cast(arrow_type(self.type)))


def way(kind: Kind, modifier: int, source: str) -> Way | None:
    """Return how values of one of our types are written into a column; None if it does not hold them.

    Values read from a column can always be written to one of the same type. If the column holds only some values of
    our type, encoding raises InvalidCell for those that it would change.
    """
    if kind.item:
        return _list(kind.item, modifier, source) if source.startswith("list<") else None
    if kind.oid == NUMERIC:
        if modifier < _MODIFIER_OFFSET and source == "utf8":
            return Way(source, to.numbers, text=True)
        return _decimal(kind, modifier, source)
    if kind.oid in _ENCODERS:
        wide, encode = SIMPLE.get(kind.oid, "utf8"), _ENCODERS[kind.oid]
        if kind.oid in _MOMENTS and modifier in range(_PLACES):
            encode = to.rounded_moments(encode, modifier)
        return Way(wide, encode) if holds(wide, source) else None
    return _text(kind, modifier, source)


def _list(item: Kind, modifier: int, source: str) -> Way | None:
    inner = None if item.item or item.sort == "d" else way(item, modifier, source[5:-1])
    if inner is None:
        return None
    return Way(f"list<{inner.type}>", to.lists(inner.encode, _TEXT if inner.text else item.oid), inner.text)


def _decimal(kind: Kind, modifier: int, source: str) -> Way | None:
    parsed = parse_type(source)
    digits, scale = (_INTEGER_DIGITS[source], 0) if source in _INTEGER_DIGITS else (0, 0)
    if parsed.kind == "decimal":
        digits, scale = map(int, parsed.parameters)
    if not digits:
        return None
    if modifier >= _MODIFIER_OFFSET:
        most, places = (
            ((modifier - _MODIFIER_OFFSET) >> 16) & 0xFFFF,
            (((modifier - _MODIFIER_OFFSET) & 0x7FF) ^ 1024) - 1024,
        )
        if scale > places or digits - scale > most - places:
            unusual = not 0 <= places <= most and source == _read_as(kind, modifier)
            return Way(source, to.odd_decimals(most, places)) if unusual else None
    return Way("decimal(20,0)" if source in _INTEGER_DIGITS else source, to.decimals)


def _text(kind: Kind, modifier: int, source: str) -> Way | None:
    if kind.oid == _JSON:
        return Way(source, to.texts) if source in ("json", "utf8") else None
    if source != "utf8":
        return None
    if kind.oid in (_VARCHAR, _CHAR):
        limit = modifier - _MODIFIER_OFFSET
        return Way(source, to.limited(limit, exact=kind.oid == _CHAR) if limit >= 0 else to.texts)
    if kind.sort == "e" or kind.plain == "citext":
        return Way(source, to.texts)
    return _parsed(kind, source)


def _parsed(kind: Kind, source: str) -> Way | None:
    """Return how texts are written into a column whose type the server parses."""
    encode = to.fine_moments if kind.oid in _MOMENTS_AS_TEXT or kind.plain.startswith("ts") else to.texts
    return Way(source, encode, text=True) if kind.oid in TEXTS or kind.sort in ("r", "m") else None


def _read_as(kind: Kind, modifier: int) -> str | None:
    """Return the type of a column's values when read, to which others can be cast; None if it is not supported."""
    try:
        return carry(kind, modifier, unscaled_text=True).type
    except UnsupportedType:
        return None


def column_type(name: str) -> str | None:
    """Return the PostgreSQL type of a new column that holds all values of one of our types; None if there is none."""
    parsed = parse_type(name)
    if parsed.kind == "decimal":
        return "numeric({},{})".format(*parsed.parameters)
    if parsed.kind in ("time", "timestamp"):
        unit, *zone = parsed.parameters
        naive = parsed.kind + _DIGITS.get(str(unit), "")
        return None if unit == "ns" or zone not in ([], ["UTC"]) else naive + (" with time zone" if zone else "")
    if parsed.kind == "list":
        item = column_type(name[5:-1])
        return None if item is None or item.endswith("[]") else f"{item}[]"
    return _NEW_TYPES.get(parsed.kind)


def refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why columns cannot be written, by their names; `types` are our types by column name."""
    reasons = {name: _reason(kind) for name, kind in types.items() if column_type(kind) is None}
    for name in types:
        if problem := name_problem(name):
            reasons[name] = problem
        elif name in _SYSTEM:
            reasons[name] = "PostgreSQL has a column of that name in each table"
    return reasons


def name_problem(name: str) -> str | None:
    """Return why a table or column cannot have a name; None if it can."""
    if not name or "\0" in name:
        return "its name is empty or has the character U+0000"
    is_long = len(name.encode()) > LONGEST_NAME
    return f"its name is longer than {LONGEST_NAME} bytes, and PostgreSQL would cut it off" if is_long else None


def _reason(name: str) -> str:
    parsed = parse_type(name)
    while parsed.kind == "list" and not parsed.children[0][1].children:
        parsed = parsed.children[0][1]
    if parsed.kind in ("time", "timestamp"):
        return _NANOSECONDS if parsed.parameters[0] == "ns" else _ZONES
    return _COMPOSED


def expect_schema(session: Session, delivery: Delivery) -> None:
    """Fail with DRV071 if the schema does not exist, DRV020 if the user lacks USAGE on it."""
    schema = session.schema
    if not session.rows(_SCHEMA, schema):
        schemas = [name for (name,) in session.rows(SCHEMAS)]
        name, user = quote_name(schema), quote_name(session.target.user)
        create = f"CREATE SCHEMA {name}; GRANT USAGE, CREATE ON SCHEMA {name} TO {user}"
        fail_schema(delivery, schema, create, session.label, schemas)
    if session.rows(_NO_RIGHT, schema, "USAGE"):
        fail_right(session, f"use schema '{schema}'", f"GRANT USAGE ON SCHEMA {quote_name(schema)}")


def _expect_create(session: Session, table: str) -> None:
    """Fail with DRV020 if the user lacks CREATE on the session's schema."""
    schema = session.schema
    if session.rows(_NO_RIGHT, schema, "CREATE"):
        what = f"CREATE table '{schema}.{table}', which is not there"
        fail_right(session, what, f"GRANT CREATE ON SCHEMA {quote_name(schema)}", ", or make the table")


def expect_rights(session: Session, delivery: Delivery, *, there: bool) -> None:
    """Fail with DRV020 for a missing privilege to write a table, or to create it if it is not `there`."""
    if not there:
        _expect_create(session, delivery.table)
        return
    table, names = delivery.relation, [field.name for field in delivery.schema]
    _expect_rights(session, table, _needed_privileges(delivery, names))
    filled = {column.name for column in delivery.columns}.difference(names)
    for column, schema, sequence in session.rows(_SEQUENCES, table.oid, names) if filled else ():
        what = f"use sequence '{schema}.{sequence}', which gives column '{column}' its values"
        fail_right(session, what, f"GRANT USAGE ON SEQUENCE {quote_name(schema)}.{quote_name(sequence)}")
    if delivery.merged or is_staged(delivery, ways_into(delivery.columns, delivery.schema)):
        for (database,) in session.rows(_NO_TEMPORARY):
            what = "make temporary tables, by way of which these rows go"
            fail_right(session, what, f"GRANT TEMPORARY ON DATABASE {quote_name(database)}")


def _needed_privileges(delivery: Delivery, names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the privileges needed for writing, each with the columns on which it is needed."""
    privileges: dict[str, Sequence[str]] = {"INSERT": names}
    if removes_rows(delivery):
        privileges["DELETE"] = names
    if delivery.mode == "upsert":
        unchanged = () if whole_key(delivery.columns, delivery.key) else delivery.key
        privileges |= {"UPDATE": [name for name in names if name not in unchanged], "SELECT": names}
    return privileges


def expect_rights_to_ledger(session: Session, delivery: Delivery) -> None:
    """Fail with DRV020 if the ledger or the tables of states cannot be written, or created if missing."""
    for name in dict.fromkeys((LEDGER, *own_tables(delivery))):
        table, needed = find(session, name), _OWN_PRIVILEGES[name]
        if table is None:
            _expect_create(session, name)
        elif not _has_rights(session, table, needed):
            columns = [column.name for column in columns_of(session, table)]
            _expect_rights(session, table, dict.fromkeys(needed, columns))


def _expect_rights(session: Session, table: Table, privileges: Mapping[str, Sequence[str]]) -> None:
    """Fail with DRV020 for privileges missing on the table, or on some of these columns."""
    if _has_rights(session, table, list(privileges)):
        return
    missing = [text for name, columns in privileges.items() if (text := _missing(session, table, name, columns))]
    if missing:
        grant = f"GRANT {', '.join(privileges)} ON {qualified(session, table)}"
        shown = f"{session.schema}.{table.name}"
        fail_right(session, f"{', '.join(missing)} on table '{shown}'", grant)


def _has_rights(session: Session, table: Table, privileges: Sequence[str]) -> bool:
    """Whether privileges are granted on the whole table, and so on its columns."""
    ((granted,),) = session.rows(_GRANTED, table.oid, list(privileges))
    return bool(granted)


def _missing(session: Session, table: Table, privilege: str, names: Sequence[str]) -> str | None:
    """Return a privilege if it is missing, with the columns that lack it unless all do; None if it is granted."""
    lacking = [name for (name,) in session.rows(_LACKING, table.oid, list(names), privilege, privilege)]
    if not lacking:
        return None
    return privilege if len(lacking) == len(names) else f"{privilege} ({', '.join(lacking)})"
