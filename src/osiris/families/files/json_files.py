"""JSON files as rows, with an object on each line or one array of objects, read in pieces; and inference of columns.

Types of columns are inferred from the values of their keys; a value is read with the type of its column.
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
from osiris.families.files.type_inference import PINNED, REFRESH, TypeInference, cut
from osiris.families.json_text import SPACE, BadJson, Number, compact, parse_at, parse_object
from osiris.families.text_format import Spelling, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence

    from osiris.families.files.source_files import SourceFile

MAX_ROW = 64 << 20
"""The maximum length of a row in characters."""

_NO_SPACE = re.compile(f"[^{SPACE}]")
_TAKEN: dict[str, type] = {
    "bool": bool,
    **dict.fromkeys(("integer", "unsigned", "decimal", "double"), Number),
    **dict.fromkeys(("text", "date", "time", "timestamp", "instant"), str),
}
"""Kind of text format to the type of JSON values that it accepts, unless the type was declared."""

_SCALARS = {Number, str, bool}


@dataclass(frozen=True, slots=True)
class JsonRows:
    """Consecutive rows of a file, and the line on which each begins."""

    label: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def slice(self, offset: int, length: int) -> JsonRows:
        """Return at most `length` rows from `offset` on."""
        return JsonRows(self.label, self.rows[offset:][:length], self.lines[offset:][:length])

    def values(self, column: str) -> list[Any]:
        """Return the values of a column, None for a missing one."""
        return [row.get(column) for row in self.rows]

    def read(self, name: str, column: JsonColumn) -> pa.Array | None:
        """Return the values of a column in its type; None if any does not match it."""
        return column.read(self.values(name))

    def text(self, row: int, column: str) -> str:
        """Return one value as JSON, or the reason why it cannot be shown."""
        return _text_of(self.rows[row].get(column))

    def fail_cell(self, row: int, column: str, kind: str, *, declared: bool) -> NoReturn:
        """Fail with DAT001 for a value that does not match the type of its column, `declared` or inferred."""
        if JsonColumn("json").read([self.rows[row].get(column)]) is None:
            hint = (
                f"no dtype holds it: correct the file, set on_reject: quarantine, or leave '{column}' out by 'columns'"
            )
        else:
            hint = f"give '{column}' a dtype that holds it; json holds anything"
            hint = hint if declared else f"{PINNED}: {REFRESH}, or {hint}"
        at = Location(self.label, self.line_of(row))
        fail("DAT001", at=at, hint=hint, column=column, value=cut(self.text(row, column)), type=kind)

    def line_of(self, row: int) -> int:
        """Return the line, from 1, on which a row begins."""
        return self.lines[row]

    def without(self, rows: Collection[int]) -> JsonRows:
        """Return the other rows."""
        remaining = [row for row in range(self.num_rows) if row not in rows]
        return JsonRows(self.label, [self.rows[row] for row in remaining], [self.lines[row] for row in remaining])

    def unplanned(self, planned: Collection[str]) -> Mapping[int, tuple[str, str]]:
        """Return the rows that have unplanned keys, each with the first such key and its value."""
        names = set(planned)
        more = {n: row for n, row in enumerate(self.rows) if not row.keys() <= names}
        keys = {n: next(key for key in row if key not in names) for n, row in more.items()}
        return {n: (key, self.text(n, key)) for n, key in keys.items()}


@dataclass(frozen=True, slots=True)
class JsonConfig(TextConfig):
    """The format of the rows of a file, as configured."""

    format: Literal["auto", "lines", "array"] = "auto"


@dataclass(frozen=True, slots=True)
class JsonFile:
    """One file and its format; `label` names it in messages."""

    path: SourceFile
    label: str
    config: JsonConfig

    def check(self, _check: object) -> None:
        """Do nothing: a JSON file has no header."""

    def rows(
        self,
        _columns: object,
        on_bytes: Callable[[int], None],
        on_bad_row: Callable[[BadRow], None] | None = None,
        _check: object = None,
    ) -> Iterator[JsonRows]:
        """Yield the rows with all their keys, in parts; `on_bytes` gets the number of bytes read from the disk.

        A row that is not one JSON object fails with DAT020, or is passed to `on_bad_row`; a row without end fails with
        DAT007. Syntax errors between the rows of an array always fail with DAT020.
        """
        with closing(self._texts(on_bytes)) as texts:
            spaces, begin = self._begin(texts)
            source = chain([*spaces, begin], texts)
            form = self.config.format
            is_array = form == "array" or (form == "auto" and begin.lstrip(SPACE).startswith("["))
            yield from self._array(source, on_bad_row) if is_array else self._lines(source, on_bad_row)

    def _begin(self, texts: Iterator[str]) -> tuple[list[str], str]:
        """Return the blank pieces at the start of a text, and the first other piece."""
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
            rows = JsonRows(self.label)
            for text in lines:
                line += 1
                if text.isspace() or not text:
                    continue
                try:
                    row = parse_object(text)
                except BadJson as bad:
                    self._bad(line, text.strip(), bad.problem, bad.position, on_bad_row)
                else:
                    rows.rows.append(row)
                    rows.lines.append(line)
            if rows.rows:
                yield rows

    def _with_line_ends(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield a text unchanged; fails with DAT007 for a line without end."""
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
        rows, until = JsonRows(self.label), PIECE
        more = window.next() != "]"
        while more:
            line, begin = window.line, window.at
            row = window.value()
            if type(row) is dict:
                rows.rows.append(row)
                rows.lines.append(line)
            else:
                self._bad(line, window.text[begin : window.at], "an object is expected", None, on_bad_row)
            more = window.next() == ","
            if more:
                window.take(",", "")
                window.next()
            if window.passed >= until:
                yield rows
                rows, until = JsonRows(self.label), window.passed + PIECE
        window.take("]", "a comma or the end of the array is expected")
        if window.next():
            window.fail("something follows the array")
        if rows.rows:
            yield rows

    def _bad(
        self, line: int, text: str, problem: str, position: int | None, on_bad_row: Callable[[BadRow], None] | None
    ) -> None:
        if on_bad_row is None:
            self.fail_at(problem, line, None if position is None else position + 1)
        on_bad_row(BadRow(text, problem, {"line": line, "problem": problem}, lambda: line))

    def fail_at(self, problem: str, line: int, column: int | None) -> NoReturn:
        """Fail with DAT020 at a location in the file."""
        fail("DAT020", at=Location(self.label, line, column), problem=problem)

    def too_large(self, line: int) -> NoReturn:
        """Fail with DAT007 for a row on that line without end."""
        fail("DAT007", at=Location(self.label, line), limit=f"{MAX_ROW} characters")


@dataclass(slots=True)
class _Window:
    """A window on a text: `at` is the offset in it, `line` the current line, `passed` the characters consumed."""

    file: JsonFile
    source: Iterator[str]
    text: str = ""
    at: int = 0
    line: int = 1
    passed: int = 0

    def next(self) -> str:
        """Move to the next character that is not space, and return it; empty at the end."""
        while True:
            match = _NO_SPACE.search(self.text, self.at)
            self._go_to(match.start() if match else len(self.text))
            if self.at < len(self.text) or not self._fill(PIECE):
                return self.text[self.at : self.at + 1]

    def take(self, char: str, problem: str) -> None:
        """Skip a character that must come next; fails with DAT020 if it does not."""
        if self.next() != char:
            self.fail(problem)
        self._go_to(self.at + 1)

    def value(self) -> Any:  # noqa: ANN401  any JSON value
        """Return the next value; fails with DAT020 if it is invalid, DAT007 if it has no end."""
        while True:
            try:
                value, end = parse_at(self.text, self.at)
            except BadJson as bad:
                if not self._may_go_on(bad):
                    self._go_to(self.at if bad.position is None else bad.position)
                    self.fail(bad.problem)
            else:
                # A number at the end of the window may continue.
                if end < len(self.text) or not self._fill(PIECE):
                    self._go_to(end)
                    return value

    def _may_go_on(self, bad: BadJson) -> bool:
        """Read more text if the value may only be truncated; returns whether there was more."""
        if bad.position is None:
            return False
        cut = bad.position > len(self.text) - 16 or self.text[bad.position] == '"'
        if cut and len(self.text) - self.at > MAX_ROW:
            self.file.too_large(self.line)
        return cut and self._fill(max(PIECE, len(self.text) - self.at))

    def fail(self, problem: str) -> NoReturn:
        """Fail with DAT020 on the current line."""
        self.file.fail_at(problem, self.line, None)

    def _go_to(self, position: int) -> None:
        self.line += self.text.count("\n", self.at, position)
        self.passed += position - self.at
        self.at = position

    def _fill(self, size: int) -> bool:
        """Read at least `size` more characters; returns False at the end."""
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
    """A column of a known type; if `declared`, its values may be strings, and a number may become text."""

    type: str
    declared: bool = False

    def read(self, values: Sequence[Any]) -> pa.Array | None:
        """Return parsed JSON values in the column's type, null as NULL; None if any does not match it."""
        if self.type == "json":
            return _documents(values)
        kinds = {*map(type, values)} - {type(None)}
        if not kinds <= (_SCALARS if self.declared else {_TAKEN[str(kind_of(self.type))]}):
            return None
        if bool in kinds:
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
        return "\ud800"  # which no column accepts


def _texts(values: Sequence[str | None]) -> pa.Array | None:
    """Return an array of strings; None if one of them has an unpaired surrogate, which is not a character."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return None


def _may_be_moment(value: Any) -> bool:  # noqa: ANN401  any JSON value
    return type(value) is str and value.isascii()


@dataclass(slots=True)
class JsonTypeInference:
    """The type of a column, inferred from its values so far; `moment`: it must be a date or timestamp."""

    moment: bool = False
    _kinds: set[type] = field(default_factory=set)
    _guess: TypeInference = field(init=False)

    def __post_init__(self) -> None:
        self._guess = TypeInference(moment=self.moment)

    def update(self, values: Sequence[Any]) -> int | None:
        """Add values; with `moment`, return the index of a value that is no date or timestamp, if any."""
        kinds = {*map(type, values)} - {type(None)}
        self._kinds |= kinds
        if self.moment:
            wrong = next((n for n, value in enumerate(values) if value is not None and not _may_be_moment(value)), None)
            return self._guess.update(pa.array(values, pa.string())) if wrong is None else wrong
        if self._kinds == {Number} == kinds:
            self._guess.update(pa.array(values, pa.string()))
        return None

    def type(self) -> str:
        """Return the type of the column: `json` if values are of several kinds, nested, or all null."""
        if self.moment:
            return self._guess.type()
        if self._kinds == {Number}:
            return self._number()
        return {frozenset({str}): "utf8", frozenset({bool}): "bool"}.get(frozenset(self._kinds), "json")

    def _number(self) -> str:
        """Return the exact type of numbers: a double if it keeps every digit and no decimal does."""
        name = self._guess.type()
        if name != "utf8":
            return name
        return "float64" if "double" in self._guess.kinds else "json"
