"""A finding of the determinism lint. It is stored with the verdict on its text; the inputs decide if it applies."""

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
"""In the columns of a finding: any column."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One nondeterministic place in a SQL text; line and column count from 1 inside the text.

    `columns`: it applies only if an input column of one of these names is a float. `relations`: only if the rows of one
    of these have no fixed order. `tied`: only if one of these relations has a column besides the given ones (folded):
    else tied rows are equal. None: it applies unconditionally.
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
    """Return the diagnostics of the findings that apply, given the schemas of the relations that the statement reads.

    `free` names those whose rows have no fixed order. Names are compared case-insensitively.
    """
    floats = {field.name.lower() for schema in inputs.values() for field in schema if field.type.startswith("float")}
    floats |= {ANY} if floats else set()
    unordered = {name.lower() for name in free}
    return [
        diagnostic(finding.code, at=finding.place, hint=finding.hint, what=finding.what)
        for finding in findings
        if _meets(finding.columns, floats) and _meets(finding.relations, unordered) and _can_tie(finding.tied, inputs)
    ]


def _meets(needed: frozenset[str] | None, there: set[str]) -> bool:
    """Tell whether one of the required names is present; None requires nothing."""
    return needed is None or not needed.isdisjoint(there)


def _can_tie(tied: Tied | None, inputs: Mapping[str, Schema]) -> bool:
    """Tell whether one of the relations has, besides its keys, a column in which tied rows can differ."""
    if tied is None:
        return True
    columns = {name.lower(): {field.name.lower() for field in schema} for name, schema in inputs.items()}
    return any(not columns.get(name) or not columns[name].issubset(keys) for name, keys in tied)
