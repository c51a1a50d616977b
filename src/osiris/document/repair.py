"""Locate and repair invalid YAML: the line with the mistake, rather than where libyaml noticed it, and a fix.

Each common mistake has a rule that proposes a change of a line; the first change after which the text parses is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from osiris.document.edits import retype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osiris.errors import Fix

MAX_TRIES = 24
MAX_TEXT = 1 << 18
"""Longer texts are not repaired: each attempt parses all of it."""

_NEIGHBOURS = 4
_UNEVEN = 4
"""Lines with an open quote that are tried, the last ones before the error."""

_GLUED = re.compile(r"(\s*(?:- )*[A-Za-z_][\w-]*:)(?=[^\s:/])")
_LONELY = re.compile(r"(\s*(?:- )*[A-Za-z_][\w-]*)(?=\s+[^\s:=])(?!.*: )")
_VALUE = re.compile(r"(\s*(?:- )*[\w-]+:\s+)([^\s\"'\[{|>#].*?)\s*$")
_SIGN = re.compile(r"([:,\[]\s*)([*&!%`][^,\]}]*?)(?=\s*(?:[,\]}]|$))")
_ESCAPED = re.compile(r"\"([^\"']*\\[^\"']*)\"")
_CLOSERS = re.compile(r"[\]}\s]*$")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'")
_COMMENT = re.compile(r"\s#")
_FENCE = re.compile(r"^```.*$", re.MULTILINE)
_MERGE = re.compile(r"^<{7}( |$)", re.MULTILINE)
_PAIRS = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Repair:
    """The location of a mistake (from 1), a hint, and the fix if known."""

    line: int
    column: int
    hint: str
    fix: Fix = ()


def find_repair(text: str, line: int, begin: int | None, weigh: Callable[[str], int | None]) -> Repair | None:
    """Return the repair of a text that libyaml rejected at `line`, in a construct that started at `begin` (both from
    1).

    `weigh` returns how odd the data of a text is, None if it does not parse: of several repairs, the first with the
    least odd result is taken. None if no rule helps.
    """
    if match := _MERGE.search(text):
        return Repair(text.count("\n", 0, match.start()) + 1, 1, "choose one of the two sides of the merge")
    if len(text) > MAX_TEXT:
        return None
    lines = text.split("\n")
    best: tuple[int, Repair] | None = None
    for number, edits, hint in islice(_changes(lines, _suspects(lines, line, begin)), MAX_TRIES):
        weight = weigh("\n".join([*lines[: number - 1], _edited(lines[number - 1], edits), *lines[number:]]))
        if weight is not None and (best is None or weight < best[0]):
            best = weight, _repair(number, edits, hint)
        if best and not best[0]:
            break
    return best[1] if best else _without_fences(text, weigh)


def _repair(line: int, edits: list[Edit], hint: str) -> Repair:
    fix = tuple(step for column, old, new in edits for step in retype(line, column, old, new))
    return Repair(line, edits[-1][0], hint, fix)


Edit = tuple[int, str, str]
"""The column (from 1), the old and the new characters: only punctuation, never content."""
Piece = tuple[list[Edit], str]
"""Changes of a line, from right to left, and a hint."""


def _edited(line: str, edits: list[Edit]) -> str:
    for column, old, new in edits:
        line = line[: column - 1] + new + line[column - 1 + len(old) :]
    return line


def _suspects(lines: list[str], line: int, begin: int | None) -> list[int]:
    """Return the lines that may be wrong: the start of the construct, the error's line, and the one before."""
    previous = next(
        (
            n
            for n in range(min(line - 1, len(lines)), 0, -1)
            if lines[n - 1].strip() and lines[n - 1].lstrip()[0] != "#"
        ),
        None,
    )
    numbers = [begin, line, previous]
    return list(dict.fromkeys(n for n in numbers if n is not None and n <= len(lines)))


def _changes(lines: list[str], suspects: list[int]) -> Iterator[tuple[int, list[Edit], str]]:
    uneven = [n for n in range(1, max(suspects) + 1) if _open_quote(lines[n - 1])]
    quoted = dict.fromkeys([*(n for n in suspects if n in uneven), *uneven[: -_UNEVEN - 1 : -1]])
    rules = [*((rule, suspects) for rule in (_tab, _colon, _bracket, _plain, _escape)), (_quote, [*quoted])]
    for rule, numbers in (*rules, (_indentation, suspects)):
        for number in numbers:
            yield from ((number, edits, hint) for edits, hint in rule(lines, number))


def _tab(lines: list[str], number: int) -> Iterator[Piece]:
    line = lines[number - 1]
    old = line[: len(line) - len(line.lstrip())]
    if "\t" in old:
        for width in _widths(lines, number, len(old.expandtabs(2))):
            yield [(1, old, " " * width)], "indent with spaces, as the lines around it"


def _colon(lines: list[str], number: int) -> Iterator[Piece]:
    line = lines[number - 1]
    if match := _GLUED.match(line):
        yield [(match.end() + 1, "", " ")], "put a space behind the colon"
    elif match := _LONELY.match(line):
        yield [(match.end() + 1, "", ":")], "put a colon behind the key"


def _bracket(lines: list[str], number: int) -> Iterator[Piece]:
    """Close the open brackets of a line, each before one of another kind or at the end."""
    line = lines[number - 1].rstrip()
    masked = _QUOTED.sub(lambda match: "_" * len(match[0]), line)
    stack: list[str] = []
    for column, char in enumerate(masked, 1):
        if char in _PAIRS:
            stack.append(_PAIRS[char])
        elif char in _PAIRS.values() and stack and char != (expected := stack.pop()):
            yield [(column, "", expected)], f"close it with {expected}"
            return
    if stack:
        closing = "".join(reversed(stack))
        yield [(len(line) + 1, "", closing)], f"close it with {closing}"


def _plain(lines: list[str], number: int) -> Iterator[Piece]:
    line = lines[number - 1]
    for match in (_SIGN.search(line), _VALUE.match(line)):
        if match:
            sign = "'" if '"' in match[2] or "\\" in match[2] else '"'
            yield [(match.end(2) + 1, "", sign), (match.start(2) + 1, "", sign)], "put the value into quotes"


def _escape(lines: list[str], number: int) -> Iterator[Piece]:
    for match in _ESCAPED.finditer(lines[number - 1]):
        edits = [(match.end(), '"', "'"), (match.start() + 1, '"', "'")]
        yield edits, "write single quotes: in double ones \\ begins an escape"


def _quote(lines: list[str], number: int) -> Iterator[Piece]:
    line = lines[number - 1].rstrip()
    sign = _open_quote(line)
    if _COMMENT.search(_QUOTED.sub("", line)):
        return  # whether it is a comment or the rest of the text is not known
    for at in dict.fromkeys([len(_CLOSERS.sub("", line)), len(line)]):
        yield [(at + 1, "", sign)], f"close the text with {sign}"


def _open_quote(line: str) -> str:
    """Return the quote that a line opens and does not close; empty if there is none."""
    unquoted = _QUOTED.sub("", line)
    match = re.search(r"(?:^|[\s\[{,:])([\"'])", unquoted)
    return match[1] if match else ""


def _indentation(lines: list[str], number: int) -> Iterator[Piece]:
    line = lines[number - 1]
    old = len(line) - len(line.lstrip(" "))
    if line.strip():
        for width in (each for each in _widths(lines, number, old) if each != old):
            column, few, many = min(old, width) + 1, " " * (width - old), " " * (old - width)
            yield [(column, many, few)], "give it the indentation of the lines around it"


def _widths(lines: list[str], number: int, old: int) -> list[int]:
    """Return the indentations in the surrounding lines, the nearest first."""
    around = [*lines[max(0, number - 1 - _NEIGHBOURS) : number - 1], *lines[number : number + _NEIGHBOURS]]
    widths = set()
    for line in around:
        if bare := line.lstrip(" "):
            width = len(line) - len(bare)
            widths |= {width, width + 2} if bare.startswith("- ") or bare.rstrip().endswith(":") else {width}
    return sorted(widths, key=lambda width: abs(width - old))


def _without_fences(text: str, weigh: Callable[[str], int | None]) -> Repair | None:
    """Remove Markdown fences and the text around them."""
    fences = list(_FENCE.finditer(text))
    if not fences:
        return None
    start = fences[0].end() + 1
    end = fences[1].start() if len(fences) > 1 else len(text)
    if weigh(text[start:end]) is None:
        return None
    behind = retype(text.count("\n", 0, end) + 1, 1, text[end:], "") if text[end:] else ()
    hint = "give only the pipeline, without surrounding text"
    return Repair(1, 1, hint, (*behind, *retype(1, 1, text[:start], "")))
