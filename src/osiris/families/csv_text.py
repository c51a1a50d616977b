"""Rows as CSV text: each column is formatted, quoted if needed, then joined.

Texts that must be quoted are empty ones, and those that a reader would otherwise misread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.text_format import bounds, characters, spell
from osiris.kernels import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.int64]
    Quoted: TypeAlias = Literal["none", "needy", "all"]

_MARK = "\ufeff"
"""A byte order mark at the start of a file, so a cell that begins with this character is quoted."""

_FORMULA = r"\A(?:[\t\r]|[\s\x{feff}]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}])"
_NUMBER = r"\A[+-]?\d+(?:\.\d+)?\z"
_LEADS = np.isin(np.arange(256), list(b"=+-@ \t\r\n\f\xef"))
"""For each byte, whether a cell that begins with it may be a formula."""


@dataclass(frozen=True, slots=True)
class Form:
    """The format of rows: delimiter, line terminator, and which cells are quoted."""

    delimiter: str
    end: str
    quoting: str

    def header(self, names: Sequence[str]) -> str:
        """Return the first row of a file."""
        cells = pa.array([self._quoted_if_needed(name) for name in names], pa.string())
        return self.delimiter.join(cells.to_pylist()) + self.end

    def _quoted_if_needed(self, name: str) -> str:
        special = f'[{re.escape(self.delimiter)}"\r\n]'
        needed = self.quoting != "minimal" or re.search(special, name) or name.startswith(_MARK)
        return '"' + name.replace('"', '""') + '"' if needed else name

    def rows(self, columns: Sequence[pa.Array]) -> memoryview:
        """Return rows in UTF-8, with their line terminators."""
        return _rows([TextColumn(column, self._quoted(column.type)) for column in columns], self.delimiter, self.end)

    def _quoted(self, kind: pa.DataType) -> Quoted:
        if self.quoting == "all" or (self.quoting == "nonnumeric" and not _is_number(kind)):
            return "all"
        free = pa.types.is_string(kind) or isinstance(kind, pa.BaseExtensionType)
        return "needy" if free or self.delimiter.isalnum() or self.delimiter in "+-.:" else "none"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


@dataclass(frozen=True, slots=True)
class TextColumn:
    """The values of a column, and which of their texts are quoted; NULL is never quoted."""

    values: pa.Array
    quoted: Quoted

    def texts(self) -> pa.Array:
        """Return the values as strings."""
        return spell(self.values)


@compiled("csv_rows")
def _rows(columns: Sequence[TextColumn], delimiter: str, end: str) -> memoryview:
    *cells, last = [_cells(column, delimiter) for column in columns]
    rows = pc.binary_join_element_wise(last, end, "", null_handling="replace", null_replacement="")
    if cells:
        rows = pc.binary_join_element_wise(*cells, rows, delimiter, null_handling="replace", null_replacement="")
    return characters(rows).cast("B")


def _cells(column: TextColumn, delimiter: str) -> pa.Array:
    texts = column.texts()
    if column.quoted == "none":
        return texts
    if column.quoted == "all":
        return _in_quotes(texts)
    needy = _needy(texts, delimiter)
    return _replaced(texts, needy, _in_quotes(texts.take(pa.array(needy)))) if len(needy) else texts


def _needy(texts: pa.Array, delimiter: str) -> Numbers:
    """Return which texts must be quoted."""
    starts, data = bounds(texts), bytes(characters(texts))
    parts = [np.flatnonzero(starts[1:] == starts[:-1])]
    for char in f'{delimiter}"\r\n'.encode():
        if char in data:
            here = np.flatnonzero(np.frombuffer(data, np.uint8) == char)
            parts.append(np.searchsorted(starts, here, "right") - 1)
    if _MARK.encode() in data:
        parts.append(np.flatnonzero(pc.starts_with(texts, _MARK).fill_null(False)))
    rows: Numbers = np.unique(np.concatenate(parts))
    return rows[pc.is_valid(texts).to_numpy(zero_copy_only=False)[rows]] if texts.null_count else rows


def _in_quotes(texts: pa.Array) -> pa.Array:
    escaped = pc.replace_substring(texts, '"', '""') if b'"' in bytes(characters(texts)) else texts
    return pc.binary_join_element_wise('"', escaped, '"', "")


def _replaced(texts: pa.Array, rows: Numbers, replacements: pa.Array) -> pa.Array:
    """Return texts with some rows replaced."""
    index = np.arange(len(texts))
    index[rows] = np.arange(len(texts), len(texts) + len(rows))
    return pa.concat_arrays([texts, replacements]).take(pa.array(index))


def formulas(texts: pa.Array) -> pa.Array | None:
    """Return for each string whether a spreadsheet would read it as a formula; None if none is.

    A plain number is not a formula.
    """
    rows = _formulas(texts)
    if not len(rows):
        return None
    marks = np.zeros(len(texts), np.bool_)
    marks[rows] = True
    return pa.array(marks)


@compiled("csv_formulas")
def _formulas(texts: pa.Array) -> Numbers:
    """Return the row indexes of formulas."""
    starts, data = bounds(texts), np.frombuffer(characters(texts), np.uint8)
    leading = _LEADS.take(data.take(starts[:-1], mode="clip")) if len(data) else _LEADS[:0]
    rows: Numbers = np.flatnonzero(leading & (starts[1:] > starts[:-1])) if leading.any() else np.empty(0, np.int64)
    likely = texts.take(pa.array(rows))
    matches = pc.and_not(pc.match_substring_regex(likely, _FORMULA), pc.match_substring_regex(likely, _NUMBER))
    marked: Numbers = rows[matches.fill_null(False).to_numpy(zero_copy_only=False)]
    return marked
