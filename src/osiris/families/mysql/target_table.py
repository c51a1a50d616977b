"""The table that a step writes: its columns, which types each of them holds exactly, and which are made for ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osiris.families.mysql.session import qualified, quote_name
from osiris.families.sql.database import Column as TargetColumn
from osiris.families.type_compat import holds
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Relation


_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COALESCE(NUMERIC_PRECISION, DATETIME_PRECISION, 0),
    COALESCE(NUMERIC_SCALE, 0), COALESCE(CHARACTER_MAXIMUM_LENGTH, 0),
    IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%%auto_increment%%',
    COALESCE(GENERATION_EXPRESSION, '') <> '',
    CASE WHEN EXTRA LIKE '%%auto_increment%%' THEN 'the next number'
        WHEN IS_NULLABLE = 'NO' AND DATA_TYPE = 'timestamp' THEN 'the current time' ELSE '' END
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_UNIQUE = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"""
_LISTING = "_osiris_values"
LONGEST_NAME = 64
_DIGITS, _PLACES = 65, 30
_WHOLE = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
_SIZES = {8: "tinyint", 16: "smallint", 32: "int", 64: "bigint"}
_FLOATS = {"float": "float32", "double": "float64"}
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
LISTED = ("enum", "set")
_ADDRESSES = ("inet4", "inet6")
_BLOBS = ("vector", "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_MOMENTS = {"time": "time[us]", "datetime": "timestamp[us]", "timestamp": "timestamp[us,UTC]"}
_FRACTIONS = {"s": 0, "ms": 3, "us": 6}
_WIDTHS = {f"{sign}int{bits}": len(str(2**bits)) for sign in ("", "u") for bits in (8, 16, 32, 64)}
_HELD = {
    **_FLOATS,
    **_MOMENTS,
    **dict.fromkeys((*_TEXTS, *LISTED, *_ADDRESSES), "utf8"),
    **dict.fromkeys(_BLOBS, "binary"),
    "date": "date",
    "year": "uint16",
}
_MADE = {
    "bool": "boolean",
    "float32": "float",
    "float64": "double",
    "date": "date",
    "json": "json",
    "uuid": "uuid",
    "utf8": "longtext CHARACTER SET utf8mb4",
    "binary": "longblob",
}
_MADE_IN_KEYS = {"utf8": "varchar(255) CHARACTER SET utf8mb4 COLLATE {collation}", "binary": "varbinary(255)"}
_MADE_BY_MYSQL = {"uuid": "char(36) CHARACTER SET ascii"}
_COLLATIONS = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
"""How texts of keys are compared, byte by byte: in MariaDB, and in MySQL."""
_MEMBER = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_CONTROLS = {"n": "\n", "r": "\r", "0": "\0"}


def columns_of(session: Session, relation: Relation) -> list[Column]:
    """Return the columns of a table, in their order."""
    columns = [_column(*row) for row in session.rows(_COLUMNS, session.target.database, relation.name)]
    return [
        replace(column, members=_members(session, relation.name, column)) if column.kind in LISTED else column
        for column in columns
    ]


def _column(name: str, data_type: str, declared: str, digits: int, scale: int, *told: Any) -> Column:  # noqa: ANN401  what the catalogue says
    kind, (length, needed, computed, fills) = data_type.lower(), told
    wide, required = wide_type(kind, declared, int(digits), int(scale)), bool(needed) and not computed
    return Column(
        *(name, wide, declared, required, bool(computed)), kind, int(digits), int(scale), int(length), fills=fills
    )


def _members(session: Session, table: str, column: Column) -> Sequence[str | None]:
    """Return the values of an ENUM or of a SET, by their numbers.

    The catalogue has `?` for some letters. Then a table is asked that holds all of the values; who has no right to make
    one does not learn which they are.
    """
    import pymysql

    known = listed_values(column.declared)
    if not any("?" in value for value in known):
        return known
    name = quote_name(column.name)
    made = f"CREATE TEMPORARY TABLE {_LISTING} ENGINE = InnoDB SELECT {name} FROM {qualified(session, table)} LIMIT 0"
    try:
        session.run(made)
    except pymysql.OperationalError:
        return [None if "?" in value else value for value in known]
    numbers = [1 << place if column.kind == "set" else place + 1 for place in range(len(known))]
    session.run(f"INSERT INTO {_LISTING} VALUES ({'), ('.join(map(str, numbers))})")
    found = session.rows(f"SELECT {name} FROM {_LISTING} ORDER BY {name} + 0")
    session.run(f"DROP TEMPORARY TABLE {_LISTING}")
    return [value for (value,) in found]


def uniques(session: Session, table: str) -> list[set[str]]:
    """Return the columns, in lower case, of each unique index of a table."""
    found: dict[str, set[str]] = {}
    for index, name, whole in session.rows(_UNIQUE, session.target.database, table):
        found.setdefault(index, set()).add(str(name).lower() if whole and name else "")
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Column(TargetColumn):
    """A column of a table that is there, as the catalogue has it; `type` is the largest of ours whose values it holds.

    `digits` are a decimal's, a BIT's or those of a fraction; `members` the values of an ENUM or of a SET, None for one
    that is not known; `fills` is what the server puts in the place of NULL, empty if it takes or refuses it.
    """

    kind: str = "bigint"
    digits: int = 0
    scale: int = 0
    length: int = 0
    members: Sequence[str | None] = ()
    fills: str = ""

    @property
    def unsigned(self) -> bool:
        """Whether it is a number that is not negative."""
        return _is_unsigned(self.kind, self.declared)


def _is_unsigned(kind: str, declared: str) -> bool:
    return "unsigned" in declared and kind not in LISTED


def listed_values(declared: str) -> list[str]:
    """Return the values of an ENUM or of a SET, in their order; letters beyond the first 65,536 are `?` there."""
    return [_ESCAPED.sub(_unescaped, text) for text in _MEMBER.findall(declared)]


def _unescaped(found: re.Match[str]) -> str:
    return _CONTROLS.get(found[1], found[1]) if found[1] else "'"


def fits(column: Column, source: str) -> bool:
    """Tell whether a column holds values of one of our types: all, but for those that `value_checks` refuses."""
    if source in ("json", "uuid"):
        return column.kind in (source, "longtext" if source == "json" else "char") and column.length not in range(1, 36)
    if source == "bool":
        return column.kind in _WHOLE or column.declared == "bit(1)"
    if column.kind == "decimal" and source in _WIDTHS:
        return _WIDTHS[source] <= column.digits - column.scale
    return column.type is not None and holds(column.type, source)


def wide_type(kind: str, declared: str, digits: int, scale: int) -> str | None:
    """Return the largest of our types whose values a column holds; None if it holds those of none."""
    if kind in _WHOLE:
        return f"{'u' if _is_unsigned(kind, declared) else ''}int{_WHOLE[kind]}"
    if kind == "bit":
        return f"uint{next(bits for bits in _SIZES if digits <= bits)}"
    return f"decimal({digits},{scale})" if kind == "decimal" else _HELD.get(kind)


def column_type(name: str, *, key: bool = False, mariadb: bool = True) -> str | None:
    """Return the type of MySQL that is made for one of ours and holds all of its values; None if there is none.

    A column of a `key` cannot be as long as it likes, and compares its values byte by byte.
    """
    found = parse_type(name)
    if found.kind == "decimal":
        digits, scale = map(int, found.parameters)
        return f"decimal({digits},{scale})" if digits <= _DIGITS and scale <= _PLACES else None
    if found.kind in ("time", "timestamp"):
        return _moment(found.kind, *map(str, found.parameters))
    if name in _WIDTHS:
        return _SIZES[int(name.lstrip("uint"))] + (" unsigned" if name.startswith("u") else "")
    made = _MADE | (_MADE_IN_KEYS if key else {}) | ({} if mariadb else _MADE_BY_MYSQL)
    return made[name].format(collation=_COLLATIONS[mariadb]) if name in made else None


def _moment(kind: str, unit: str, zone: str | None = None) -> str | None:
    if unit not in _FRACTIONS or zone not in (None, "UTC"):
        return None
    name = "timestamp" if zone else "datetime" if kind == "timestamp" else kind
    return f"{name}({_FRACTIONS[unit]})"


def refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why columns cannot be carried, by their names; `types` are ours by name."""
    found = {name: _reason(kind) for name, kind in types.items() if column_type(kind) is None}
    for name in types:
        if len(name) > LONGEST_NAME or name != name.rstrip():
            found[name] = f"MySQL's names have at most {LONGEST_NAME} characters, and no blank at the end"
    return found


def _reason(name: str) -> str:
    found = parse_type(name)
    if found.kind == "decimal":
        return f"MySQL's decimals have at most {_DIGITS} digits, {_PLACES} of them behind the point"
    if found.kind in ("time", "timestamp"):
        if found.parameters[0] == "ns":
            return "MySQL has no nanoseconds; cast it to microseconds"
        return "MySQL keeps no zone; cast it to UTC"
    return "MySQL has no such values; turn it into JSON or columns in SQL"
