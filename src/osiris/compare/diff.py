"""What differs between two plans: the first cause first, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import TYPE_CHECKING, Any

from osiris.canonical import canonical_bytes
from osiris.compiler.build import ROOT_KEYS, STEP_LEAVES, root_parts, step_parts
from osiris.errors import diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest


class _Absent:
    """Stands where one side has no value."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()

DERIVED = ("lineage", "fused")
"""Keys of a step that say what follows from the others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: the leaf it belongs to, its path, and both values; `ABSENT` where there is none.

    `note` says it in words where the values tell a reader nothing. `code` is that of the diagnostic it makes:
    DAT010 for something that differs, DAT009 for something that cannot be compared. `where` says in which line of the
    files it shows first, or why that cannot be told.
    """

    leaf: str
    path: str
    old: JsonValue
    new: JsonValue
    note: str | None = None
    code: str = "DAT010"
    where: str | None = None

    def __str__(self) -> str:
        return self.note or f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return leaf, path, the text of it, and the values; one that is absent is left out."""
        values = {"old": self.old, "new": self.new}
        known = {key: value for key, value in values.items() if value is not ABSENT}
        return {"leaf": self.leaf, "path": self.path, "text": str(self), **known}

    def to_diagnostic(self) -> Diagnostic:
        """Return the diagnostic of this difference."""
        return diagnostic(self.code, hint=self.where, what=str(self), problem=str(self))


def _shown(value: JsonValue) -> str:
    return repr(value) if value is ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def diff(a: Manifest, b: Manifest) -> list[Difference]:
    """Return what differs between two plans, in the order of the fingerprint tree; empty only if they are one plan.

    A step that differs only because a step above it does is not listed. How columns flow and what is computed together
    follows from the rest, and is listed only where nothing else differs.
    """
    old, new = root_parts(a.data), root_parts(b.data)
    found = [item for leaf in ROOT_KEYS for item in _changes(leaf, "", old[leaf], new[leaf])]
    before, after = ({step["id"]: step for step in manifest.steps} for manifest in (a, b))
    derived: list[Difference] = []
    for name in dict.fromkeys((*before, *after)):
        if name in before and name in after:
            found += _step_changes(f"steps/{name}", before[name], after[name])
            derived += _derived_changes(name, before[name], after[name])
        else:
            left, right = (steps[name]["component"] if name in steps else ABSENT for steps in (before, after))
            found.append(Difference(f"steps/{name}", f"steps/{name}", left, right))
    return found or derived


def is_derived(item: Difference) -> bool:
    """Tell whether a difference is one that follows from SQL, config and schemas."""
    return item.path.split("/")[2:3] in [[key] for key in DERIVED]


def first_change(saved: Manifest | None, fresh: Manifest) -> Difference | None:
    """Return the first difference between a saved plan and a fresh one, None if they are the same plan."""
    if saved is None:
        return Difference("", "plan", ABSENT, fresh.short)
    return next(iter(diff(saved, fresh)), None)


def _step_changes(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    if before["hash"] == after["hash"]:
        return
    old, new = step_parts(before), step_parts(after)
    for parts in (old, new):
        parts["schema"] |= _by_column(parts["schema"]["schema"])
        for part, key in product(parts.values(), DERIVED):
            part.pop(key, None)
    for leaf in STEP_LEAVES:
        yield from _changes(f"{prefix}/{leaf}", prefix, old[leaf], new[leaf])


def _derived_changes(step: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what differs in that which follows from SQL, config and schemas, one difference a column."""
    old, new = (_flat_flow(each) for each in (before, after))
    for key in dict.fromkeys((*old, *new)):
        left, right = old.get(key, ABSENT), new.get(key, ABSENT)
        if left != right:
            path = f"steps/{step}/{key}"
            yield Difference(path, path, left, right, f"{path}: {_origins(left)} -> {_origins(right)}")


def _flat_flow(step: Mapping[str, Any]) -> dict[str, list[Any]]:
    lineage = step.get("lineage") or {}
    columns = {f"lineage/columns/{name}": origins for name, origins in lineage.get("columns", {}).items()}
    rows = {"lineage/rows": lineage["rows"]} if lineage else {}
    return {**columns, **rows, "fused": step.get("fused") or []}


def _origins(origins: JsonValue) -> str:
    """Spell a list of `[step, column, kind]`, of `[step, column]` or of ids of steps."""
    parts = () if origins is ABSENT else ([item] if isinstance(item, str) else item for item in origins)
    return ", ".join(".".join(part[:2]) + "".join(f" ({kind})" for kind in part[2:]) for part in parts) or repr(ABSENT)


def _by_column(schema: list[dict[str, JsonValue]] | None) -> dict[str, JsonValue]:
    """Return a schema by column name, so that one column more does not look like a change of all that follow."""
    if schema is None:
        return {"schema": None}
    columns = {field["name"]: {"type": field["type"], "nullable": field["nullable"]} for field in schema}
    return {"columns": list(columns), "schema": columns}


def _changes(leaf: str, path: str, old: JsonValue, new: JsonValue) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            below = f"{path}/{key}" if path else key
            yield from _changes(leaf, below, old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _changes(leaf, f"{path}/{index}", left, right)
    elif old is ABSENT or new is ABSENT or canonical_bytes(old) != canonical_bytes(new):
        yield Difference(leaf, path, old, new, _first_line(path, old, new))


def _first_line(path: str, old: JsonValue, new: JsonValue) -> str | None:
    """Say how two texts of several lines differ: by the first line that does, and how many do."""
    if not (isinstance(old, str) and isinstance(new, str) and "\n" in old + new):
        return None
    pairs = list(zip_longest(old.splitlines(), new.splitlines(), fillvalue=ABSENT))
    differing = [number for number, (left, right) in enumerate(pairs, 1) if left != right]
    if not differing:
        return None
    left, right = pairs[differing[0] - 1]
    more = f" (lines that differ: {len(differing)})" if len(differing) > 1 else ""
    return f"{path} line {differing[0]}: {_shown(left)} -> {_shown(right)}{more}"
