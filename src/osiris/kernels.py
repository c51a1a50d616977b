"""Compiled twins of functions that process every byte, from the package osiris-kernels if that is installed.

A twin has the arguments of the Python function and returns exactly its result, or None for a case that it does not
handle. So results do not depend on what is installed; tests compare both.
"""

from __future__ import annotations

import os
from functools import cache, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    P = ParamSpec("P")
    T = TypeVar("T")

VERSION = 1
"""The version of the twins' arguments and results; a package of another version is not used."""

SWITCH = "OSIRIS_KERNELS"
"""The environment variable that disables the twins if it is "off"."""

TWINS: dict[str, Callable[..., Any]] = {}
"""The Python functions that may have a compiled twin, by name."""


@cache
def installed() -> ModuleType | None:
    """Return the package if it is installed in this version and OSIRIS_KERNELS is not "off"; else None."""
    if os.environ.get(SWITCH) == "off":
        return None
    try:
        package = import_module("osiris_kernels")
    except (ImportError, OSError):  # OSError: its library is for another machine
        return None
    return package if getattr(package, "VERSION", None) == VERSION else None


def compiled(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that replaces a function by its compiled twin of that name, if one is installed."""

    def choose(python: Callable[P, T]) -> Callable[P, T]:
        TWINS[name] = python
        twin = getattr(installed(), name, None)
        if twin is None:
            return python

        @wraps(python)
        def either(*args: P.args, **kwargs: P.kwargs) -> T:
            result = twin(*args, **kwargs)
            return python(*args, **kwargs) if result is None else result

        return either

    return choose
