"""Inference of the type of a text column, narrowed down as cells are added."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.text_format import PATTERNS, Spelling, whole

MAX_DIGITS = 38

# Candidate kinds in order of preference, each with the type that its cells are tested with; None: by a pattern.
_GUESSED = {
    "bool": "bool",
    "integer": None,
    "decimal": None,
    "double": "float64",
    "date": "date",
    "time": "time[ns]",
    "timestamp": "timestamp[us]",
    "instant": "timestamp[us,UTC]",
}
_MOMENTS = ("date", "timestamp", "instant")
_NUMBER = re.compile(r"-?[0-9]+(?:\.([0-9]{1,37}))?")
_WIDER = {"date": ("timestamp[us]", "timestamp[us,UTC]"), "timestamp": ("timestamp[us]",), "time": ("time[ns]",)}
PINNED = "its type was inferred from the file when the pipeline was compiled"
REFRESH = "run 'osiris compile FILE --refresh' (sample: all if the value is rare)"
"""How to infer a text file's types again."""
FEW = 256
_SHOWN = 60


@dataclass(slots=True)
class TypeInference:
    """The type of a column, inferred from its cells so far; `moment`: it must be a date or timestamp."""

    moment: bool = False
    kinds: tuple[str, ...] = ()
    seen: bool = False
    whole: int = 0
    scale: int = 0
    fraction: int = 0
    wide: bool = False
    exponent: bool = False
    nanoseconds: bool = True

    def __post_init__(self) -> None:
        self.kinds = _MOMENTS if self.moment else tuple(_GUESSED)

    def update(self, cells: pa.Array) -> int | None:
        """Add cells; with `moment`, return the index of the cell that rules out the last candidate, if any."""
        if cells.null_count == len(cells):
            return None
        if not self.seen and not self.moment:
            self._look_at_a_few(cells)
        self.seen = True
        before = self.kinds
        self.kinds = tuple(kind for kind in before if self._may_be(kind, cells))
        if self.moment and not self.kinds:
            tried = (Spelling(str(_GUESSED[kind]), declared=True) for kind in before)
            return max(next(spelling.misfits(_microseconds(cells))) for spelling in tried)
        self._measure(cells)
        return None

    def _look_at_a_few(self, cells: pa.Array) -> None:
        """Rule out most kinds by the first cells: testing all kinds on all cells would be slow."""
        few = cells[:FEW]
        self.kinds = tuple(kind for kind in self.kinds if self._may_be(kind, few))

    def _may_be(self, kind: str, cells: pa.Array) -> bool:
        probe = _GUESSED[kind]
        if probe is None:
            return pc.all(pc.match_substring_regex(cells, whole(PATTERNS[kind]))).as_py() is True
        return (
            Spelling(probe, declared=self.moment).read(_microseconds(cells) if kind in _MOMENTS else cells) is not None
        )

    def _measure(self, cells: pa.Array) -> None:
        if "integer" in self.kinds:
            self.wide = self.wide or Spelling("int64").read(cells) is None
        if "decimal" in self.kinds:
            self._measure_decimals(cells)
        if "double" in self.kinds:
            self.exponent = self.exponent or bool(pc.any(pc.match_substring_regex(cells, "[eE]")).as_py())
        if "time" in self.kinds:
            self.fraction = max(self.fraction, _longest_fraction(cells))
        for kind, probe in (("timestamp", "timestamp[ns]"), ("instant", "timestamp[ns,UTC]")):
            if kind in self.kinds:
                self.fraction = max(self.fraction, _longest_fraction(cells))
                self.nanoseconds = self.nanoseconds and Spelling(probe, declared=True).read(cells) is not None

    def _measure_decimals(self, cells: pa.Array) -> None:
        digits = pc.utf8_ltrim(cells, "-")
        point = pc.find_substring(digits, ".")
        length = pc.binary_length(digits)
        integer = pc.if_else(pc.less(point, 0), length, point)
        fraction = pc.subtract(pc.subtract(length, integer), pa.scalar(1, pa.int32()))
        self.whole = max(self.whole, pc.max(pc.if_else(pc.starts_with(digits, "0"), 0, integer)).as_py())
        self.scale = max(self.scale, pc.max(fraction).as_py())

    def type(self) -> str:
        """Return the type of the column."""
        if not self.seen:
            return "timestamp[us]" if self.moment else "utf8"
        return next((name for kind in self.kinds if (name := self._named(kind))), "utf8")

    def _named(self, kind: str) -> str | None:
        unit = "ns" if self.fraction > 6 else "us"
        too_wide = self.whole + self.scale > MAX_DIGITS
        out_of_range = unit == "ns" and not self.nanoseconds
        names: dict[str, str | None] = {
            "integer": None if self.wide else "int64",
            "decimal": None if too_wide else f"decimal({MAX_DIGITS},{self.scale})",
            "double": "float64" if self.exponent else None,
            "time": f"time[{unit}]",
            "timestamp": None if out_of_range else f"timestamp[{unit}]",
            "instant": None if out_of_range else f"timestamp[{unit},UTC]",
        }
        return names.get(kind, kind)


def _microseconds(cells: pa.Array) -> pa.Array:
    """Return the texts without digits beyond a microsecond, so that any year can be tested."""
    return pc.replace_substring_regex(cells, r"(\.\d{6})\d{1,3}", r"\1")


def _longest_fraction(cells: pa.Array) -> int:
    fractions = pc.replace_substring_regex(cells, r"\A[^.]*\.?(\d*).*\z", r"\1")
    return pc.max(pc.binary_length(fractions)).as_py() or 0


def wider_type(value: str, kind: str) -> str | None:
    """Return the type that represents all values of a type and a further cell; None if only text does."""
    name = kind.partition("(")[0].partition("[")[0]
    number, candidates = _NUMBER.fullmatch(value), _WIDER.get(name, ())
    if name.startswith(("int", "uint", "decimal")):
        before = kind.rpartition(",")[2].rstrip(")") if name == "decimal" else "0"
        scale = max(int(before), len((number and number[1]) or ""))
        candidates = (f"decimal({MAX_DIGITS},{scale})",) if number else ("float64",)
    readable = (each for each in candidates if Spelling(each, declared=name in _WIDER).read(pa.array([value])))
    return next(readable, None)


def cut(text: str) -> str:
    """Return a text shortened for a message."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
