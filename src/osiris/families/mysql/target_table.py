"""A writer's target table: its columns, the types that each holds exactly, and the types of new columns.

Also the privileges that a writer needs; a failure names the GRANT for those missing. The server checks privileges when
a statement is prepared, which executes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.families.mysql.connect import address
from osiris.families.mysql.session import SYSTEM_SCHEMAS, fail_grant, find, may, qualified
from osiris.families.mysql.types import every_table, quote_name
from osiris.families.quarantine import RowRejected
from osiris.families.sql.database import LEDGER, REPEATED, STATE, ForeignKey, Relation
from osiris.families.sql.database import Column as TargetColumn
from osiris.families.sql.deletes import removes_rows
from osiris.families.sql.ledger import own_tables
from osiris.families.type_compat import holds
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Delivery

_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COALESCE(NUMERIC_PRECISION, DATETIME_PRECISION, 0),
    COALESCE(NUMERIC_SCALE, 0), COALESCE(CHARACTER_MAXIMUM_LENGTH, 0),
    IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%%auto_increment%%',
    COALESCE(GENERATION_EXPRESSION, '') <> '',
    CASE WHEN EXTRA LIKE '%%auto_increment%%' THEN 'the next number'
        WHEN IS_NULLABLE = 'NO' AND DATA_TYPE = 'timestamp' THEN 'the current time' ELSE '' END,
    IS_NULLABLE = 'YES', CASE WHEN EXTRA LIKE '%%auto_increment%%' THEN 'auto_increment'
        WHEN EXTRA LIKE '%%GENERATED%%' THEN 'generated' ELSE COLUMN_DEFAULT END,
    NULLIF(COLUMN_COMMENT, ''), PRIVILEGES LIKE '%%select%%'
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_UNIQUE = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"""
_KEY_OF_RULE = """
SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND CONSTRAINT_NAME = %s ORDER BY ORDINAL_POSITION"""
_COLLATED = """
SELECT COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND COLLATION_NAME IS NOT NULL"""
_FOREIGN = """
SELECT CONSTRAINT_SCHEMA, TABLE_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME,
    DELETE_RULE NOT IN ('NO ACTION', 'RESTRICT'), CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS
WHERE UNIQUE_CONSTRAINT_SCHEMA = %s AND REFERENCED_TABLE_NAME IN %s
    AND (@@lower_case_table_names <> 0 OR BINARY REFERENCED_TABLE_NAME IN %s)
    AND CONSTRAINT_SCHEMA NOT IN %s ORDER BY 1, 2, 3, 4"""
_CHECK_OF_RULE = """
SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s AND CONSTRAINT_NAME = %s"""
_LISTING = "_osiris_values"
LONGEST_NAME = 64
_DIGITS, _PLACES = 65, 30
_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
_SIZES = {8: "tinyint", 16: "smallint", 32: "int", 64: "bigint"}
_FLOATS = {"float": "float32", "double": "float64"}
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
LISTED = ("enum", "set")
_ADDRESSES = ("inet4", "inet6")
_BLOBS = ("vector", "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_MOMENTS = {"time": "time[us]", "datetime": "timestamp[us]", "timestamp": "timestamp[us,UTC]"}
_FRACTIONS = {"s": 0, "ms": 3, "us": 6}
_WIDTHS = {f"{sign}int{bits}": len(str(2**bits)) for sign in ("", "u") for bits in (8, 16, 32, 64)}
_LARGEST_TYPES = {
    **_FLOATS,
    **_MOMENTS,
    **dict.fromkeys((*_TEXTS, *LISTED, *_ADDRESSES), "utf8"),
    **dict.fromkeys(_BLOBS, "binary"),
    "date": "date",
    "year": "uint16",
}
_NEW_TYPES = {
    "bool": "boolean",
    "float32": "float",
    "float64": "double",
    "date": "date",
    "json": "json",
    "uuid": "uuid",
    "utf8": "longtext CHARACTER SET utf8mb4",
    "binary": "longblob",
}
_NEW_TYPES_IN_KEYS = {"utf8": "varchar(255) CHARACTER SET utf8mb4 COLLATE {collation}", "binary": "varbinary(255)"}
_NEW_TYPES_BY_MYSQL = {"uuid": "char(36) CHARACTER SET ascii"}
_COLLATIONS = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
"""Collations that compare keys byte by byte: MariaDB's and MySQL's."""
_MEMBER = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_CONTROLS = {"n": "\n", "r": "\r", "0": "\0"}


def columns_of(session: Session, relation: Relation) -> list[Column]:
    """Return the columns of a table, in their order, without `members`."""
    columns = []
    for name, data_type, declared, *details in session.rows(_COLUMNS, session.target.database, relation.name):
        digits, scale, length, needed, computed, fills, nullable, default, comment, readable = details
        kind, numbers = data_type.lower(), (int(digits), int(scale), int(length))
        needed, default = bool(needed and not computed), None if default == "NULL" else default
        shown = (bool(nullable), default, comment, bool(readable))
        wide = wide_type(kind, declared, *numbers[:2])
        columns.append(Column(name, wide, declared, needed, bool(computed), *shown, kind, *numbers, fills=fills))
    return columns


def loose_columns(session: Session, relation: Relation, _columns: Sequence[Column]) -> dict[str, str]:
    """Return the columns, in the case of the catalogue, in which different texts may be equal, and why."""
    collated = session.rows(_COLLATED, session.target.database, relation.name)
    return {name: f"its collation is {order}" for name, order in collated if order not in _COLLATIONS.values()}


def foreign_keys(session: Session, deliveries: Sequence[Delivery]) -> list[ForeignKey]:
    """Return the foreign keys that refer to the targets of these deliveries."""
    by_schema: dict[str, list[str]] = {}
    for each in deliveries:
        schema = address(each.ctx.connection, each.config.schema).database
        by_schema.setdefault(schema, []).append(each.table)
    targets = ((schema, names, names, SYSTEM_SCHEMAS) for schema, names in by_schema.items())
    rows = (row for each in targets for row in session.rows(_FOREIGN, *each))
    return [ForeignKey((a, table), (b, parent), bool(acts), name) for a, table, b, parent, acts, name in rows]


def with_members(session: Session, table: str, column: Column) -> Column:
    """Return a column with the members of its ENUM or SET, if it is one; `table` is quoted.

    The catalogue shows some letters as `?`. The members are then read from a temporary table, so this needs a session
    that writes; without the privilege to create one, members with such letters are None.
    """
    return replace(column, members=_members(session, table, column)) if column.kind in LISTED else column


def _members(session: Session, table: str, column: Column) -> Sequence[str | None]:
    import pymysql

    members = listed_values(column.declared)
    if not any("?" in member for member in members):
        return members
    name = quote_name(column.name)
    try:
        session.run(f"CREATE TEMPORARY TABLE {_LISTING} ENGINE = InnoDB SELECT {name} FROM {table} LIMIT 0")
    except pymysql.OperationalError:
        return [None if "?" in member else member for member in members]
    numbers = [1 << place if column.kind == "set" else place + 1 for place in range(len(members))]
    session.run(f"INSERT INTO {_LISTING} VALUES ({'), ('.join(map(str, numbers))})")
    rows = session.rows(f"SELECT {name} FROM {_LISTING} ORDER BY {name} + 0")
    session.run(f"DROP TEMPORARY TABLE {_LISTING}")
    return [member for (member,) in rows]


def uniques(session: Session, table: str) -> list[set[str]]:
    """Return the columns, in lower case, of each unique index of a table; "" for an expression or a prefix."""
    indexes: dict[str, set[str]] = {}
    for index, name, full in session.rows(_UNIQUE, session.target.database, table):
        indexes.setdefault(index, set()).add(str(name).lower() if full and name else "")
    return list(indexes.values())


@dataclass(frozen=True, slots=True)
class Column(TargetColumn):
    """A column of an existing table; `type` is the largest of our types whose values it holds.

    `digits` is the precision of a decimal or a fraction of seconds, or the width of a BIT; `members` are those of an
    ENUM or SET if requested, None for an unknown one; `fills` is what the server stores for NULL, empty if it stores or
    rejects NULL.
    """

    kind: str = "bigint"
    digits: int = 0
    scale: int = 0
    length: int = 0
    members: Sequence[str | None] = ()
    fills: str = ""

    @property
    def unsigned(self) -> bool:
        """Whether it is an unsigned number."""
        return "unsigned" in self.declared and self.kind not in LISTED


def listed_values(declared: str) -> list[str]:
    """Return the members of an ENUM or SET, in their order; the catalogue shows letters beyond U+FFFF as `?`."""

    def unescaped(match: re.Match[str]) -> str:
        return _CONTROLS.get(match[1], match[1]) if match[1] else "'"

    return [_ESCAPED.sub(unescaped, text) for text in _MEMBER.findall(declared)]


def fits(column: Column, source: str) -> bool:
    """Whether a column holds values of one of our types, except those that `value_checks` rejects."""
    if source in ("json", "uuid"):
        return column.kind in (source, "longtext" if source == "json" else "char") and column.length not in range(1, 36)
    if source == "bool":
        return column.kind in _INTEGERS or column.declared == "bit(1)"
    if column.kind == "decimal" and source in _WIDTHS:
        return _WIDTHS[source] <= column.digits - column.scale
    return column.type is not None and holds(column.type, source)


def wide_type(kind: str, declared: str, digits: int, scale: int) -> str | None:
    """Return the largest of our types whose values a column holds; None if there is none."""
    if kind in _INTEGERS:
        return f"{'u' if 'unsigned' in declared else ''}int{_INTEGERS[kind]}"
    if kind == "bit":
        return f"uint{next(bits for bits in _SIZES if digits <= bits)}"
    return f"decimal({digits},{scale})" if kind == "decimal" else _LARGEST_TYPES.get(kind)


def column_type(name: str, *, key: bool = False, mariadb: bool = False) -> str | None:
    """Return the MySQL type of a new column that holds all values of one of our types; None if there is none.

    A column of a `key` has a limited length, and compares its values byte by byte. MariaDB has all types of MySQL.
    """
    parsed = parse_type(name)
    if parsed.kind == "decimal":
        digits, scale = map(int, parsed.parameters)
        return f"decimal({digits},{scale})" if digits <= _DIGITS and scale <= _PLACES else None
    if parsed.kind in ("time", "timestamp"):
        return _moment(parsed.kind, *map(str, parsed.parameters))
    if name in _WIDTHS:
        return _SIZES[int(name.lstrip("uint"))] + (" unsigned" if name.startswith("u") else "")
    spelled = _NEW_TYPES | (_NEW_TYPES_IN_KEYS if key else {}) | ({} if mariadb else _NEW_TYPES_BY_MYSQL)
    return spelled[name].format(collation=_COLLATIONS[mariadb]) if name in spelled else None


def _moment(kind: str, unit: str, zone: str | None = None) -> str | None:
    if unit not in _FRACTIONS or zone not in (None, "UTC"):
        return None
    name = "timestamp" if zone else "datetime" if kind == "timestamp" else kind
    return f"{name}({_FRACTIONS[unit]})"


def refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why columns cannot be written, by their names; `types` are our types by column name."""
    reasons = {name: _reason(kind) for name, kind in types.items() if column_type(kind) is None}
    return reasons | {name: problem for name in types if (problem := name_problem(name))}


def name_problem(name: str) -> str | None:
    """Return why a table or column cannot have a name; None if it can."""
    is_valid = 0 < len(name) <= LONGEST_NAME and name == name.rstrip()
    return None if is_valid else f"MySQL's names have 1 to {LONGEST_NAME} characters, and no blank at the end"


def _reason(name: str) -> str:
    parsed = parse_type(name)
    if parsed.kind == "decimal":
        return f"MySQL's decimals have at most {_DIGITS} digits, {_PLACES} of them behind the point"
    if parsed.kind in ("time", "timestamp"):
        if parsed.parameters[0] == "ns":
            return "MySQL has no nanoseconds; cast it to microseconds"
        return "MySQL keeps no zone; cast it to UTC"
    return "MySQL has no such values; turn it into JSON or columns in SQL"


def expect_rights(session: Session, delivery: Delivery, *, there: bool) -> None:
    """Fail with DRV020 for missing privileges to write a table's columns, or to create it unless it is `there`."""
    name, mode, listed = delivery.quoted, delivery.mode, [quote_name(field.name) for field in delivery.schema]
    statements = {
        "CREATE": not there and f"CREATE TABLE {name} (a INT)",
        "INSERT": f"INSERT INTO {name} ({', '.join(listed)}) VALUES ({', '.join('?' for _ in listed)})",
        "SELECT": f"SELECT {', '.join(listed) if mode == 'upsert' else 1} FROM {name}",
        "DELETE": removes_rows(delivery) and f"DELETE FROM {name}",
        "UPDATE": mode == "upsert" and f"UPDATE {name} SET {', '.join(f'{column} = ?' for column in listed)}",
    }
    _expect(session, statements, name, f"table '{delivery.table}'")
    if mode == "upsert":
        database = session.target.database
        statements = {"CREATE TEMPORARY TABLES": "CREATE TEMPORARY TABLE _osiris_rows (a INT)"}
        shown = f"database '{database}': an upsert goes by way of a temporary table"
        _expect(session, statements, every_table(database), shown)


def expect_rights_to_ledger(session: Session, delivery: Delivery) -> None:
    """Fail with DRV020 if the ledger or the tables of states cannot be written, or created if missing.

    The ledger is updated only when rows may be rejected.
    """
    changes: Mapping[str, Mapping[str, str | bool]] = {
        LEDGER: {"UPDATE": delivery.ctx.on_reject == "quarantine" and "UPDATE {} SET `rows` = ?"},
        STATE: {"UPDATE": "UPDATE {} SET content = ?"},
        REPEATED: {"DELETE": "DELETE FROM {}"},
    }
    for name in dict.fromkeys((LEDGER, *own_tables(delivery))):
        statements: Mapping[str, str | bool] = {
            "CREATE": find(session, name) is None and "CREATE TABLE {} (a INT)",
            "INSERT": "INSERT INTO {} VALUES ()",
            "SELECT": "SELECT * FROM {}",
            **changes[name],
        }
        table = qualified(session, name)
        needed = {right: str(text).format(table) for right, text in statements.items() if text}
        _expect(session, needed, table, f"table '{name}'")


def _expect(session: Session, statements: Mapping[str, str | bool], place: str, shown: str) -> None:
    """Fail with DRV020 for the privileges whose statements are denied; False is a privilege that is not needed."""
    missing = [name for name, statement in statements.items() if statement and not may(session, str(statement))]
    if missing:
        fail_grant(session, missing, place, shown)


def explained(session: Session, delivery: Delivery, refused: RowRejected) -> RowRejected:
    """Add to a refusal the columns and the check clause of the broken rule, from the catalogue."""
    if not refused.rule:
        return refused
    table = delivery.table
    rule = refused.rule.removeprefix(f"{table}.")
    columns = [name for (name,) in session.rows(_KEY_OF_RULE, session.target.database, table, rule)]
    clause = "" if columns else _clause(session, table, rule)
    if clause:
        existing = columns_of(session, Relation(table))
        columns = [column.name for column in existing if quote_name(column.name) in clause]
    reason = f"{refused.reason}: {clause}" if clause else refused.reason
    return RowRejected(", ".join(columns) or refused.column, reason, rule, refused.row)


def _clause(session: Session, table: str, rule: str) -> str:
    """Return a constraint's check clause; its name is unique in a table of MariaDB, in a database of MySQL."""
    check, tables = (f"{_CHECK_OF_RULE} AND TABLE_NAME = %s", [table]) if session.mariadb else (_CHECK_OF_RULE, [])
    return next((str(clause) for (clause,) in session.rows(check, session.target.database, rule, *tables)), "")
