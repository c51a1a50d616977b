"""The samples of a server's type: its declaration, and values with the text that each must keep."""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """A value as SQL, and its text in the form of the server's documentation."""

    sql: str
    text: str


NULL = Value("NULL", "")


class Sample(NamedTuple):
    """A type as a table declares it, the form of its texts, and values of it.

    `form` is the Osiris type as which texts are compared, whatever they are carried as. `filler` fills rows without a
    value, and is NULL if the column allows that; `what` describes the values if they are not ordinary ones.
    """

    type: str
    form: str
    values: tuple[Value, ...]
    filler: Value = NULL
    what: str = ""

    def texts(self, rows: int) -> list[str | None]:
        """Return the texts of the given number of rows: a filler, the values, fillers."""
        filler = None if self.filler is NULL else self.filler.text
        found = [filler, *(value.text for value in self.values)]
        return [*found, *[filler] * (rows - len(found))]

    def cell(self, row: int) -> str:
        """Return the cell of a row, as SQL."""
        return self.values[row - 1].sql if 0 < row <= len(self.values) else self.filler.sql


class Refused(NamedTuple):
    """A type that is rejected at compile time, and words of the reason."""

    type: str
    reason: str


def quoted(text: str, *, backslashes: bool = False) -> str:
    """Return a text as a literal; with `backslashes` for a server in which they escape."""
    return "'" + (text.replace("\\", "\\\\") if backslashes else text).replace("'", "''") + "'"


def same(*texts: str, backslashes: bool = False) -> tuple[Value, ...]:
    """Return values whose SQL equals their text."""
    return tuple(Value(quoted(text, backslashes=backslashes), text) for text in texts)


TEXTS = (
    *("", " ", "NULL", "null", "\\N", "007", "1", "-0", "true", "NaN", "2024-02-29", 'a,b;"c"', "d'e", "\r", "1\r\n2"),
    *("\t", "\ufeff", "\u0001\u001f\u007f\u0085", "žluť 😀", "e\u0301", "é" * 300, "\\", "\\'\\\"", "\U0010ffff"),
)
"""Texts that are easily taken for something else, or changed on the way."""
