"""What is said of a type of a server: its declaration, and values with the text that each must still have later on."""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """A value as SQL, and its text, in the form that the server's documentation gives to values of the type."""

    sql: str
    text: str


NULL = Value("NULL", "")


class Sample(NamedTuple):
    """A type as a table declares it, the form of its texts, and values of it.

    `form` is how texts of it are compared: as one of Osiris' types, whatever they are carried as. `filler` stands in
    the rows for which there is no value, and is NULL where the column may have that; `what` tells which values these
    are, if they are no ordinary ones.
    """

    type: str
    form: str
    values: tuple[Value, ...]
    filler: Value = NULL
    what: str = ""

    def texts(self, rows: int) -> list[str | None]:
        """Return the texts of so many rows: a filler, the values, fillers."""
        filler = None if self.filler is NULL else self.filler.text
        found = [filler, *(value.text for value in self.values)]
        return [*found, *[filler] * (rows - len(found))]

    def cell(self, row: int) -> str:
        """Return what stands in a row, as SQL."""
        return self.values[row - 1].sql if 0 < row <= len(self.values) else self.filler.sql


class Refused(NamedTuple):
    """A type that is refused when the pipeline is compiled, and words of the reason."""

    type: str
    reason: str


def quoted(text: str, *, backslashes: bool = False) -> str:
    """Return a text as a literal; `backslashes`: as of a server in which they escape."""
    return "'" + (text.replace("\\", "\\\\") if backslashes else text).replace("'", "''") + "'"


def same(*texts: str, backslashes: bool = False) -> tuple[Value, ...]:
    """Return values that are given as their own text."""
    return tuple(Value(quoted(text, backslashes=backslashes), text) for text in texts)


TEXTS = (
    *("", " ", "NULL", "null", "\\N", "007", "1", "-0", "true", "NaN", "2024-02-29", 'a,b;"c"', "d'e", "\r", "1\r\n2"),
    *("\t", "\ufeff", "\u0001\u001f\u007f\u0085", "žluť 😀", "e\u0301", "é" * 300, "\\", "\\'\\\"", "\U0010ffff"),
)
"""Texts that are easily taken for something else, or changed on the way."""
