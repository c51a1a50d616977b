"""The reserved config key `retry`: when a failed step is retried, and after how long."""

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
"""Upper limit of a pause, in seconds."""

_UNAVAILABLE = 3


def pause_before(retry: Mapping[str, JsonValue] | None, problems: Sequence[Diagnostic], failures: int) -> float | None:
    """Return the seconds to wait before a step is retried that has failed `failures` times, last with `problems`.

    The pause doubles each time. None for no retry: without `retry`, after `max` failures, or for codes not in `on`.
    """
    if retry is None:
        return None
    policy = DEFAULTS | dict(retry)
    if failures > policy["max"] or not any(_matches(policy["on"], item.code) for item in problems):
        return None
    pause: float = (parse_duration(policy["backoff"]) or 0.0) * 2 ** (failures - 1)
    return min(pause, LONGEST_PAUSE)


def _matches(kinds: Sequence[str], code: str) -> bool:
    return code in kinds or ("unavailable" in kinds and CODES[code].exit_code == _UNAVAILABLE)
