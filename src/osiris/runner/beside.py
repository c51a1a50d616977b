"""Finds what lies beside a family's module: its doctor, and how it is discovered."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, Any

from osiris.registry import FAMILIES

if TYPE_CHECKING:
    from types import ModuleType


def beside(family: str, what: str) -> ModuleType | None:
    """Return the module of that family whose name ends in `_<what>`; None if there is none."""
    entries: Any = importlib.metadata.entry_points(group=FAMILIES, name=family)
    name = next((f"{entry.value}_{what}" for entry in entries), None)
    if name is None or importlib.util.find_spec(name) is None:
        return None
    return importlib.import_module(name)
