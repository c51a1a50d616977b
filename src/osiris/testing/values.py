"""Values of every type that are known to be hard to carry: the ends of its range, what looks like nothing, NULL."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""The first and the last of the years 1 to 9999, counted from 1970."""

_ENDS = (-(2**63), 2**63 - 1)
_FIRST_NANOSECOND = -9_223_372_036 * 10**9
"""Where the first whole second begins that is counted in nanoseconds; Arrow does not read the text of those before."""

JUST_OUTSIDE, AT_THE_ENDS = "beside the years 1 to 9999", "the first and the last"

_TEXTS = (
    "",
    " ",
    "NULL",
    "null",
    "007",
    "1",
    "true",
    "NaN",
    "2024-02-29",
    'a,b;"c"',
    "d'e",
    "1\r\n2",
    "\ufeff",
    "žluť😀",
)
_DOCUMENTS = ('{"b": 1, "a":[1.0, null]}', "[]", "{}", '"ž"', "1e2", "123456789012345678901234567890")


class Sample(NamedTuple):
    """Values of one type, as Arrow takes them, without NULL; `what` tells which, beside ordinary ones."""

    type: str
    values: Sequence[Any]
    what: str = ""

    def array(self, rows: int | None = None) -> pa.Array:
        """Return the values and a NULL, or as many NULLs as there are rows to fill."""
        import pyarrow as pa

        kind = arrow_type(self.type)
        filled = [*self.values, *[None] * max(1, (rows or 0) - len(self.values))]
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, pa.array(filled, kind.storage_type))
        return pa.array(filled, kind)


def samples() -> list[Sample]:
    """Return values of every type; those at the very ends of a range apart, because little can hold them."""
    return [*_simple(), *_numbers(), *_moments(), *_nested()]


def _simple() -> list[Sample]:
    return [
        Sample("bool", (True, False)),
        Sample("utf8", _TEXTS),
        Sample("utf8", ("a\0b",), "with a NUL character"),
        Sample("binary", (b"", b"\x00\xff", b"text")),
        Sample("uuid", (uuid.UUID(int=0).bytes, uuid.UUID(int=2**128 - 1).bytes, uuid.UUID(int=2**127).bytes)),
        Sample("json", _DOCUMENTS),
        Sample("json", ("null",), "the document `null`"),
        Sample("date", (_FIRST_DAY, -1, 0, 19_782, _LAST_DAY)),
        Sample("date", (_FIRST_DAY - 1, _LAST_DAY + 1), JUST_OUTSIDE),
        Sample("date", (-(2**31), 2**31 - 1), AT_THE_ENDS),
    ]


def _numbers() -> list[Sample]:
    bits = (8, 16, 32, 64)
    signed = [Sample(f"int{n}", (-(2 ** (n - 1)), -1, 0, 2 ** (n - 1) - 1)) for n in bits]
    unsigned = [Sample(f"uint{n}", (0, 1, 2**n - 1)) for n in bits]
    floats = [
        Sample("float32", (0.1, -2.5, 1.0, 1e-45, 3.4028234663852886e38)),
        Sample("float64", (0.1, -2.5, 1.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2)),
    ]
    odd = {"-0": -0.0, "NaN": float("nan"), "infinity": float("inf")}
    odds = [Sample(f"float{n}", (value,), what) for n in (32, 64) for what, value in odd.items()]
    decimals = []
    for precision, scale in ((1, 0), (5, 2), (9, 9), (18, 0), (38, 0), (38, 38), (39, 0), (76, 0), (76, 38), (76, 76)):
        wanted = (0, 1, -1, 10**precision - 1, 1 - 10**precision)
        decimals.append(Sample(f"decimal({precision},{scale})", [Decimal(f"{number}E-{scale}") for number in wanted]))
    return [*signed, *unsigned, *floats, *odds, *decimals]


def _moments() -> list[Sample]:
    times = [Sample(f"time[{unit}]", (0, 1, 86_400 * size - 1)) for unit, size in _PER_SECOND.items()]
    instants = [each for unit in _PER_SECOND for zone in ("", ",UTC") for each in _instants(unit, zone)]
    return [*times, *instants, *(_instants("us", zone)[0] for zone in (",Europe/Prague", ",+05:30"))]


def _instants(unit: str, zone: str) -> list[Sample]:
    """Return moments of a type: ordinary ones, and those that few can spell."""
    kind, size = f"timestamp[{unit}{zone}]", _PER_SECOND[unit]
    ordinary = (-1, 0, 1, 1_709_251_199 * size)
    if unit == "ns":
        return [Sample(kind, (_FIRST_NANOSECOND, *ordinary, _ENDS[1]))]
    first, last = _FIRST_SECOND * size, (_LAST_SECOND + 1) * size - 1
    outside = Sample(kind, (first - 1, last + 1), JUST_OUTSIDE)
    return [Sample(kind, (first, *ordinary, last)), outside, Sample(kind, _ENDS, AT_THE_ENDS)]


def _nested() -> list[Sample]:
    names = 'struct<"a \\"b\\"":int64,"ž":list<utf8>>'
    return [
        Sample("list<int64>", ([], [None], [1, None, -(2**63)])),
        Sample("list<utf8>", (["", None, 'x,"y"'], [])),
        Sample("list<decimal(38,2)>", ([Decimal("0.10"), None], [])),
        Sample("list<timestamp[ns,UTC]>", ([0, None], [])),
        Sample("list<list<date>>", ([[0, None], None, []],)),
        Sample(names, ({'a "b"': 1, "ž": ["x", None]}, {'a "b"': None, "ž": None})),
        Sample('list<struct<"x":float64>>', ([{"x": 0.1}, None, {"x": None}],)),
        Sample("list<decimal(76,1)>", ([Decimal("0.1")],)),
    ]
