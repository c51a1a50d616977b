"""What canonical JSON can carry, and how a value is brought into that form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import JsonValue


def plain(value: JsonValue) -> JsonValue:
    """Return a value made of dicts and lists only, as canonical bytes need it."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def spelled(value: JsonValue) -> JsonValue:
    """Return a parameter's value, as text inside an object where JSON cannot carry the number."""
    if isinstance(value, (list, tuple)):
        return [spelled(item) for item in value]
    if is_beyond_json(value):
        return {"integer" if isinstance(value, int) else "number": str(value)}
    return value


def unspellable(value: JsonValue, pointer: str) -> Iterator[tuple[str, str]]:
    """Return (pointer, problem) for each value that canonical JSON cannot carry exactly."""
    if isinstance(value, (dict, list, tuple)) or hasattr(value, "items"):
        pairs = enumerate(value) if isinstance(value, (list, tuple)) else value.items()
        for key, item in pairs:
            yield from unspellable(item, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield pointer, "must be a finite number"
    elif is_beyond_json(value):
        yield pointer, "is a number that JSON cannot carry exactly (beyond 2**53); write it in quotes"
    elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        yield pointer, "holds half of a surrogate pair, which is not a character"


def is_beyond_json(value: JsonValue) -> bool:
    """Tell whether a number is whole and too large to be read back from JSON as it was written."""
    return (isinstance(value, int) or (isinstance(value, float) and value.is_integer())) and abs(value) >= 1 << 53
