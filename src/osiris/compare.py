"""What differs between two plans, or between what two runs wrote: the first cause first, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from osiris.canonical import canonical_bytes
from osiris.compiler.tree import ROOT_KEYS, STEP_LEAVES, root_parts, step_parts
from osiris.delivery import is_still_there
from osiris.errors import diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest

    RunSummary = Mapping[str, JsonValue]
    _File = Mapping[str, Any]
    _Files = list[_File]


_TEXT = (".csv", ".tsv", ".txt")
"""How the names of files end in which a line is a row."""


class _Absent:
    """Stands where one side has no value."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


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

    A step that differs only because a step above it does is not listed.
    """
    old, new = root_parts(a.data), root_parts(b.data)
    found = [item for leaf in ROOT_KEYS for item in _changes(leaf, "", old[leaf], new[leaf])]
    before, after = ({step["id"]: step for step in manifest.steps} for manifest in (a, b))
    for name in dict.fromkeys((*before, *after)):
        if name in before and name in after:
            found += _step_changes(f"steps/{name}", before[name], after[name])
        else:
            left, right = (steps[name]["component"] if name in steps else ABSENT for steps in (before, after))
            found.append(Difference(f"steps/{name}", f"steps/{name}", left, right))
    return found


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
    for leaf in STEP_LEAVES:
        yield from _changes(f"{prefix}/{leaf}", prefix, old[leaf], new[leaf])


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


def verify(run_a: RunSummary, run_b: RunSummary, root: Path) -> list[Difference]:
    """Return what differs between the digests of what two runs wrote, by step and column; empty if nothing does.

    The summaries are those of `run.json`; a digest is one of `table.Digester`. A run that is not complete is named
    first. Where the rows differ and every column agrees, the values are paired otherwise. Files below `root` that are
    still as the runs left them are read for the first line that differs.
    """
    found = [item for run in (run_a, run_b) for item in _incomplete(run)]
    old, new = (run.get("outputs") or {} for run in (run_a, run_b))
    if not old and not new:
        text = "neither run has a digest of anything written"
        return [*found, _incomparable("outputs", ABSENT, ABSENT, text)]
    for step in dict.fromkeys((*old, *new)):
        if step in old and step in new:
            found += _output_changes(root, step, old[step], new[step])
        else:
            side = "first" if step in old else "second"
            left, right = ("written" if step in steps else ABSENT for steps in (old, new))
            found.append(Difference(step, step, left, right, f"step '{step}' wrote only in the {side} run"))
    return found


def _incomplete(run: RunSummary) -> Iterator[Difference]:
    if run["status"] != "complete":
        text = f"run {run['session']} is not complete but {run['status']}: what it wrote may be a part"
        yield _incomparable("status", run["status"], run["status"], text)


def _output_changes(root: Path, step: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    found = _digest_changes(step, old["digest"], new["digest"])
    if found and found[0].code == "DAT010":
        ordered = old["digest"]["kind"] == "ordered"
        where = first_line(root, old["files"], new["files"]) if ordered else "no row is the first: their order is free"
        found[0] = replace(found[0], where=where)
    return found


def _digest_changes(step: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    for key in ("kind", "algorithm"):
        if old[key] != new[key]:
            text = f"step '{step}': the {key} of the digests differs, {old[key]} and {new[key]}"
            return [_incomparable(f"{step}/{key}", old[key], new[key], text)]
    left, right = old["columns"], new["columns"]
    shared = [name for name in left if name in right]
    found = [
        _column(step, name, left, right) for name in dict.fromkeys((*left, *right)) if left.get(name) != right.get(name)
    ]
    if old["rows"] != new["rows"]:
        found.insert(0, Difference(step, f"{step}/rows", old["rows"], new["rows"]))
    if old["schema"] != new["schema"] and len(shared) == len(left) == len(right):
        text = f"step '{step}': the columns have other types, or stand in another order"
        found.insert(0, Difference(step, f"{step}/schema", old["schema"], new["schema"], text))
    if not found and old["value"] != new["value"]:
        text = f"step '{step}': pairing differs: every column has the same values, in other rows"
        found.append(Difference(step, f"{step}/pairing", old["value"], new["value"], text))
    return found


def _column(step: str, name: str, left: Mapping[str, str], right: Mapping[str, str]) -> Difference:
    if name in left and name in right:
        text = f"step '{step}': column '{name}' differs"
    else:
        text = f"step '{step}': column '{name}' is only in the {'first' if name in left else 'second'} run"
    return Difference(step, f"{step}/columns/{name}", left.get(name, ABSENT), right.get(name, ABSENT), text)


def _incomparable(path: str, old: JsonValue, new: JsonValue, text: str) -> Difference:
    return Difference(path.partition("/")[0], path, old, new, text, "DAT009")


def first_line(root: Path, old: _Files, new: _Files) -> str:
    """Say in which line two lists of text files first differ, or why that cannot be told.

    Files are those of `run.json`: path, size and SHA-256; one that has changed since is not read.
    """
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if a["sha256"] != b["sha256"]]
    if reason := _why_no_line(root, old, new, pairs):
        return f"the first row that differs cannot be told: {reason}"
    left, right = (file["path"] for file in pairs[0])
    return f"{left} and {right} first differ in line {_differing_line(root / left, root / right)}"


def _why_no_line(root: Path, old: _Files, new: _Files, pairs: list[tuple[_File, _File]]) -> str | None:
    both = {file["path"] for file in old} & {file["path"] for file in new}
    if both:
        return f"both runs wrote {min(both)}; put ${{run.id}} into its path"
    if len(old) != len(new):
        return f"one run wrote {len(old)} files, the other {len(new)}"
    if not pairs:
        return "the files are the same"
    if other := next((file["path"] for file in pairs[0] if not file["path"].lower().endswith(_TEXT)), None):
        return f"{other} is not a text file"
    gone = next((file["path"] for file in pairs[0] if not is_still_there(root, [file])), None)
    return f"{gone} is no longer as its run left it" if gone else None


def _differing_line(left: Path, right: Path) -> int:
    """Return the number of the first line in which two files differ; they are read side by side."""
    with left.open("rb") as a, right.open("rb") as b:
        pairs = enumerate(zip_longest(a, b), 1)
        return next(number for number, (before, after) in pairs if before != after)
