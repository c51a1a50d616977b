"""A finding of the determinism lint. It is kept with the verdict on its text; whether it holds, the inputs decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.errors import Location, diagnostic

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from osiris.errors import Diagnostic
    from osiris.model import Schema
    from osiris.sql.nondeterminism.row_order import Tied


ANY = "*"
"""Among the columns of a finding: any column at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place in a SQL text that can differ from run to run; line and column count from 1 inside the text.

    `columns`: it holds only if an input column of one of these names is a float. `relations`: it holds only if the rows
    of one of these come in no fixed order. `tied`: it holds only if one of these relations has a column that does not
    stand beside it (folded): else rows that tie are equal. None: it holds anyhow.
    """

    code: str
    place: Location
    what: str
    hint: str | None = None
    columns: frozenset[str] | None = None
    relations: frozenset[str] | None = None
    tied: Tied | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON, its sets as sorted lists."""
        return {
            "code": self.code,
            "line": self.place.line,
            "column": self.place.column,
            "what": self.what,
            "hint": self.hint,
            "columns": None if self.columns is None else sorted(self.columns),
            "relations": None if self.relations is None else sorted(self.relations),
            "tied": None if self.tied is None else [[name, list(keys)] for name, keys in self.tied],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Return the finding that `to_json` wrote."""
        columns, relations = (None if data[k] is None else frozenset(data[k]) for k in ("columns", "relations"))
        at = Location(line=data["line"], column=data["column"])
        tied = None if data["tied"] is None else tuple((name, tuple(keys)) for name, keys in data["tied"])
        return cls(data["code"], at, data["what"], data["hint"], columns, relations, tied)


def diagnostics(
    findings: Collection[Finding], inputs: Mapping[str, Schema], free: Collection[str] = ()
) -> list[Diagnostic]:
    """Return what to say of the findings that hold, given the schemas of the relations that the statement reads.

    `free` names those whose rows come in no fixed order. Names are compared without case.
    """
    floats = {field.name.lower() for schema in inputs.values() for field in schema if field.type.startswith("float")}
    floats |= {ANY} if floats else set()
    unordered = {name.lower() for name in free}
    return [
        diagnostic(found.code, at=found.place, hint=found.hint, what=found.what)
        for found in findings
        if _meets(found.columns, floats) and _meets(found.relations, unordered) and _can_tie(found.tied, inputs)
    ]


def _meets(needed: frozenset[str] | None, there: set[str]) -> bool:
    """Tell whether one of the names that a finding needs is there; without any it holds anyhow."""
    return needed is None or not needed.isdisjoint(there)


def _can_tie(tied: Tied | None, inputs: Mapping[str, Schema]) -> bool:
    """Tell whether one of the relations has, besides its keys, a column in which rows that tie can differ."""
    if tied is None:
        return True
    known = {name.lower(): {field.name.lower() for field in schema} for name, schema in inputs.items()}
    return any(not known.get(name) or not known[name].issubset(keys) for name, keys in tied)
