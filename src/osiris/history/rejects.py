"""Rejected rows in groups, by reason, column and shape of the value."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.secret import redact
from osiris.secret.redact_diagnostic import masked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue

FILE = "rejected.csv"
"""The file of a step's rejected rows; its columns are file, line, column, value, reason."""

EXAMPLES = 3
"""Examples per group, each with line and shape of the value."""

_GROUPS = 200
_SHAPE = 24
_READ_LENGTH = 200
_OTHERS = ("", "others", None)
_QUOTED = re.compile(r"'[^']*'")
_VARYING = re.compile(rf"{_QUOTED.pattern}|\d+")
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
_REASONS = (("not ", "DAT001"), ("no column", "DAT011"), ("… fields", "DAT002"))
"""Prefixes of our extractors' reasons, and the code of the same problem where it fails a step."""


@dataclass(slots=True)
class Group:
    """Similar rejected rows of one step; `said` is the reason of the first, without values of the row."""

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
        """The evidence id."""
        return f"rows.{self.step}.{self.number}"

    @property
    def code(self) -> str | None:
        """Code of the same problem where it fails a step; None for the group of others."""
        if self.reason == "others":
            return None
        return next((code for words, code in _REASONS if self.reason.startswith(words)), "DAT020")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the entry of evidence.row_errors."""
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
    """Return the evidence id of the first group of a step; None if it has no rejected rows on file."""
    return f"rows.{step}.1" if any(_rows(_file(run, step))) else None


def groups_of(run: RecordedRun, clean: Callable[[str], str]) -> list[Group]:
    """Return the groups of all steps, in plan order and by descending count; `clean` masks secrets."""
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
        # Similar rows share column, reason and shape of the value.
        key: tuple[str, str, str | None] = ("", _VARYING.sub("…", reason)[:_READ_LENGTH], None)
        if column:
            key = column, reason[:_READ_LENGTH], _shape(row["value"])
        if key not in groups and len(groups) >= _GROUPS:
            key = _OTHERS
        if key not in groups:
            sample_reason = key[1] if column or key == _OTHERS else _QUOTED.sub("…", reason)
            groups[key] = Group(
                step, key[0], _masked_reason(key[1], clean), key[2], said=_masked_reason(sample_reason, clean)
            )
        group = groups[key]
        group.count += 1
        if len(group.examples) < EXAMPLES:
            # Location and shape only: never a whole row, never the value itself.
            line, number = _number(row["line"]), _number(row.get("row", ""))
            value = _shape(row["value"]) if column else ""
            group.examples.append({"file": row["file"], "line": line, "row": number, "value": value})
    return list(groups.values())


def _masked_reason(reason: str, clean: Callable[[str], str]) -> str:
    """Return a reason without row values quoted by a server."""
    return masked_text(redact(clean(reason[:_READ_LENGTH])))


def _file(run: RecordedRun, step: str) -> Path:
    return run.folder / "artifacts" / step / FILE


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a file of rejected rows, without one truncated by a kill or a full disk."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            if None not in row and None not in row.values():
                yield row


def _shape(value: str) -> str:
    return _LETTERS.sub("a", _DIGITS.sub("9", value[:_READ_LENGTH]))[:_SHAPE]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
