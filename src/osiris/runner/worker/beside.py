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
    """Return a module of a family: `what` in its package, or beside it as `<module>_<what>`; None if there is none."""
    entries: Any = importlib.metadata.entry_points(group=FAMILIES, name=family)
    target = next((entry.value for entry in entries), None)
    spec = importlib.util.find_spec(target) if target else None
    if spec is None:
        return None
    name = f"{target}.{what}" if spec.submodule_search_locations else f"{target}_{what}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
