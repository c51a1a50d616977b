"""What differs between what two runs wrote, by step and column, as their digests tell it."""

from __future__ import annotations

import gzip
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from osiris.compare.diff import ABSENT, Difference
from osiris.delivery import is_still_there
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue

    RowFinder = Callable[[str, str], int | None]
    RunSummary = Mapping[str, JsonValue]
    _File = Mapping[str, Any]
    _Files = list[_File]


INCOMPARABLE = "DAT009"
"""Code of what cannot be compared."""

_TEXT = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
"""How the names of files end in which a line is a row; packed by gzip they are read as well."""
_PACKED = ".gz"


def verify(run_a: RunSummary, run_b: RunSummary, root: Path, rows: RowFinder | None = None) -> list[Difference]:
    """Return what differs between the digests of what two runs wrote, by step and column; empty if nothing does.

    The summaries are those of `run.json`; a digest is one of `table.Digester`. A run that is not complete is named
    first. Where the rows differ and every column agrees, the values are paired otherwise. Files below `root` that are
    still as the runs left them are read for the first line that differs; `rows` tells the first row of two files that
    are no text.
    """
    found = [item for run in (run_a, run_b) for item in _incomplete(run)]
    old, new = (run.get("outputs") or {} for run in (run_a, run_b))
    if not old and not new:
        text = "neither run has a digest of anything written"
        return [*found, _incomparable("outputs", ABSENT, ABSENT, text)]
    for step in dict.fromkeys((*old, *new)):
        if step in old and step in new:
            found += output_changes(root, step, old[step], new[step], rows)
        else:
            side = "first" if step in old else "second"
            left, right = ("written" if step in steps else ABSENT for steps in (old, new))
            found.append(Difference(step, step, left, right, f"step '{step}' wrote only in the {side} run"))
    return found


def _incomplete(run: RunSummary) -> Iterator[Difference]:
    if run["status"] != "complete":
        text = f"run {run['session']} is not complete but {run['status']}: what it wrote may be a part"
        yield _incomparable("status", run["status"], run["status"], text)


def output_changes(
    root: Path, step: str, old: Mapping[str, Any], new: Mapping[str, Any], rows: RowFinder | None = None
) -> list[Difference]:
    """Return what differs between what two runs wrote in a step; `old` and `new` are its outputs in `run.json`."""
    found = written_changes(step, old, new)
    if found and found[0].code == "DAT010":
        ordered = old["digest"]["kind"] == "ordered"
        files = (old["files"], new["files"])
        where = first_line(root, *files, rows) if ordered else "no row is the first: their order is free"
        found[0] = replace(found[0], where=where)
    return found


def written_changes(step: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between the digests of two outputs of a step, or that they cannot be compared.

    A digest is of the rows that a target was given: if it refused some, equal digests say nothing of what it took.
    """
    found = digest_changes(step, old["digest"], new["digest"])
    if found or not (was_refused(old) or was_refused(new)):
        return found
    text = f"step '{step}': the target refused rows, and digests are of those that it was given"
    return [_incomparable(f"{step}/rows", old["rows"], new["rows"], text)]


def was_refused(output: Mapping[str, Any]) -> bool:
    """Tell whether a target refused rows of an output, so that its digest is of others than those that it took."""
    given = (output.get("digest") or {}).get("rows")
    return given is not None and output.get("rows", given) != given


def digest_changes(step: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two digests of a step: rows, schema and columns, or what cannot be compared."""
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


def same_data(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool | None:
    """Tell whether two digests are of the same data; None where they cannot be compared, or there are not both."""
    if not old or not new or any(old[key] != new[key] for key in ("kind", "algorithm")):
        return None
    return bool(old["value"] == new["value"])


def same_output(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool | None:
    """Tell whether two outputs are the same data; None where that cannot be told."""
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
    """Say in which line, or row, two lists of files first differ, or why that cannot be told.

    Files are those of `run.json`: path, size and SHA-256; one that has changed since is not read. Those that are no
    text are left to `rows`.
    """
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if a["sha256"] != b["sha256"]]
    if reason := _why_no_line(root, old, new, pairs):
        return f"the first row that differs cannot be told: {reason}"
    left, right = (file["path"] for file in pairs[0])
    if other := next((path for path in (left, right) if not _is_text(path)), None):
        row = rows(left, right) if rows else None
        unknown = f"the first row that differs cannot be told: {other} is not a text file"
        return f"{left} and {right} first differ in row {row}" if row else unknown
    line = _differing_line(root / left, root / right)
    return f"{left} and {right} first differ in line {line}" if line else f"{left} and {right} have the same lines"


def _why_no_line(root: Path, old: _Files, new: _Files, pairs: list[tuple[_File, _File]]) -> str | None:
    if not old and not new:
        return "the rows did not go into files of their own"
    both = {file["path"] for file in old} & {file["path"] for file in new}
    if both:
        return f"both runs wrote {min(both)}; put ${{run.id}} into its path"
    if len(old) != len(new):
        return f"one run wrote {len(old)} files, the other {len(new)}"
    if not pairs:
        return "the files are the same"
    if away := next((file["path"] for pair in pairs for file in pair if family_of(file["path"])), None):
        return f"{away} lies in a store"
    gone = next((file["path"] for file in pairs[0] if not is_still_there(root, [file])), None)
    return f"{gone} is no longer as its run left it" if gone else None


def _is_text(path: str) -> bool:
    return path.lower().removesuffix(_PACKED).endswith(_TEXT)


def _differing_line(left: Path, right: Path) -> int | None:
    """Return the number of the first line in which two files differ, None if none does; they are read side by side."""
    with _opened(left) as a, _opened(right) as b:
        pairs = enumerate(zip_longest(a, b), 1)
        return next((number for number, (before, after) in pairs if before != after), None)


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.name.lower().endswith(_PACKED) else path.open("rb")
