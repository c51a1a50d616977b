"""Exact versions of the libraries that touch the data."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
