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


def pause_before(
    retry: Mapping[str, JsonValue] | None, diagnostics: Sequence[Diagnostic], failures: int
) -> float | None:
    """Return the seconds to wait before a step is retried that has failed `failures` times, last with `diagnostics`.

    The pause doubles each time. None for no retry: without `retry`, after `max` failures, or for codes not in `on`.
    """
    if retry is None:
        return None
    wanted = DEFAULTS | dict(retry)
    if failures > wanted["max"] or not any(_is_asked_for(wanted["on"], item.code) for item in diagnostics):
        return None
    pause: float = (parse_duration(wanted["backoff"]) or 0.0) * 2 ** (failures - 1)
    return min(pause, LONGEST_PAUSE)


def _is_asked_for(kinds: Sequence[str], code: str) -> bool:
    return code in kinds or ("unavailable" in kinds and CODES[code].exit_code == _UNAVAILABLE)
