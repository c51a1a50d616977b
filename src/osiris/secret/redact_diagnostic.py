"""Diagnostics as they may be told: the last line of defence for what a message quotes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.secret.literals import conceal, find_literal_secrets, sounds_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic


def concealed(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic that repeats no secret, whatever it quotes."""
    pointer = _plain(item.location.pointer or "")
    at = item.location if conceal(pointer) == pointer else replace(item.location, pointer=None)
    fix = item.fix if all(map(_is_open, item.fix)) else ()
    return replace(item, message=conceal(item.message), hint=item.hint and conceal(item.hint), location=at, fix=fix)


def _is_open(operation: Mapping[str, Any]) -> bool:
    """Tell whether a part of a fix repeats no secret."""
    key, value = str(operation.get("path", "")).rpartition("/")[2], operation.get("value")
    texts = [_plain(str(operation.get(name, ""))) for name in ("path", "from", "old")]
    if any(conceal(text) != text for text in texts):
        return False
    return value is None or not (find_literal_secrets(value, f"/{key}") or (key and sounds_secret(key)))


def _plain(pointer: str) -> str:
    """Return a JSON Pointer as the words that it is made of were written."""
    return pointer.replace("~1", "/").replace("~0", "~")
