"""Sizes and durations in readable form: `2GB`, `512MiB`, `90s`, `6h`."""

from __future__ import annotations

import re

SIZE_PATTERN = r"^[0-9]+ ?([kKMGT]i?)?B$"
DURATION_PATTERN = r"^[0-9]+ ?(ms|s|m|h|d)$"

_MULTIPLES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(value: object) -> int | None:
    """Return bytes for `2GB` (10**9), `2GiB` (2**30) or a whole number of bytes; None if it is not a size above 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    if not isinstance(value, str) or not re.fullmatch(SIZE_PATTERN, value):
        return None
    number, prefix = _split(value.removesuffix("B"))
    factor = _BINARY[prefix[0]] if prefix.endswith("i") else _MULTIPLES[prefix]
    return number * factor or None


def parse_duration(value: object) -> float | None:
    """Return seconds for `250ms`, `90s`, `5m`, `6h`, `2d` or a number of seconds; None if it is not a time above 0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value < float("inf") else None
    if not isinstance(value, str) or not re.fullmatch(DURATION_PATTERN, value):
        return None
    number, unit = _split(value)
    return number * _SECONDS[unit] or None


def duration_text(seconds: float) -> str:
    """Return a readable duration in its two largest units: `250 ms`, `10 s`, `1 min 30 s`, `6 h`."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{round(seconds, 1 if seconds < 9.95 else None):g} s"
    rest, names = round(seconds), ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next(index for index, (size, _) in enumerate(names) if rest >= size)
    parts = []
    for size, name in names[first : first + 2]:
        count, rest = divmod(rest, size)
        parts += [f"{count} {name}"] if count else []
    return " ".join(parts)


def _split(text: str) -> tuple[int, str]:
    unit = text.lstrip("0123456789")
    return int(text[: len(text) - len(unit)]), unit.strip()


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 step`, `1,024 steps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
