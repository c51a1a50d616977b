"""Random tables: columns of every type, with the values that most often cause errors first."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, getcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

getcontext().prec = 100

ODD = [
    "", " ", "   ", "\t", "a,b", "a;b", "a|b", 'say "hi"', '"', '""', "'", "''", "\\", "\\N", "\\\\", "NULL", "null",
    "NA", "None", "line\nbreak", "line\r\nbreak", "line\rbreak", "\n", "trailing ", " leading", "x\t", "\ufeff",
    "\ufeffx", "x\ufeff", "\u00a0", "\u200b", "\u00e9", "e\u0301", "\u017e", "\u65e5\u672c", "\U0001f600",
    "\U0001f469\u200d\U0001f680", "\u2028", "\u0085", "\x01", "\x1f", "\x7f", "#", "# no comment", "a#b", "=1+1",
    "@ref", "${HOME}", "%s", "{{x}}", "--", "/*", ";", "$$", "0", "-", "+", ".", "e", "true", "TRUE", "nan",
    "2024-13-01", "a" * 300, "\u00df", "\u0130", "\ufb01", "\uffff", "x" * 8191, "ab" * 4097, "\u20ac", "[]", "{}",
    '{"a": 1}', "1,5", "1 000", "O'Brien", "c:\\dir\\", "<a&b>",
]  # fmt: skip
SPELLINGS = [
    "0", "1", "-1", "007", "+1", "-0", "1.0", "1.50", "-0.00", ".5", "5.", "1e5", "1E-3", "-2.5e+3", "1e400",
    "1e-400", "0x1F", "1_000", " 1", "1 ", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "99999999999999999999", "0.1", "0.30000000000000004", "0.12345678901234567890",
    "1.12345678901234567890123456789012345678", "NaN", "inf", "-inf", "Infinity",
    "12345678901234567890123456789012345678", "123456789012345678901234567890123456789", "2024-02-29", "2023-02-29",
    "2024-02-29T12:30:00", "2024-02-29 12:30:00.5", "2024-02-29T12:30:00Z", "2024-02-29T12:30:00+02:00", "24:00:00",
    "23:59:59", "true", "false", "True", "\u0661", "1\u00a0", "1\u2009000", "\u22121",
]  # fmt: skip
NAMES = [
    "name",
    "Amount",
    "Unit price",
    "\u017elu\u0165",
    "select",
    "a.b",
    "x;y",
    "per%",
    "c-1",
    "\u65e5",
    "group",
    "9th",
    'q"t',
    "o'k",
    "very_long_" + "n" * 40,
]
SIZES = (1024, 65536, 122880, 1048576)
CELLS = (1 << 20, 17 << 20, 33 << 20, 100 * 1000 * 1000)


@dataclass(frozen=True)
class Column:
    """A name, a type of Osiris, and a value for each row."""

    name: str
    type: str
    values: list[Any]


@dataclass(frozen=True)
class Table:
    """Columns of one length."""

    columns: list[Column]

    @property
    def size(self) -> int:
        return len(self.columns[0].values)

    def rows(self) -> list[tuple[Any, ...]]:
        return list(zip(*(column.values for column in self.columns), strict=True))


def _int(rng: random.Random) -> int:
    edges = [0, -1, 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)]
    return rng.choice(edges) if rng.random() < 0.3 else rng.randint(-(10**6), 10**6)


def _float(rng: random.Random) -> float:
    edges = [0.0, 0.1, 1e300, 5e-324, 1.7976931348623157e308, 2.5, -1e-7, 0.30000000000000004, 123456789.123]
    return rng.choice(edges) if rng.random() < 0.5 else rng.uniform(-1e6, 1e6)


def _date(rng: random.Random) -> date:
    edges = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(1582, 10, 10), date(2024, 2, 29)]
    return rng.choice(edges) if rng.random() < 0.2 else date(1900, 1, 1) + timedelta(rng.randrange(60000))


def _stamp(rng: random.Random) -> datetime:
    day = rng.choice([date(2001, 1, 1), date(2024, 2, 29), date(1971, 3, 4), date(2037, 12, 31)])
    fine = rng.choice([0, 1, 500000, 999999, 123456])
    return datetime.combine(day, time(rng.randrange(24), rng.randrange(60), rng.randrange(60), fine))


def _decimal(scale: int) -> Callable[[random.Random], Decimal]:
    def make(rng: random.Random) -> Decimal:
        top = 10 ** rng.choice([2, 9, 15])
        return Decimal(rng.randrange(-top, top)).scaleb(-scale)

    return make


def text(rng: random.Random) -> str:
    """Return an unusual text, or a plain one."""
    if rng.random() < 0.6:
        return rng.choice(ODD)
    return "".join(
        rng.choice(["a", "Z", "0", " ", ",", '"', "\n", "\u0159", "-", "'"]) for _ in range(rng.randrange(12))
    )


def document(rng: random.Random) -> str:
    """Return a JSON object, without spaces."""
    return json.dumps(
        {"k": rng.choice([1, None, True, [], "x\u0159", {"d": 2.5}]), "a b": rng.randrange(9)}, separators=(",", ":")
    )


MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "int64": _int,
    "float64": _float,
    "bool": lambda rng: rng.random() < 0.5,
    "date": _date,
    "timestamp[us]": _stamp,
    "timestamp[us,UTC]": lambda rng: _stamp(rng).replace(tzinfo=UTC),
    "time[us]": lambda rng: _stamp(rng).time(),
    "utf8": text,
    "binary": lambda rng: rng.randbytes(rng.randrange(9)),
    "json": document,
} | {f"decimal(18,{scale})": _decimal(scale) for scale in (0, 2, 9)}
TYPES = list(MAKERS)


def random_size(rng: random.Random) -> int:
    """Return a number of rows: usually small, sometimes near a batch size of one of the engines."""
    dice = rng.random()
    if dice < 0.9:
        return rng.choice([0, 1, 2, 3, 5, 8, 13, 40])
    weights = (80, 12, 6, 1)
    edge = rng.choices(SIZES, weights)[0] if dice > 0.93 else SIZES[0]
    return edge + rng.choice([-1, 0, 1])


def random_table(rng: random.Random, types: list[str], size: int) -> Table:
    """Return a table whose first column `id` is a key."""
    ids = list(range(1, size + 1))
    rng.shuffle(ids)
    names = rng.sample(NAMES, rng.randint(1, 5 if size < 10000 else 2))
    columns = [Column("id", "int64", ids)]
    return Table(columns + [_column(rng, name, rng.choice(types), size) for name in names])


def _column(rng: random.Random, name: str, kind: str, size: int) -> Column:
    share = rng.choice([0, 0, 0.2, 0.9])
    make = MAKERS[kind]
    pool = [make(rng) for _ in range(min(size, 200))] or [None]
    values = pool[:size] if size <= len(pool) else [rng.choice(pool) for _ in range(size)]
    return Column(name, kind, [None if rng.random() < share else one for one in values])


def with_large_cell(rng: random.Random, table: Table) -> Table:
    """Return the table with one very large text."""
    texts = [number for number, column in enumerate(table.columns) if column.type == "utf8"]
    if not texts or table.size < 2:
        return table
    number, row = rng.choice(texts), rng.randrange(table.size)
    column = table.columns[number]
    large = rng.choice(["x", "ab,", "\u0159"]) * (rng.choices(CELLS, (60, 20, 15, 5))[0] // 3)
    values = [*column.values[:row], large, *column.values[row + 1 :]]
    return Table([*table.columns[:number], replace(column, values=values), *table.columns[number + 1 :]])


def spelled_cells(rng: random.Random, size: int) -> list[str]:
    """Return the cells of a column of numbers, dates and the like in a few spellings."""
    few = rng.sample(SPELLINGS, rng.randint(1, 3))
    return [rng.choice(few) for _ in range(size)]
