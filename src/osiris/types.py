"""The data types, their names, and their Arrow types.

Names: `bool`, `int8`…`int64`, `uint8`…`uint64`, `float32`, `float64`, `decimal(p,s)`, `utf8`, `binary`, `date`,
`time[unit]`, `timestamp[unit]` (naive), `timestamp[unit,zone]` (aware), `uuid`, `json`, `list<T>` and
`struct<"name":T,…>`, where unit is s, ms, us or ns. Arrow's other encodings of the same values (large or view strings,
dictionaries) have no names of their own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from osiris.errors import certain, diagnostic, fail, nearest
from osiris.model import Field, Schema

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    import pyarrow as pa

    from osiris.errors import Diagnostic, Location
    from osiris.model import JsonValue, Schema


_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
SIMPLE = ("bool", *_INTEGERS, "float32", "float64", "utf8", "binary", "date", "uuid", "json")
MAX_DECIMAL_DIGITS = 76
_DEPTH = 32
_SHOWN = 60
_OTHER_NAMES = {
    **dict.fromkeys(("string", "str", "text", "varchar"), "utf8"),
    **dict.fromkeys(("int", "integer", "bigint", "long"), "int64"),
    **dict.fromkeys(("float", "double", "number", "real"), "float64"),
    **dict.fromkeys(("datetime", "timestamp", "timestamptz"), "timestamp[us]"),
    "boolean": "bool",
    "numeric": "decimal(18,2)",
    "decimal": "decimal(18,2)",
    "bytes": "binary",
}
"""Names of types in other languages."""
_SPELLINGS = (*SIMPLE, "decimal(18,2)", "time[us]", "timestamp[us]", "timestamp[us,UTC]", "list<utf8>")

_TYPE_NAMES = (
    "bool, int8 to int64, uint8 to uint64, float32, float64, decimal(DIGITS,SCALE), utf8, binary, date, time[us], "
    "timestamp[us], timestamp[us,UTC], uuid, json, list<TYPE>"
)

_DECIMAL = re.compile(r"decimal\(([1-9][0-9]?),(0|[1-9][0-9]?)\)")
_TEMPORAL = re.compile(r"(time|timestamp)\[(s|ms|us|ns)(?:,([A-Za-z0-9_+:/-]{1,64}))?\]")
_WORD = re.compile(r"[a-z]+[0-9]*")
_NAME = re.compile(r'"(?:[^"\\]|\\.)*"')


class Type(NamedTuple):
    """A parsed type: its kind, its parameters, and, for lists and structs, the child types by name."""

    kind: str
    parameters: tuple[str | int, ...] = ()
    children: tuple[tuple[str, Type], ...] = ()


def parse_type(name: str) -> Type:
    """Return a parsed type; fails with DAT012 if the name is invalid."""
    parsed = _parse(name, 0, 0)
    if parsed is None or parsed[1] != len(name):
        fail("DAT012", type=name)
    return parsed[0]


def is_type_name(name: str) -> bool:
    """Return whether a text is the name of a type."""
    parsed = _parse(name, 0, 0)
    return parsed is not None and parsed[1] == len(name)


def unknown_type(name: str, at: Location) -> Diagnostic:
    """Return DAT012 for an unknown type, with the most similar name and all others.

    The last part of the location's pointer is the column.
    """
    near, column = near_type(name), (at.pointer or "").rpartition("/")[2]
    written = f'write {column}: "{near or "utf8"}"{"" if near else ", for instance"}'
    return diagnostic("DAT012", at=at, type=name[:_SHOWN], hint=f"{written}; types are {_TYPE_NAMES}")


def near_type(name: str) -> str | None:
    """Return the type name most similar to an unknown one; None if none is."""
    near = nearest(name[:_SHOWN], (*_SPELLINGS, *_OTHER_NAMES))
    return _plain(name) or (_OTHER_NAMES.get(near, near) if near else None)


def meant_type(name: str) -> str | None:
    """Return the type that an unknown name certainly means; None if it is a guess, as the digits of `decimal` are."""
    similar = certain(name[:_SHOWN], (*_SPELLINGS, *_OTHER_NAMES))
    meant = _OTHER_NAMES.get(similar, similar) if similar else None
    return _plain(name) or (meant if meant and "(" not in meant else None)


def _plain(name: str) -> str | None:
    """Return the type whose name is only written otherwise, as in `Decimal(9, 2)`; None if there is none."""
    plain = "".join(name[:_SHOWN].lower().split()).replace("numeric(", "decimal(")
    return plain if is_type_name(plain) else None


def _parse(text: str, at: int, depth: int) -> tuple[Type, int] | None:
    """Parse one type at a position; returns it and the position after it."""
    if depth > _DEPTH:
        return None
    if match := _DECIMAL.match(text, at):
        precision, scale = int(match[1]), int(match[2])
        valid = scale <= precision <= MAX_DECIMAL_DIGITS
        return (Type("decimal", (precision, scale)), match.end()) if valid else None
    if match := _TEMPORAL.match(text, at):
        return _parse_temporal(match)
    if text.startswith("list<", at):
        return _parse_list(text, at + 5, depth)
    if text.startswith("struct<", at):
        return _parse_struct(text, at + 7, depth)
    word = _WORD.match(text, at)
    return (Type(word[0]), word.end()) if word and word[0] in SIMPLE else None


def _parse_temporal(match: re.Match[str]) -> tuple[Type, int] | None:
    kind, unit, zone = match.groups()
    valid = kind == "timestamp" or zone is None
    return (Type(kind, (unit, zone) if zone else (unit,)), match.end()) if valid else None


def _parse_list(text: str, at: int, depth: int) -> tuple[Type, int] | None:
    inner = _parse(text, at, depth + 1)
    if inner is None or not text.startswith(">", inner[1]):
        return None
    return Type("list", (), (("item", inner[0]),)), inner[1] + 1


def _parse_struct(text: str, at: int, depth: int) -> tuple[Type, int] | None:
    fields: list[tuple[str, Type]] = []
    while match := _NAME.match(text, at):
        inner = _parse(text, match.end() + 1, depth + 1) if text.startswith(":", match.end()) else None
        name = _unquoted(match[0])
        if inner is None or name is None:
            return None
        fields.append((name, inner[0]))
        at = inner[1]
        if text.startswith(">", at):
            return Type("struct", (), tuple(fields)), at + 1
        if not text.startswith(",", at):
            return None
        at += 1
    return None


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _unquoted(text: str) -> str | None:
    """Return the name in a JSON string; None if it is invalid or not in its canonical form."""
    try:
        name = str(json.loads(text))
    except ValueError:
        return None
    return name if _quoted(name) == text else None


def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a type name; fails with DAT012 if it is invalid."""
    return _to_arrow(parse_type(name))


def _to_arrow(parsed: Type) -> pa.DataType:
    import pyarrow as pa

    kind, parameters = parsed.kind, parsed.parameters
    if kind == "decimal":
        precision, scale = parameters
        return pa.decimal128(precision, scale) if int(precision) <= 38 else pa.decimal256(precision, scale)
    if kind == "timestamp":
        return pa.timestamp(*parameters)
    if kind == "time":
        return pa.time32(*parameters) if parameters[0] in ("s", "ms") else pa.time64(*parameters)
    if kind == "list":
        return pa.list_(_to_arrow(parsed.children[0][1]))
    if kind == "struct":
        return pa.struct([(name, _to_arrow(child)) for name, child in parsed.children])
    special = {"bool": pa.bool_, "date": pa.date32, "uuid": pa.uuid, "json": pa.json_}
    make = special.get(kind) or getattr(pa, kind)
    return make()


def type_name(kind: pa.DataType) -> str:
    """Return the name of an Arrow type; fails with DAT012 for an unsupported type."""
    import pyarrow.types as is_

    if is_.is_dictionary(kind):
        return type_name(kind.value_type)
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    if is_.is_struct(kind) and kind.num_fields:
        fields = (f"{_quoted(child.name)}:{type_name(child.type)}" for child in kind.fields)
        return f"struct<{','.join(fields)}>"
    return _simple_name(kind) or _parameterized_name(kind) or fail("DAT012", type=str(kind))


def _simple_name(kind: pa.DataType) -> str | None:
    import pyarrow as pa
    import pyarrow.types as is_

    names = {
        pa.bool_(): "bool",
        pa.float32(): "float32",
        pa.float64(): "float64",
        pa.date32(): "date",
        pa.uuid(): "uuid",
        **dict.fromkeys((pa.json_(), pa.json_(pa.large_utf8()), pa.json_(pa.string_view())), "json"),
        **dict.fromkeys((pa.utf8(), pa.large_utf8(), pa.string_view()), "utf8"),
        **dict.fromkeys((pa.binary(), pa.large_binary(), pa.binary_view()), "binary"),
        **{getattr(pa, name)(): name for name in _INTEGERS},
    }
    return "binary" if is_.is_fixed_size_binary(kind) else names.get(kind)


def _parameterized_name(kind: pa.DataType) -> str | None:
    import pyarrow.types as is_

    if is_.is_decimal(kind) and 0 <= kind.scale <= kind.precision:
        return f"decimal({kind.precision},{kind.scale})"
    if is_.is_timestamp(kind):
        return f"timestamp[{kind.unit},{kind.tz}]" if kind.tz else f"timestamp[{kind.unit}]"
    if is_.is_time(kind):
        return f"time[{kind.unit}]"
    return None


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a schema."""
    import pyarrow as pa

    return pa.schema([pa.field(column.name, arrow_type(column.type), column.nullable) for column in schema])


def schema_of(arrow: pa.Schema) -> Schema:
    """Return the schema of an Arrow schema; fails with DAT012 for an unsupported type."""
    return tuple(Field(field.name, type_name(field.type), field.nullable) for field in arrow)


Kind = Literal["added", "removed", "type", "places", "order", "native"]

_WORDS: dict[Kind, str] = {
    "added": "column '{column}' is new ({new})",
    "removed": "column '{column}' was removed (it was {old})",
    "type": "column '{column}' was {old} and is now {new}",
    "places": "its columns are in another order: they were {old} and are now {new}",
    "order": "the order of its rows was {old} and is now {new}",
    "native": "columns that DuckDB reads directly: they were {old} and are now {new}",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One schema change; `column` is None if it is not about a single column, `old` and `new` if there is no value."""

    kind: Kind
    column: str | None
    old: str | None
    new: str | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return kind, column, old and new."""
        return {"kind": self.kind, "column": self.column, "old": self.old, "new": self.new}

    def __str__(self) -> str:
        """Return the change as text."""
        return _WORDS[self.kind].format(column=self.column, old=self.old, new=self.new)


def _absent(names: Iterable[str], others: Container[str]) -> list[str]:
    return [name for name in names if name not in others]


def schema_changes(old: Schema, new: Schema) -> list[Change]:
    """Return the changes from one schema to another: removed and added columns, types, column order."""
    before, after = ({column.name: spelled(column) for column in schema} for schema in (old, new))
    changes = [Change("removed", name, before[name], None) for name in _absent(before, after)]
    changes += [Change("added", name, None, after[name]) for name in _absent(after, before)]
    common, places = (list(filter(other.__contains__, one)) for one, other in ((before, after), (after, before)))
    changes += [Change("type", name, before[name], after[name]) for name in common if after[name] != before[name]]
    if common != places:
        changes.append(Change("places", None, ", ".join(common), ", ".join(places)))
    return changes


def spelled(column: Field) -> str:
    """Return the type of a column as text, `int64` or `int64 not null`."""
    return column.type if column.nullable else f"{column.type} not null"
