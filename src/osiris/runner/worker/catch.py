"""Where the worker meets what may raise anything: a stranger's driver, and our own mistakes, as the host must learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def caught(action: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Return the answer of a call, or None and what it raised; a call that is stopped stays so."""
    try:
        return action(), None
    except Exception as error:  # noqa: BLE001  a stranger's driver may raise anything
        return None, error
