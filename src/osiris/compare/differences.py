"""Differences between two plans, causes first, and between the outputs of two runs."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from itertools import product, zip_longest
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from osiris.canonical import canonical_bytes
from osiris.compiler.build import ROOT_KEYS, STEP_LEAVES, root_parts, step_parts
from osiris.delivery import is_still_there
from osiris.errors import diagnostic
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest

    RowFinder = Callable[[str, str], int | None]
    RunSummary = Mapping[str, JsonValue]
    _File = Mapping[str, Any]
    _Files = list[_File]

DERIVED = ("lineage", "fused")
"""Keys of a step that are derived from the others."""

INCOMPARABLE = "DAT009"
"""Code for values that cannot be compared."""

_UNORDERED = "rows have no defined order, so there is no first difference"
_TEXT = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
"""Suffixes of files with one row per line; they may be compressed with gzip."""
_GZIP = ".gz"


class _Absent:
    """Placeholder where one side has no value."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: its leaf of the fingerprint tree, its path, and both values; `ABSENT` where there is none.

    `note` describes it where the values are not readable. `code` is the code of its diagnostic: DAT010 for a
    difference, DAT009 for something that cannot be compared. `where` is the first differing line of the files, or why
    it is unknown.
    """

    leaf: str
    path: str
    old: JsonValue
    new: JsonValue
    note: str | None = None
    code: str = "DAT010"
    where: str | None = None

    @property
    def is_one_sided(self) -> bool:
        """Whether only one side has a value."""
        return self.old is ABSENT or self.new is ABSENT

    def __str__(self) -> str:
        return self.note or f"{self.path}: {_shown(self.old)} -> {_shown(self.new)}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return leaf, path, text, and the values that are present."""
        values = {"old": self.old, "new": self.new}
        present = {key: value for key, value in values.items() if value is not ABSENT}
        return {"leaf": self.leaf, "path": self.path, "text": str(self), **present}

    def to_diagnostic(self) -> Diagnostic:
        """Return the diagnostic of this difference."""
        return diagnostic(self.code, hint=self.where, what=str(self), problem=str(self))


def _shown(value: JsonValue) -> str:
    return repr(value) if value is ABSENT else json.dumps(value, ensure_ascii=False, sort_keys=True)


def diff(a: Manifest, b: Manifest) -> list[Difference]:
    """Return the differences between two plans, in the order of the fingerprint tree; empty only for the same plan.

    A step that differs only because an upstream step does is not listed. Derived parts, such as lineage and fused
    steps, are listed only if nothing else differs.
    """
    old, new = root_parts(a.data), root_parts(b.data)
    changes = [item for leaf in ROOT_KEYS for item in _changes(leaf, "", old[leaf], new[leaf])]
    before, after = ({step["id"]: step for step in manifest.steps} for manifest in (a, b))
    derived: list[Difference] = []
    for name in dict.fromkeys((*before, *after)):
        changes += _step_changes(f"steps/{name}", before.get(name), after.get(name))
        if name in before and name in after:
            derived += _derived_changes(name, before[name], after[name])
    return changes or derived


def is_derived(item: Difference) -> bool:
    """Return whether a difference is derived from SQL, config and schemas."""
    return item.path.split("/")[2:3] in [[key] for key in DERIVED]


def first_change(saved: Manifest | None, fresh: Manifest) -> Difference | None:
    """Return the first difference between a saved plan and a fresh one; None if they are the same plan."""
    if saved is None:
        return Difference("", "plan", ABSENT, fresh.short, "build/ has no plan of this pipeline")
    return next(iter(diff(saved, fresh)), None)


def _step_changes(
    prefix: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[Difference]:
    if before is None or after is None:
        left, right = (ABSENT if step is None else step["component"] for step in (before, after))
        yield Difference(prefix, prefix, left, right)
        return
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
    """Yield differences in the derived parts of a step, one per column."""
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
    """Return a list of `[step, column, kind]`, `[step, column]` or step ids as text."""
    parts = () if origins is ABSENT else ([item] if isinstance(item, str) else item for item in origins)
    return ", ".join(".".join(part[:2]) + "".join(f" ({kind})" for kind in part[2:]) for part in parts) or repr(ABSENT)


def _by_column(schema: list[dict[str, JsonValue]] | None) -> dict[str, JsonValue]:
    """Return a schema by column name, so that an inserted column does not change all later ones."""
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
    elif not _is_same(old, new):
        yield Difference(leaf, path, old, new, _first_changed_line(path, old, new))


def _is_same(old: JsonValue, new: JsonValue) -> bool:
    """Return whether two values of plans are the same; an absent value equals nothing."""
    return ABSENT not in (old, new) and canonical_bytes(old) == canonical_bytes(new)


def _first_changed_line(path: str, old: JsonValue, new: JsonValue) -> str | None:
    """Return how two multi-line texts differ: the first differing line, and the number of them; else None."""
    if not (isinstance(old, str) and isinstance(new, str) and "\n" in old + new):
        return None
    pairs = list(zip_longest(old.splitlines(), new.splitlines(), fillvalue=ABSENT))
    differing = [number for number, (left, right) in enumerate(pairs, 1) if left != right]
    if not differing:
        return None
    left, right = pairs[differing[0] - 1]
    more = f" (lines that differ: {len(differing)})" if len(differing) > 1 else ""
    return f"{path} line {differing[0]}: {_shown(left)} -> {_shown(right)}{more}"


def verify(run_a: RunSummary, run_b: RunSummary, root: Path, rows: RowFinder | None = None) -> list[Difference]:
    """Return the differences between the digests of two runs' outputs, by step and column.

    The arguments are the runs' `run.json`; digests are those of `table.Digester`. Incomplete runs are listed first. If
    the rows differ but no column does, values are paired differently. Files below `root` that are unchanged since the
    runs are read to find the first differing line; `rows` finds the first differing row of two non-text files.
    """
    differences = [*_other_pipeline(run_a, run_b), *_incomplete(run_a), *_incomplete(run_b)]
    old, new = (run.get("outputs") or {} for run in (run_a, run_b))
    if not old and not new:
        text = "neither run has digests of its output"
        return [*differences, _incomparable("outputs", ABSENT, ABSENT, text)]
    for step in dict.fromkeys((*old, *new)):
        if step in old and step in new:
            differences += output_changes(root, step, old[step], new[step], rows)
        else:
            which, left, right = ("first", "written", ABSENT) if step in old else ("second", ABSENT, "written")
            differences.append(Difference(step, step, left, right, f"step '{step}' wrote only in the {which} run"))
    return differences


def _other_pipeline(run_a: RunSummary, run_b: RunSummary) -> Iterator[Difference]:
    one, other = run_a.get("pipeline"), run_b.get("pipeline")
    if one != other:
        yield _incomparable("pipeline", one, other, f"the runs are of different pipelines: {one} and {other}")


def _incomplete(run: RunSummary) -> Iterator[Difference]:
    if run["status"] != "complete":
        text = f"run {run['session']} is {run['status']}, not complete: its output may be partial"
        yield _incomparable("status", run["status"], run["status"], text)


def output_changes(
    root: Path, step: str, old: Mapping[str, Any], new: Mapping[str, Any], rows: RowFinder | None = None
) -> list[Difference]:
    """Return the differences between a step's outputs in two runs; `old` and `new` are those in `run.json`."""
    changes = written_changes(step, old, new)
    if changes and changes[0].code == "DAT010":
        ordered = old["digest"]["kind"] == "ordered"
        files = (old["files"], new["files"])
        where = first_line(root, *files, rows) if ordered else _UNORDERED
        changes[0] = replace(changes[0], where=where)
    return changes


def written_changes(step: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return the differences between the digests of two outputs of a step, or that they cannot be compared.

    A digest covers the rows sent to a target: if the target rejected some, equal digests do not prove equal contents.
    """
    changes = digest_changes(step, old["digest"], new["digest"])
    if changes or not (was_refused(old) or was_refused(new)):
        return changes
    text = f"step '{step}': the target rejected rows, so the digests do not describe what it contains"
    return [_incomparable(f"{step}/rows", old["rows"], new["rows"], text)]


def was_refused(output: Mapping[str, Any]) -> bool:
    """Return whether a target rejected rows of an output, so that its digest covers other rows than the target has."""
    sent = (output.get("digest") or {}).get("rows")
    return sent is not None and output.get("rows", sent) != sent


def digest_changes(step: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return the differences between two digests of a step: rows, schema, columns, or why they are not comparable."""
    for key in ("kind", "algorithm"):
        if old[key] != new[key]:
            text = f"step '{step}': the {key} of the digests differs, {old[key]} and {new[key]}"
            return [_incomparable(f"{step}/{key}", old[key], new[key], text)]
    left, right = old["columns"], new["columns"]
    changes = []
    if old["schema"] != new["schema"] and left.keys() == right.keys():
        text = f"step '{step}': the columns have other types or another order"
        changes.append(Difference(step, f"{step}/schema", old["schema"], new["schema"], text))
    if old["rows"] != new["rows"]:
        changes.append(Difference(step, f"{step}/rows", old["rows"], new["rows"]))
    names = dict.fromkeys((*left, *right))
    changes += [_column(step, name, left, right) for name in names if left.get(name) != right.get(name)]
    if not changes and old["value"] != new["value"]:
        text = f"step '{step}': pairing differs: every column has the same values, but in other rows"
        changes.append(Difference(step, f"{step}/pairing", old["value"], new["value"], text))
    return changes


def same_data(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool | None:
    """Return whether two digests are of the same data; None if one is missing or they cannot be compared."""
    if not old or not new or any(old[key] != new[key] for key in ("kind", "algorithm")):
        return None
    return bool(old["value"] == new["value"])


def same_output(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool | None:
    """Return whether two outputs have the same data; None if unknown."""
    same = same_data(old.get("digest"), new.get("digest"))
    return None if same and (was_refused(old) or was_refused(new)) else same


def _column(step: str, name: str, left: Mapping[str, str], right: Mapping[str, str]) -> Difference:
    if name in left and name in right:
        text = f"step '{step}': column '{name}' differs"
    else:
        text = f"step '{step}': column '{name}' is only in the {'first' if name in left else 'second'} run"
    return Difference(step, f"{step}/columns/{name}", left.get(name, ABSENT), right.get(name, ABSENT), text)


def _incomparable(path: str, old: JsonValue, new: JsonValue, text: str) -> Difference:
    return Difference(path.partition("/")[0], path, old, new, text, INCOMPARABLE)


def first_line(root: Path, old: _Files, new: _Files, rows: RowFinder | None = None) -> str:
    """Return in which line or row two lists of files first differ, as text, or why it is unknown.

    Files are those of `run.json`: path, size and SHA-256. Files changed since are not read; `rows` compares non-text
    files.
    """
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if a["sha256"] != b["sha256"]]
    if reason := _why_no_line(old, new, pairs) or _unreadable(root, pairs):
        return f"the first different row is unknown: {reason}"
    left, right = (file["path"] for file in pairs[0])
    return _first_difference(root, left, right, rows)


def _first_difference(root: Path, left: str, right: str, rows: RowFinder | None) -> str:
    for path in (left, right):
        if not path.lower().removesuffix(_GZIP).endswith(_TEXT):
            row = rows(left, right) if rows else None
            unknown = f"the first different row is unknown: {path} is not a text file"
            return f"{left} and {right} first differ in row {row}" if row else unknown
    with _open_file(root / left) as a, _open_file(root / right) as b:  # read side by side
        pairs = enumerate(zip_longest(a, b), 1)
        line = next((number for number, (before, after) in pairs if before != after), None)
    return f"{left} and {right} first differ in line {line}" if line else f"{left} and {right} have the same lines"


def _why_no_line(old: _Files, new: _Files, pairs: list[tuple[_File, _File]]) -> str | None:
    if not old and not new:
        return "the rows were not written to files"
    both = {file["path"] for file in old} & {file["path"] for file in new}
    if both:
        return f"both runs wrote {min(both)}; add ${{run.id}} to its path"
    if len(old) != len(new):
        return f"one run wrote {len(old)} files, the other {len(new)}"
    return None if pairs else "the files are the same"


def _unreadable(root: Path, pairs: list[tuple[_File, _File]]) -> str | None:
    """Return which of the files cannot be read, as text; None if all can."""
    if away := next((file["path"] for pair in pairs for file in pair if family_of(file["path"])), None):
        return f"{away} is in an object store"
    changed = next((file["path"] for file in pairs[0] if not is_still_there(root, [file])), None)
    return f"{changed} was changed or removed since its run" if changed else None


def _open_file(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.name.lower().endswith(_GZIP) else path.open("rb")
