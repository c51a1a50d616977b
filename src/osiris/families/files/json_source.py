"""One JSON file as rows: an object on each line, or one array of objects, read in pieces."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from osiris.errors import Location, fail
from osiris.families.files.compression import PIECE
from osiris.families.files.text_stream import decoded, line_lists, unpacked
from osiris.families.json_text import SPACE, BadJson, parse_at, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from osiris.families.files.source_file import Place

MAX_ROW = 64 << 20
"""Longest row, in characters."""

_NO_SPACE = re.compile(f"[^{SPACE}]")


class Rows(NamedTuple):
    """Some rows of a file, and the line on which each begins."""

    rows: list[dict[str, Any]]
    lines: list[int]


class BadRow(NamedTuple):
    """A row that is none: its line, its text, and why."""

    line: int
    text: str
    problem: str


def _ignore(_count: int) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True)
class JsonFile:
    """One file and how it is written; `label` names it in messages, the rest is as in the component's config."""

    path: Place
    label: str
    format: str = "auto"
    encoding: str = "utf-8"
    compression: str = "infer"

    def rows(
        self, on_bytes: Callable[[int], None] = _ignore, on_bad_row: Callable[[BadRow], None] | None = None
    ) -> Iterator[Rows]:
        """Give the rows, some at a time; `on_bytes` gets the number of bytes taken from the disk.

        What is not one JSON object fails with DAT020, or is handed to `on_bad_row`; a row that has no end fails with
        DAT007, and what stands between the rows of an array must be as it should in any case.
        """
        with closing(self._texts(on_bytes)) as texts:
            spaces, begin = self._begin(texts)
            source = chain([*spaces, begin], texts)
            is_array = self.format == "array" or (self.format == "auto" and begin.lstrip(SPACE).startswith("["))
            yield from self._array(source, on_bad_row) if is_array else self._lines(source, on_bad_row)

    def _begin(self, texts: Iterator[str]) -> tuple[list[str], str]:
        """Return the first piece of a text that is more than space, and those before it."""
        spaces: list[str] = []
        for text in texts:
            if text.strip(SPACE):
                return spaces, text
            spaces.append(text)
            if len(spaces) * PIECE > MAX_ROW:
                self.too_large(1)
        return spaces, ""

    def _texts(self, on_bytes: Callable[[int], None]) -> Generator[str]:
        yield from decoded(unpacked(self.path, self.label, self.compression, on_bytes), self.encoding, self.label)

    def _lines(self, texts: Iterable[str], on_bad_row: Callable[[BadRow], None] | None) -> Iterator[Rows]:
        line = 0
        for lines in line_lists(self._with_line_ends(texts)):
            found = Rows([], [])
            for text in lines:
                line += 1
                if text.isspace() or not text:
                    continue
                try:
                    row = parse_object(text)
                except BadJson as bad:
                    self._bad(BadRow(line, text.strip(), bad.problem), bad.position, on_bad_row)
                else:
                    found.rows.append(row)
                    found.lines.append(line)
            if found.rows:
                yield found

    def _with_line_ends(self, texts: Iterable[str]) -> Iterator[str]:
        """Pass a text on; fails with DAT007 where a line has no end."""
        since, line = 0, 1
        for text in texts:
            end = max(text.rfind("\n"), text.rfind("\r"))
            since = since + len(text) if end < 0 else len(text) - end
            line += text.count("\n")
            if since > MAX_ROW:
                self.too_large(line)
            yield text

    def _array(self, texts: Iterator[str], on_bad_row: Callable[[BadRow], None] | None) -> Iterator[Rows]:
        window = _Window(self, texts)
        window.take("[", "an array is expected")
        found, until = Rows([], []), PIECE
        more = window.next() != "]"
        while more:
            line, begin = window.line, window.at
            row = window.value()
            if type(row) is dict:
                found.rows.append(row)
                found.lines.append(line)
            else:
                self._bad(BadRow(line, window.text[begin : window.at], "an object is expected"), None, on_bad_row)
            more = window.next() == ","
            if more:
                window.take(",", "")
                window.next()
            if window.passed >= until:
                yield found
                found, until = Rows([], []), window.passed + PIECE
        window.take("]", "a comma or the end of the array is expected")
        if window.next():
            window.refuse("something follows the array")
        if found.rows:
            yield found

    def _bad(self, row: BadRow, position: int | None, on_bad_row: Callable[[BadRow], None] | None) -> None:
        if on_bad_row is None:
            self.refuse(row.problem, row.line, None if position is None else position + 1)
        on_bad_row(row)

    def refuse(self, problem: str, line: int, column: int | None) -> NoReturn:
        """Fail with DAT020 at a place of the file."""
        fail("DAT020", at=Location(self.label, line, column), problem=problem)

    def too_large(self, line: int) -> NoReturn:
        """Fail with DAT007: the row on that line has no end."""
        fail("DAT007", at=Location(self.label, line), limit=f"{MAX_ROW} characters")


@dataclass(slots=True)
class _Window:
    """The part of a text that is looked at: `at` is the place in it, `line` its number, `passed` what lies behind."""

    file: JsonFile
    source: Iterator[str]
    text: str = ""
    at: int = 0
    line: int = 1
    passed: int = 0

    def next(self) -> str:
        """Go to the next character that is not space, and return it; nothing at the end."""
        while True:
            found = _NO_SPACE.search(self.text, self.at)
            self._go_to(found.start() if found else len(self.text))
            if self.at < len(self.text) or not self._fill(PIECE):
                return self.text[self.at : self.at + 1]

    def take(self, char: str, problem: str) -> None:
        """Go behind a character that must come next; fails with DAT020 if it does not."""
        if self.next() != char:
            self.refuse(problem)
        self._go_to(self.at + 1)

    def value(self) -> Any:  # noqa: ANN401  any JSON value
        """Return the value that comes next; fails with DAT020 if it is none, DAT007 if it has no end."""
        while True:
            try:
                value, end = parse_at(self.text, self.at)
            except BadJson as bad:
                if not self._may_go_on(bad):
                    self._go_to(self.at if bad.position is None else bad.position)
                    self.refuse(bad.problem)
            else:
                # A number at the end of what was read may go on.
                if end < len(self.text) or not self._fill(PIECE):
                    self._go_to(end)
                    return value

    def _may_go_on(self, bad: BadJson) -> bool:
        """Get more text, if that could mend what is wrong: a value that is cut, or a text without its last quote."""
        if bad.position is None:
            return False
        cut = bad.position > len(self.text) - 16 or self.text[bad.position] == '"'
        if cut and len(self.text) - self.at > MAX_ROW:
            self.file.too_large(self.line)
        return cut and self._fill(max(PIECE, len(self.text) - self.at))

    def refuse(self, problem: str) -> NoReturn:
        """Fail with DAT020 where the window is."""
        self.file.refuse(problem, self.line, None)

    def _go_to(self, position: int) -> None:
        self.line += self.text.count("\n", self.at, position)
        self.passed += position - self.at
        self.at = position

    def _fill(self, size: int) -> bool:
        """Read at least so much more; returns False if there is nothing."""
        parts = [self.text[self.at :]]
        while size > 0 and (part := next(self.source, None)) is not None:
            parts.append(part)
            size -= len(part)
        self.text, self.at = "".join(parts), 0
        return len(parts) > 1
