"""Turns record batches into the characters of CSV rows: each column spelled, quoted where it must be, then joined."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.text_format import bounds, characters, spell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_MARK = "\ufeff"
"""At the start of a file this would be taken for a byte order mark, so a cell that begins with it is quoted."""

_FORMULA = r"\A(?:[\t\r]|[\s\x{feff}]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}])"
_NUMBER = r"\A[+-]?\d+(?:\.\d+)?\z"
_LEADS = np.isin(np.arange(256), list(b"=+-@ \t\r\n\f\xef"))
"""Of each byte, whether a cell that begins with it can match."""


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are written: the character between cells, the end of a row, and which cells are quoted."""

    delimiter: str
    end: str
    quoting: str

    def header(self, names: Sequence[str]) -> str:
        """Return the first row of a file."""
        cells = pa.array([self._quoted_if_needed(name) for name in names], pa.string())
        return self.delimiter.join(cells.to_pylist()) + self.end

    def _quoted_if_needed(self, name: str) -> str:
        needed = self.quoting != "minimal" or re.search(self._special(), name) or name.startswith(_MARK)
        return '"' + name.replace('"', '""') + '"' if needed else name

    def rows(self, columns: Sequence[pa.Array]) -> pa.Array:
        """Return one string for each row, its end included."""
        *cells, last = [self._cells(column) for column in columns]
        ended = pc.binary_join_element_wise(last, self.end, "", null_handling="replace", null_replacement="")
        if not cells:
            return ended
        return pc.binary_join_element_wise(*cells, ended, self.delimiter, null_handling="replace", null_replacement="")

    def _cells(self, values: pa.Array) -> pa.Array:
        texts = spell(values)
        free = pa.types.is_string(values.type) or isinstance(values.type, pa.BaseExtensionType)
        if self.quoting == "all" or (self.quoting == "nonnumeric" and not _is_number(values.type)):
            return _quoted(texts)
        if not free and not self.delimiter.isalnum() and self.delimiter not in "+-.:":
            return texts
        needy = self._needy(texts)
        return _replaced(texts, needy, _quoted(texts.take(pa.array(needy)))) if len(needy) else texts

    def _special(self) -> str:
        return f'[{re.escape(self.delimiter)}"\r\n]'

    def _needy(self, texts: pa.Array) -> Rows:
        """Return which texts must be quoted: the empty ones, and those with what would be taken for something else."""
        places, data = bounds(texts), _bytes(texts)
        found = [np.flatnonzero(places[1:] == places[:-1])]
        for char in f'{self.delimiter}"\r\n'.encode():
            if char in data:
                here = np.flatnonzero(np.frombuffer(data, np.uint8) == char)
                found.append(np.searchsorted(places, here, "right") - 1)
        if _MARK.encode() in data:
            found.append(np.flatnonzero(pc.starts_with(texts, _MARK).fill_null(False)))
        rows: Rows = np.unique(np.concatenate(found))
        return rows[pc.is_valid(texts).to_numpy(zero_copy_only=False)[rows]] if texts.null_count else rows


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _quoted(texts: pa.Array) -> pa.Array:
    escaped = pc.replace_substring(texts, '"', '""') if b'"' in _bytes(texts) else texts
    return pc.binary_join_element_wise('"', escaped, '"', "")


def _replaced(texts: pa.Array, rows: Rows, others: pa.Array) -> pa.Array:
    """Return texts with others in the place of some rows."""
    index = np.arange(len(texts))
    index[rows] = np.arange(len(texts), len(texts) + len(rows))
    return pa.concat_arrays([texts, others]).take(pa.array(index))


def _bytes(texts: pa.Array) -> bytes:
    return bytes(characters(texts))


def formulas(texts: pa.Array) -> pa.Array | None:
    """Tell of each string whether a spreadsheet would take it for a formula; None if that is so of none.

    A plain number is none.
    """
    places, data = bounds(texts), _bytes(texts)
    leading = _LEADS.take(np.frombuffer(data, np.uint8).take(places[:-1], mode="clip")) if data else _LEADS[:0]
    if not leading.any():
        return None
    rows = np.flatnonzero(leading & (places[1:] > places[:-1]))
    likely = texts.take(pa.array(rows))
    found = pc.and_not(pc.match_substring_regex(likely, _FORMULA), pc.match_substring_regex(likely, _NUMBER))
    if not pc.any(found).as_py():
        return None
    marks = np.zeros(len(texts), np.bool_)
    marks[rows] = found.fill_null(False)
    return pa.array(marks)
