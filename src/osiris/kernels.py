"""Compiled twins of functions that touch every byte, from the package osiris-kernels where that is installed.

A twin has the arguments of the Python function, and gives exactly its result, or None where it leaves a case to it. So
results never depend on what is installed; tests compare both.
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
"""The arguments and results that the twins have here; a package of another version is left alone."""

SWITCH = "OSIRIS_KERNELS"
"""The variable that is "off" where twins are to be left alone."""

TWINS: dict[str, Callable[..., Any]] = {}
"""The Python function of each name that may have a compiled twin."""


@cache
def installed() -> ModuleType | None:
    """Return the package, if there is one of this version and OSIRIS_KERNELS is not "off"."""
    if os.environ.get(SWITCH) == "off":
        return None
    try:
        package = import_module("osiris_kernels")
    except (ImportError, OSError):  # the latter where its library is one for another machine
        return None
    return package if getattr(package, "VERSION", None) == VERSION else None


def compiled(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return what gives a function its compiled twin of that name, if one is installed."""

    def choose(python: Callable[P, T]) -> Callable[P, T]:
        TWINS[name] = python
        twin = getattr(installed(), name, None)
        if twin is None:
            return python

        @wraps(python)
        def either(*args: P.args, **kwargs: P.kwargs) -> T:
            made = twin(*args, **kwargs)
            return python(*args, **kwargs) if made is None else made

        return either

    return choose
