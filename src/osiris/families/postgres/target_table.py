"""The table that a step writes: its columns as the catalogue has them, and whether it takes rows in some mode.

Also which column holds which of our types, exactly, and how its values are sent; and what a role must be allowed before
it writes: what is missing is told with the GRANT that gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.errors import did_you_mean, fail
from osiris.families.postgres import encode as to
from osiris.families.postgres.session import fail_right, qualified, relations
from osiris.families.postgres.types import BYTE, NUMERIC, SIMPLE, TEXTS, Kind, carry
from osiris.families.sql.database import LEDGER, no_key
from osiris.families.sql.database import Column as TargetColumn
from osiris.families.sql.result import NotCarried
from osiris.families.sql.target_table import refuse_table
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

    Found = Sequence[tuple["Column", "Way"]]
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
LONGEST_NAME = 63
"""Bytes of a name in UTF-8; the server cuts off what is beyond."""
_TEXT, _VARCHAR, _CHAR, _JSON, _JSONB = 25, 1043, 1042, 114, 3802
_MOMENTS_AS_TEXT = (1186, 1266)
"""interval and time with time zone."""
_PLACES = 6
"""Digits behind the second."""
_HEAD = 4
"""What is added to lengths and digits in the modifier of a type."""
_SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
_NANOSECONDS = "PostgreSQL counts microseconds"
_ZONES = "PostgreSQL keeps the moment and not the zone; cast it to UTC"
_COMPOSED = "PostgreSQL has no such type that is made on the way; turn it into JSON or columns in SQL"
_MADE = {
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
_WHOLE = {"int8": 3, "uint8": 3, "int16": 5, "uint16": 5, "int32": 10, "uint32": 10, "int64": 19, "uint64": 20}
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
"""Types whose columns take every value of one of our types, but for moments with fewer digits than six."""
_MOMENTS = (1083, 1114, 1184)
_NO_RIGHT = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s AND NOT pg_catalog.has_schema_privilege(oid, %s)"
_NO_TEMPORARY = """
SELECT pg_catalog.current_database()
WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')"""
_LACKING = """
SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attname = ANY(%s)
    AND NOT CASE %s WHEN 'DELETE' THEN has_table_privilege(attrelid, 'DELETE')
        ELSE has_column_privilege(attrelid, attnum, %s) END ORDER BY attnum"""
_SEQUENCES = """
SELECT DISTINCT a.attname, n.nspname, s.relname FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
    AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s ON s.oid = p.refobjid
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
WHERE d.adrelid = %s AND a.attname <> ALL(%s)
    AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END ORDER BY 1"""
"""Sequences that give columns their values, and may not be used."""


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
    needed, default, computed, numbered, collation, modifier, *kinds, nullable, text, comment, readable = told
    oid, sort, plain, item, item_sort, item_plain = kinds
    inner = Kind(item, item_plain, item_sort, item_plain) if item is not None else None
    kind, required = Kind(oid, declared, sort, plain, inner), needed and not default and not computed
    cast = _read_as(kind, modifier)
    shown = (nullable, text, comment, readable, False)
    return Column(name, cast, declared, required, computed, *shown, modifier, kind, numbered, collation)


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
        refuse_table(delivery, "a trigger or rule of it keeps rows that are deleted", "use another mode")


def refuse_changed(session: Session, delivery: Delivery) -> None:
    """Fail with DAT029 if the table has other columns than when rows were sent."""
    if columns_of(session, expect_table(session, delivery.table)) != delivery.columns:
        problem = "its columns were changed while the rows were on their way"
        refuse_table(delivery, problem, "run the same command again")


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


@dataclass(frozen=True, slots=True)
class Way:
    """How values get into a column: cast to a type, encoded, and, where `text`, parsed there by the server."""

    type: str
    encode: Encode
    text: bool = False

    @property
    def staged(self) -> str | None:
        """The type of the server in which values wait until it parses them; None if they need not."""
        return ("text[]" if self.type.startswith("list<") else "text") if self.text else None

    def parts(self, array: pa.Array) -> Sequence[Part]:
        """Return the parts of a column; raises Unfit."""
        return self.encode(array if array.type == arrow_type(self.type) else array.cast(arrow_type(self.type)))


def way(kind: Kind, modifier: int, source: str) -> Way | None:
    """Return how values of one of our types get into a column; None if it does not hold them.

    What is read from a column always gets into one of the same type. Where that is fewer values than the type has,
    those that the column would change are Unfit.
    """
    if kind.item:
        return _list(kind.item, modifier, source) if source.startswith("list<") else None
    if kind.oid == NUMERIC:
        if modifier < _HEAD and source == "utf8":
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
    found = parse_type(source)
    digits, scale = (_WHOLE[source], 0) if source in _WHOLE else (0, 0)
    if found.kind == "decimal":
        digits, scale = map(int, found.parameters)
    if not digits:
        return None
    if modifier >= _HEAD:
        most, places = ((modifier - _HEAD) >> 16) & 0xFFFF, (((modifier - _HEAD) & 0x7FF) ^ 1024) - 1024
        if scale > places or digits - scale > most - places:
            odd = not 0 <= places <= most and source == _read_as(kind, modifier)
            return Way(source, to.odd_decimals(most, places)) if odd else None
    return Way("decimal(20,0)" if source in _WHOLE else source, to.decimals)


def _text(kind: Kind, modifier: int, source: str) -> Way | None:
    if kind.oid == _JSON:
        return Way(source, to.texts) if source in ("json", "utf8") else None
    if source != "utf8":
        return None
    if kind.oid in (_VARCHAR, _CHAR):
        limit = modifier - _HEAD
        return Way(source, to.limited(limit, exact=kind.oid == _CHAR) if limit >= 0 else to.texts)
    if kind.sort == "e" or kind.plain == "citext":
        return Way(source, to.texts)
    return _parsed(kind, source)


def _parsed(kind: Kind, source: str) -> Way | None:
    """Return how texts get into a column of a type that the server makes of them."""
    encode = to.fine_moments if kind.oid in _MOMENTS_AS_TEXT or kind.plain.startswith("ts") else to.texts
    return Way(source, encode, text=True) if kind.oid in TEXTS or kind.sort in ("r", "m") else None


def _read_as(kind: Kind, modifier: int) -> str | None:
    """Return the type of values as they are read from a column, to which others may be cast; None if there is none."""
    try:
        return carry(kind, modifier, unscaled_text=True).type
    except NotCarried:
        return None


def column_type(name: str) -> str | None:
    """Return the type of PostgreSQL that is made for one of ours and holds all of its values; None if there is none."""
    found = parse_type(name)
    if found.kind == "decimal":
        return "numeric({},{})".format(*found.parameters)
    if found.kind in ("time", "timestamp"):
        unit, *zone = found.parameters
        made = found.kind + _DIGITS.get(str(unit), "")
        return None if unit == "ns" or zone not in ([], ["UTC"]) else made + (" with time zone" if zone else "")
    if found.kind == "list":
        item = column_type(name[5:-1])
        return None if item is None or item.endswith("[]") else f"{item}[]"
    return _MADE.get(found.kind)


def refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why columns cannot be carried, by their names; `types` are ours by name."""
    found = {name: _reason(kind) for name, kind in types.items() if column_type(kind) is None}
    for name in types:
        if not name or "\0" in name:
            found[name] = "its name is empty or has the character U+0000"
        elif len(name.encode()) > LONGEST_NAME:
            found[name] = f"its name is longer than {LONGEST_NAME} bytes, and PostgreSQL would cut it off"
        elif name in _SYSTEM:
            found[name] = "PostgreSQL has a column of that name in each table"
    return found


def _reason(name: str) -> str:
    found = parse_type(name)
    while found.kind == "list" and not found.children[0][1].children:
        found = found.children[0][1]
    if found.kind in ("time", "timestamp"):
        return _NANOSECONDS if found.parameters[0] == "ns" else _ZONES
    return _COMPOSED


def expect_schema(session: Session, _delivery: Delivery) -> None:
    """Fail with DRV020 if nothing in the schema may be used."""
    schema = session.schema
    if session.rows(_NO_RIGHT, schema, "USAGE"):
        fail_right(session, f"use schema '{schema}'", f"GRANT USAGE ON SCHEMA {quote_name(schema)}")


def _expect_right_to_make(session: Session, table: str) -> None:
    """Fail with DRV020 if no table may be made in the session's schema."""
    schema = session.schema
    if session.rows(_NO_RIGHT, schema, "CREATE"):
        what = f"CREATE table '{schema}.{table}', which is not there"
        fail_right(session, what, f"GRANT CREATE ON SCHEMA {quote_name(schema)}", ", or make the table")


def expect_rights(session: Session, delivery: Delivery, *, there: bool) -> None:
    """Fail with DRV020 for a right that is missing to write a table, or to make it if it is not `there`."""
    if not there:
        _expect_right_to_make(session, delivery.table)
        return
    table, names = expect_table(session, delivery.table), [field.name for field in delivery.schema]
    _expect_rights(session, table, _wanted(delivery, names))
    for column, schema, sequence in session.rows(_SEQUENCES, table.oid, names):
        what = f"use sequence '{schema}.{sequence}', which gives column '{column}' its values"
        fail_right(session, what, f"GRANT USAGE ON SEQUENCE {quote_name(schema)}.{quote_name(sequence)}")
    if delivery.merged or is_staged(session, delivery, ways_into(delivery.columns, delivery.schema)):
        for (database,) in session.rows(_NO_TEMPORARY):
            what = "make temporary tables, by way of which these rows go"
            fail_right(session, what, f"GRANT TEMPORARY ON DATABASE {quote_name(database)}")


def _wanted(delivery: Delivery, names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the rights that writing takes, each with the columns to which it is needed."""
    wanted: dict[str, Sequence[str]] = {"INSERT": names}
    if delivery.mode == "replace":
        wanted["DELETE"] = names
    if delivery.mode == "upsert":
        kept = () if whole_key(delivery.columns, delivery.key) else delivery.key
        wanted |= {"UPDATE": [name for name in names if name not in kept], "SELECT": names}
    return wanted


def expect_rights_to_ledger(session: Session, _delivery: Delivery) -> None:
    """Fail with DRV020 if the ledger may not be written, or made where it is absent."""
    ledger = relations(session).get(LEDGER)
    if ledger is None:
        _expect_right_to_make(session, LEDGER)
    else:
        names = [column.name for column in columns_of(session, ledger)]
        _expect_rights(session, ledger, dict.fromkeys(("INSERT", "UPDATE", "SELECT"), names))


def _expect_rights(session: Session, table: Table, wanted: Mapping[str, Sequence[str]]) -> None:
    """Fail with DRV020 for rights that are missing on the table, or on some of these columns of it."""
    missing = [text for right, names in wanted.items() if (text := _missing(session, table, right, names))]
    if missing:
        shown, grant = f"{session.schema}.{table.name}", f"GRANT {', '.join(wanted)} ON {qualified(session, table)}"
        fail_right(session, f"{', '.join(missing)} on table '{shown}'", grant)


def _missing(session: Session, table: Table, right: str, names: Sequence[str]) -> str | None:
    """Return a right that is missing, with the columns if there are others to which there is one."""
    lacking = [name for (name,) in session.rows(_LACKING, table.oid, list(names), right, right)]
    if not lacking:
        return None
    return right if len(lacking) == len(names) else f"{right} ({', '.join(lacking)})"
