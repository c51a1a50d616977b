"""Whether two sets of rows are the same for a reader: names and places of columns are free, values are not."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Rows = list[tuple[object, ...]]
    Column = tuple[object, ...]

DIGITS = 9
"""Numbers that agree in so many digits are the same: sums of floats depend on their order."""

MOST_ARRANGEMENTS = 2000
"""Orders of columns that are tried, where their values alone do not tell which is which."""

_NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "REAL", "HUGEINT", "NUMERIC")


def read_rows(kind: str, path: Path, table: str | None) -> Rows:
    """Return what a target holds, in its order; of text files each cell is text or None.

    Raises duckdb.Error, sqlite3.Error or OSError.
    """
    import duckdb

    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as file:
            return file.execute(f'SELECT * FROM "{table}"').fetchall()
    if kind == "duckdb":
        with duckdb.connect(str(path), read_only=True) as engine:
            return engine.execute(f'SELECT * FROM "{table}"').fetchall()
    reader = {
        "csv": "read_csv(?, all_varchar = true, header = true, null_padding = false)",
        "parquet": "read_parquet(?)",
        "json": "read_json(?, format = 'auto')",
    }[kind]
    with duckdb.connect() as engine:
        return engine.execute(f"SELECT * FROM {reader}", [str(path)]).fetchall()


def same_rows(types: Sequence[str], gold: Rows, found: Rows, *, ordered: bool) -> bool:
    """Tell whether `found` has the rows of `gold`, in its order if `ordered`; `types` are those of gold's columns."""
    if len(gold) != len(found) or (found and len(found[0]) != len(types)):
        return False
    if not gold:
        return True
    forms = [_form_of(kind) for kind in types]
    wanted = [tuple(form(row[at]) for row in gold) for at, form in enumerate(forms)]
    return any(_agree(wanted, columns, ordered=ordered) for columns in _arrangements(forms, wanted, found))


def _agree(wanted: Sequence[Column], columns: Sequence[Column], *, ordered: bool) -> bool:
    rows, others = list(zip(*wanted, strict=True)), list(zip(*columns, strict=True))
    return rows == others if ordered else Counter(rows) == Counter(others)


def _arrangements(
    forms: Sequence[Callable[[object], object]], wanted: Sequence[Column], found: Rows
) -> Iterator[list[Column]]:
    """Yield the columns that were found in each order in which every one has the values of gold's in that place."""
    fitting: list[dict[int, Column]] = []
    for form, column in zip(forms, wanted, strict=True):
        taken = {at: tuple(form(row[at]) for row in found) for at in range(len(wanted))}
        fitting.append({at: each for at, each in taken.items() if Counter(each) == Counter(column)})
    for places in islice(_places(fitting, ()), MOST_ARRANGEMENTS):
        yield [fitting[at][place] for at, place in enumerate(places)]


def _places(fitting: Sequence[dict[int, Column]], taken: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if len(taken) == len(fitting):
        yield taken
        return
    for place in fitting[len(taken)]:
        if place not in taken:
            yield from _places(fitting, (*taken, place))


def _form_of(kind: str) -> Callable[[object], object]:
    """Return how values of a gold column are made comparable: as numbers, or as text."""
    return _number if kind.upper().startswith(_NUMBERS) or "INT" in kind.upper() else _text


def _number(value: object) -> object:
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    if not number.is_finite() or number == 0:
        return "0" if number == 0 else str(number)
    return f"{float(number):.{DIGITS}g}" if math.isfinite(float(number)) else str(number)


def _text(value: object) -> object:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return _moment(value.isoformat(sep=" "))
    if isinstance(value, date | time):
        return value.isoformat()
    text = str(value)
    return _moment(text) if len(text) > len("2024-01-01") and text[4:5] == "-" and text[7:8] == "-" else text


def _moment(text: str) -> str:
    """Return a time without the T, the zone of UTC, zero fractions, and a midnight that a date may have got."""
    plain = text.replace("T", " ", 1).removesuffix("Z").removesuffix("+00:00")
    whole, _, fraction = plain.partition(".")
    plain = f"{whole}.{fraction.rstrip('0')}".rstrip(".") if fraction.isdigit() else plain
    return plain.removesuffix(" 00:00:00")
