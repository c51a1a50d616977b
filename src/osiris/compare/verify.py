"""What differs between what two runs wrote, by step and column, as their digests tell it."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from osiris.compare.diff import ABSENT, Difference
from osiris.delivery import is_still_there

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue

    RunSummary = Mapping[str, JsonValue]
    _File = Mapping[str, Any]
    _Files = list[_File]


_TEXT = (".csv", ".tsv", ".txt")
"""How the names of files end in which a line is a row."""


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
