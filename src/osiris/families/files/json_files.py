"""One JSON file as rows, an object on each line or one array of objects, read in pieces; and the columns of such rows.

The columns are found by the values that their keys have; a value is read in the type of its column.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pyarrow as pa

from osiris.errors import Location, fail
from osiris.families.files.compression import PIECE, decoded, line_lists, unpacked
from osiris.families.files.source_files import BadRow, TextConfig
from osiris.families.files.type_inference import PINNED, REFRESH, Guess, cut
from osiris.families.json_text import SPACE, BadJson, Number, compact, parse_at, parse_object
from osiris.families.text_format import Spelling, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence

    from osiris.families.files.source_files import Place

MAX_ROW = 64 << 20
"""Longest row, in characters."""

_NO_SPACE = re.compile(f"[^{SPACE}]")
_TAKEN: dict[str, type] = {
    "bool": bool,
    **dict.fromkeys(("integer", "unsigned", "decimal", "double"), Number),
    **dict.fromkeys(("text", "date", "time", "timestamp", "instant"), str),
}
"""Kind of spelling to the JSON values that have it, where nobody declared the type."""

_SCALARS = {Number, str, bool}


@dataclass(frozen=True, slots=True)
class JsonRows:
    """Some rows of a file, and the line on which each begins."""

    label: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        """Return how many there are."""
        return len(self.rows)

    def slice(self, offset: int, length: int) -> JsonRows:
        """Return the rows from a place on, at most so many."""
        return JsonRows(self.label, self.rows[offset:][:length], self.lines[offset:][:length])

    def values(self, column: str) -> list[Any]:
        """Return the values of a column, None where there is none."""
        return [row.get(column) for row in self.rows]

    def read(self, name: str, column: JsonColumn) -> pa.Array | None:
        """Return the values of a column in its type; None if any does not fit."""
        return column.read(self.values(name))

    def text(self, row: int, column: str) -> str:
        """Return one value as JSON, whatever is in it."""
        return _text_of(self.rows[row].get(column))

    def refuse(self, row: int, column: str, wanted: str, *, declared: bool) -> NoReturn:
        """Fail with DAT001 for a value that is not of the type of its column, which was declared, or else found."""
        hint = f"give '{column}' a dtype that holds it; json holds anything"
        hint = hint if declared else f"{PINNED}: {REFRESH}, or {hint}"
        at = Location(self.label, self.line_of(row))
        fail("DAT001", at=at, hint=hint, column=column, value=cut(self.text(row, column)), type=wanted)

    def line_of(self, row: int) -> int:
        """Return the line, from 1, on which a row begins."""
        return self.lines[row]

    def without(self, rows: Collection[int]) -> JsonRows:
        """Return the others."""
        kept = [row for row in range(self.num_rows) if row not in rows]
        return JsonRows(self.label, [self.rows[row] for row in kept], [self.lines[row] for row in kept])

    def unplanned(self, planned: Collection[str]) -> Mapping[int, tuple[str, str]]:
        """Return the rows that have more than the planned columns, each with the first such and its value."""
        names = set(planned)
        more = {n: row for n, row in enumerate(self.rows) if not row.keys() <= names}
        keys = {n: next(key for key in row if key not in names) for n, row in more.items()}
        return {n: (key, self.text(n, key)) for n, key in keys.items()}


@dataclass(frozen=True, slots=True)
class JsonConfig(TextConfig):
    """How rows are written, as the component's config says it."""

    format: Literal["auto", "lines", "array"] = "auto"


@dataclass(frozen=True, slots=True)
class JsonFile:
    """One file and how it is written; `label` names it in messages."""

    path: Place
    label: str
    config: JsonConfig

    def check(self, _check: object) -> None:
        """Do nothing: a file of JSON has no header."""

    def rows(
        self,
        _columns: object,
        on_bytes: Callable[[int], None],
        on_bad_row: Callable[[BadRow], None] | None = None,
        _check: object = None,
    ) -> Iterator[JsonRows]:
        """Give the rows, with whatever they have, some at a time; `on_bytes` gets the bytes taken from the disk.

        What is not one JSON object fails with DAT020, or is handed to `on_bad_row`; a row that has no end fails with
        DAT007, and what stands between the rows of an array must be as it should in any case.
        """
        with closing(self._texts(on_bytes)) as texts:
            spaces, begin = self._begin(texts)
            source = chain([*spaces, begin], texts)
            form = self.config.format
            is_array = form == "array" or (form == "auto" and begin.lstrip(SPACE).startswith("["))
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
        pieces = unpacked(self.path, self.label, self.config.compression, on_bytes)
        yield from decoded(pieces, self.config.encoding, self.label)

    def _lines(self, texts: Iterable[str], on_bad_row: Callable[[BadRow], None] | None) -> Iterator[JsonRows]:
        line = 0
        for lines in line_lists(self._with_line_ends(texts)):
            found = JsonRows(self.label)
            for text in lines:
                line += 1
                if text.isspace() or not text:
                    continue
                try:
                    row = parse_object(text)
                except BadJson as bad:
                    self._bad(line, text.strip(), bad.problem, bad.position, on_bad_row)
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

    def _array(self, texts: Iterator[str], on_bad_row: Callable[[BadRow], None] | None) -> Iterator[JsonRows]:
        window = _Window(self, texts)
        window.take("[", "an array is expected")
        found, until = JsonRows(self.label), PIECE
        more = window.next() != "]"
        while more:
            line, begin = window.line, window.at
            row = window.value()
            if type(row) is dict:
                found.rows.append(row)
                found.lines.append(line)
            else:
                self._bad(line, window.text[begin : window.at], "an object is expected", None, on_bad_row)
            more = window.next() == ","
            if more:
                window.take(",", "")
                window.next()
            if window.passed >= until:
                yield found
                found, until = JsonRows(self.label), window.passed + PIECE
        window.take("]", "a comma or the end of the array is expected")
        if window.next():
            window.refuse("something follows the array")
        if found.rows:
            yield found

    def _bad(
        self, line: int, text: str, problem: str, position: int | None, on_bad_row: Callable[[BadRow], None] | None
    ) -> None:
        if on_bad_row is None:
            self.refuse(problem, line, None if position is None else position + 1)
        on_bad_row(BadRow(text, problem, {"line": line, "problem": problem}, lambda: line))

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


def _text_of(value: Any) -> str:  # noqa: ANN401  any JSON value
    try:
        return compact(value).encode(errors="backslashreplace").decode()
    except BadJson as bad:
        return f"a value ({bad.problem})"


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """A column of a known type; one that was `declared` may also be spelled in a string, or keep a number's digits."""

    type: str
    declared: bool = False

    def read(self, values: Sequence[Any]) -> pa.Array | None:
        """Return parsed JSON values in the column's type, null as NULL; None if any does not fit."""
        if self.type == "json":
            return _documents(values)
        found = {*map(type, values)} - {type(None)}
        if not found <= (_SCALARS if self.declared else {_TAKEN[str(kind_of(self.type))]}):
            return None
        if bool in found:
            values = [_compact(value) if isinstance(value, bool) else value for value in values]
        texts = _texts(values)
        return None if texts is None else Spelling(self.type, self.declared).read(texts)


def _documents(values: Sequence[Any]) -> pa.Array | None:
    texts = _texts([None if value is None else _compact(value) for value in values])
    return None if texts is None else pa.ExtensionArray.from_storage(pa.json_(), texts)


def _compact(value: Any) -> str:  # noqa: ANN401  any JSON value
    try:
        return compact(value)
    except BadJson:
        return "\ud800"  # which no column takes


def _texts(values: Sequence[str | None]) -> pa.Array | None:
    """Return an array of strings; None if one of them has half of a surrogate pair, which is no character."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return None


def _may_be_moment(value: Any) -> bool:  # noqa: ANN401  any JSON value
    return type(value) is str and value.isascii()


@dataclass(slots=True)
class JsonGuess:
    """What the values of one column have shown so far; `moment` says that only dates and timestamps will do."""

    moment: bool = False
    _found: set[type] = field(default_factory=set)
    _guess: Guess = field(init=False)

    def __post_init__(self) -> None:
        self._guess = Guess(moment=self.moment)

    def look(self, values: Sequence[Any]) -> int | None:
        """Take more values into account; return the index of one that is no date or timestamp where it must be."""
        here = {*map(type, values)} - {type(None)}
        self._found |= here
        if self.moment:
            wrong = next((n for n, value in enumerate(values) if value is not None and not _may_be_moment(value)), None)
            return self._guess.look(pa.array(values, pa.string())) if wrong is None else wrong
        if self._found == {Number} == here:
            self._guess.look(pa.array(values, pa.string()))
        return None

    def named(self) -> str:
        """Return the type of the column: `json` where values are of several kinds, composed, or all null."""
        if self.moment:
            return self._guess.type()
        if self._found == {Number}:
            return self._number()
        return {frozenset({str}): "utf8", frozenset({bool}): "bool"}.get(frozenset(self._found), "json")

    def _number(self) -> str:
        """Return the exact type of numbers: a double where it keeps every digit and no decimal does."""
        name = self._guess.type()
        if name != "utf8":
            return name
        return "float64" if "double" in self._guess.kinds else "json"
