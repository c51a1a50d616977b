"""Diagnostics as they may be told: the last line of defence for what a message quotes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.secret.literals import conceal

if TYPE_CHECKING:
    from osiris.errors import Diagnostic


def concealed(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic that repeats no secret, whatever it quotes."""
    pointer = (item.location.pointer or "").replace("~1", "/").replace("~0", "~")
    at = item.location if conceal(pointer) == pointer else replace(item.location, pointer=None)
    return replace(item, message=conceal(item.message), hint=item.hint and conceal(item.hint), location=at)
