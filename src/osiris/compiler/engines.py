"""Exact versions of the libraries that touch the data."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.model import ComponentSpec

_ALWAYS_PINNED = ("pyarrow",)


def pinned_engines(specs: Iterable[ComponentSpec]) -> set[str]:
    """Return the distributions whose versions a plan with these components pins."""
    return {*_ALWAYS_PINNED, *(name for spec in specs for name in spec.requirements)}


@cache
def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):  # the latter for a name that no distribution has
        return None
