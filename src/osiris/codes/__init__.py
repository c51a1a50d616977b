"""The one table of codes: title, message, hint and exit code of everything that can be said.

Its rows are in `codes.txt`, so that their words can be read and changed as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

Severity: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Code:
    """One row: a short title for the reference, the message and hint templates, the exit code, and the severity.

    `former` are earlier templates of the message, by which records of earlier runs are read.
    """

    title: str
    message: str
    hint: str | None
    exit_code: int
    severity: Severity
    former: tuple[str, ...] = ()


def _row(head: str, message: str, *rest: str) -> tuple[str, Code]:
    """Return a code and its row, from the lines `CODE severity exit-code: title`, message, `was: …` and `hint: …`.

    A row whose last line begins with `no hint:` has none: there is nothing to do.
    """
    *was, last = rest
    former = tuple(each.removeprefix("was: ") for each in was)
    about, _, title = head.partition(": ")
    code, severity, *exit_code = about.split()
    hint = last.removeprefix("hint: ") if last.startswith("hint: ") else None
    return code, Code(title, message, hint, int(exit_code[0]) if exit_code else 0, cast("Severity", severity), former)


def _rows(text: str) -> dict[str, Code]:
    blocks = ([line.strip() for line in block.splitlines() if line[0] != "#"] for block in text.split("\n\n"))
    return dict(_row(*lines) for lines in blocks if lines)


CODES = _rows(Path(__file__).with_name("codes.txt").read_text(encoding="utf-8"))
"""Each code with its row, in the order of the reference."""
