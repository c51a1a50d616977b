"""The reserved config key `retry`: when a step that failed is run again, and after how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.codes import CODES
from osiris.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

DEFAULTS: dict[str, JsonValue] = {"max": 2, "backoff": "1s", "on": ["unavailable"]}

LONGEST_PAUSE = 300.0
"""Seconds after which a pause grows no more."""

_UNAVAILABLE = 3


def pause_before(retry: Mapping[str, JsonValue] | None, found: Sequence[Diagnostic], failures: int) -> float | None:
    """Return the seconds after which a step runs again that has failed `failures` times, last with `found`.

    None if it does not: it has no `retry`, has failed too often, or not in a way that was asked for. The pause doubles.
    """
    if retry is None:
        return None
    wanted = DEFAULTS | dict(retry)
    if failures > wanted["max"] or not any(_is_asked_for(wanted["on"], item.code) for item in found):
        return None
    pause: float = (parse_duration(wanted["backoff"]) or 0.0) * 2 ** (failures - 1)
    return min(pause, LONGEST_PAUSE)


def _is_asked_for(kinds: Sequence[str], code: str) -> bool:
    return code in kinds or ("unavailable" in kinds and CODES[code].exit_code == _UNAVAILABLE)
