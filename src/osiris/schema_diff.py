"""How a schema differs from what it was, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from osiris.model import Field, JsonValue, Schema

Kind = Literal["added", "removed", "type", "places", "order", "native"]

_WORDS: dict[Kind, str] = {
    "added": "column '{column}' is new ({new})",
    "removed": "column '{column}' is gone (it was {old})",
    "type": "column '{column}' was {old} and is {new}",
    "places": "its columns changed places: they were {old}, and are {new}",
    "order": "the order of its rows was {old} and is {new}",
    "native": "columns that DuckDB reads by itself: they were {old}, and are {new}",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `column` is None where it is not about a single one, `old` and `new` are None for nothing."""

    kind: Kind
    column: str | None
    old: str | None
    new: str | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return kind, column, old and new."""
        return {"kind": self.kind, "column": self.column, "old": self.old, "new": self.new}

    def __str__(self) -> str:
        """Return it for people."""
        return _WORDS[self.kind].format(column=self.column, old=self.old, new=self.new)


def schema_changes(old: Schema, new: Schema) -> list[Change]:
    """Return what changed from one schema to another: gone columns, new ones, other types, other places."""
    before, after = ({column.name: spelled(column) for column in schema} for schema in (old, new))
    found = [Change("removed", name, before[name], None) for name in before if name not in after]
    found += [Change("added", name, None, after[name]) for name in after if name not in before]
    found += [Change("type", name, text, after[name]) for name, text in before.items() if after.get(name, text) != text]
    kept = [[name for name in names if name in before and name in after] for names in (before, after)]
    if kept[0] != kept[1]:
        found.append(Change("places", None, *(", ".join(names) for names in kept)))
    return found


def spelled(column: Field) -> str:
    """Return the type of a column as people read it, `int64` or `int64 not null`."""
    return column.type if column.nullable else f"{column.type} not null"
