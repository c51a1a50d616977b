"""A model that understands a request, and then makes one typical mistake."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Request = dict[str, Any]


def without_filter(request: Request) -> None:
    """Forget the last condition."""
    request["steps"][0]["filters"].pop()


def other_value(request: Request) -> None:
    """Compare with a different value."""
    request["steps"][0]["filters"][-1]["values"] = ["2024-01"]


def without_group(request: Request) -> None:
    """Forget the last column to group by."""
    request["steps"][0]["group"].pop()


def other_key(request: Request) -> None:
    """Join by two columns that merely have the same name."""
    request["steps"][0]["joins"][0]["on"] = [{"left": "id", "right": "id"}]


def kept_unmatched(request: Request) -> None:
    """Keep unmatched rows."""
    request["steps"][0]["joins"][0]["unmatched"] = "keep"


def other_measure(request: Request) -> None:
    """Use the average instead of the sum."""
    request["steps"][0]["measures"][-1]["function"] = "average"


MISTAKES: dict[str, Callable[[Request], None]] = {
    each.__name__: each
    for each in (without_filter, other_value, without_group, other_key, kept_unmatched, other_measure)
}


def careless(request: Request, mistake: str) -> Request:
    """Return a request with one mistake in it."""
    made = copy.deepcopy(request)
    MISTAKES[mistake](made)
    return made
