"""Rows that were set aside, in groups: what is wrong, in which column, and what such values look like."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.secret import conceal
from osiris.secret.redact_diagnostic import masked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue

FILE = "rejected.csv"
"""What a step writes that sets rows aside; its columns are file, line, column, value, reason."""

EXAMPLES = 3
"""So many of a group are told by their line, and by what they look like."""

_GROUPS = 200
_SHAPE = 24
_LOOKED_AT = 200
_OTHERS = ("", "others", None)
_QUOTED = re.compile(r"'[^']*'")
_VARYING = re.compile(rf"{_QUOTED.pattern}|\d+")
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
_REASONS = (("not ", "DAT001"), ("no column", "DAT011"), ("… fields", "DAT002"))
"""What the reasons of our extractors begin with, and the code of the same fault where it fails a step."""


@dataclass(slots=True)
class Group:
    """Rows of one step that are alike; `said` is the reason of the first of them, without what may stand in the row."""

    step: str
    column: str
    reason: str
    shape: str | None
    number: int = 0
    count: int = 0
    said: str = ""
    examples: list[dict[str, JsonValue]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its evidence id."""
        return f"rows.{self.step}.{self.number}"

    @property
    def code(self) -> str | None:
        """Code of the same fault where it fails a step; None for rows that are not alike."""
        if self.reason == "others":
            return None
        return next((code for words, code in _REASONS if self.reason.startswith(words)), "DAT020")

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as it stands in evidence.row_errors."""
        return {
            "id": self.id,
            "step": self.step,
            "code": self.code,
            "column": self.column or None,
            "reason": self.reason,
            "shape": self.shape,
            "count": self.count,
            "examples": self.examples,
        }


def first_group(run: RecordedRun, step: str) -> str | None:
    """Return the evidence id of the first group of a step; None if no row of it is there."""
    return f"rows.{step}.1" if any(_rows(_file(run, step))) else None


def groups_of(run: RecordedRun, clean: Callable[[str], str]) -> list[Group]:
    """Return the groups of all steps, in the order of the plan and by falling count; `clean` masks secrets."""
    groups = []
    for step in run.steps:
        alike = _grouped(step.id, _file(run, step.id), clean)
        for number, group in enumerate(sorted(alike, key=lambda g: (-g.count, g.column, g.reason, g.shape or "")), 1):
            group.number = number
            groups.append(group)
    return groups


def _grouped(step: str, path: Path, clean: Callable[[str], str]) -> list[Group]:
    groups: dict[tuple[str, str, str | None], Group] = {}
    for row in _rows(path):
        column, reason = row["column"], row["reason"]
        # What rows that are alike have in common: column, reason, and what the value looks like.
        key: tuple[str, str, str | None] = ("", _VARYING.sub("…", reason)[:_LOOKED_AT], None)
        if column:
            key = column, reason[:_LOOKED_AT], _shape(row["value"])
        if key not in groups and len(groups) >= _GROUPS:
            key = _OTHERS
        if key not in groups:
            said = key[1] if column or key == _OTHERS else _QUOTED.sub("…", reason)
            groups[key] = Group(step, key[0], _told(key[1], clean), key[2], said=_told(said, clean))
        group = groups[key]
        group.count += 1
        if len(group.examples) < EXAMPLES:
            # Where a row stands and what its value looks like: never a whole row, and never the value itself.
            line, number = _number(row["line"]), _number(row.get("row", ""))
            value = _shape(row["value"]) if column else ""
            group.examples.append({"file": row["file"], "line": line, "row": number, "value": value})
    return list(groups.values())


def _told(reason: str, clean: Callable[[str], str]) -> str:
    """Return a reason without what a server quotes of the row."""
    return masked_text(conceal(clean(reason[:_LOOKED_AT])))


def _file(run: RecordedRun, step: str) -> Path:
    return run.folder / "artifacts" / step / FILE


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Give the rows of a file of rejects; one that a kill or a full disk cut off is left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            if None not in row and None not in row.values():
                yield row


def _shape(value: str) -> str:
    return _LETTERS.sub("a", _DIGITS.sub("9", value[:_LOOKED_AT]))[:_SHAPE]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
