"""Turns record batches into the characters of CSV rows: each column spelled, quoted where it must be, then joined."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.spelling import characters, spell

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARK = "\ufeff"
"""At the start of a file this would be taken for a byte order mark, so a cell that begins with it is quoted."""

_FORMULA = r"\A(?:[\t\r]|[\s\x{feff}]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}])"
_NUMBER = r"\A[+-]?\d+(?:\.\d+)?\z"
# Without any of these bytes, only a cell that begins with a minus or a space can match.
_LEADS = (b"=", b"+", b"@", b"\t", b"\r", b"\n", b"\v", b"\f", b"\xef")


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
        if not self._may_need_quotes(texts):
            return texts
        needed = pc.match_substring_regex(texts, rf"\A\z|\A\x{{feff}}|{self._special()}")
        return pc.if_else(needed, _quoted(texts), texts)

    def _special(self) -> str:
        return f'[{re.escape(self.delimiter)}"\r\n]'

    def _may_need_quotes(self, texts: pa.Array) -> bool:
        if pc.min(pc.binary_length(texts)).as_py() == 0:
            return True
        data = _bytes(texts)
        return any(needle.encode() in data for needle in (self.delimiter, '"', "\r", "\n", _MARK))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _quoted(texts: pa.Array) -> pa.Array:
    escaped = pc.replace_substring(texts, '"', '""') if b'"' in _bytes(texts) else texts
    return pc.binary_join_element_wise('"', escaped, '"', "")


def _bytes(texts: pa.Array) -> bytes:
    return bytes(characters(texts))


def formulas(texts: pa.Array) -> pa.Array | None:
    """Tell of each string whether a spreadsheet would take it for a formula; None if that is so of none.

    A plain number is none.
    """
    data = bytes(characters(texts))
    if not any(lead in data for lead in _LEADS) and not (b"-" in data and _begin_with(texts, "-", " ")):
        return None
    likely = pc.match_substring_regex(texts, _FORMULA)
    found = pc.and_not(likely, pc.match_substring_regex(texts, _NUMBER))
    return found if pc.any(found).as_py() else None


def _begin_with(texts: pa.Array, *starts: str) -> bool:
    return any(pc.any(pc.starts_with(texts, start)).as_py() for start in starts)
