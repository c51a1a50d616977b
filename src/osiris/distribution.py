"""Under which name Osiris is installed, what its extras are made of, and how code of other packages is loaded."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

LoadedT = TypeVar("LoadedT")

DISTRIBUTION = "osiris-data"
"""The name of the distribution; module and command are called osiris whatever it is."""

FOREIGN = "osiris"
"""A distribution of somebody else, which a package gets that requires what the command is called."""


class NotLoadedError(Exception):
    """Code of a package cannot be loaded; its text is the kind and the text of what was raised."""


def load_foreign(load: Callable[[], LoadedT]) -> LoadedT:
    """Return what `load` returns, which runs code of another package; raises NotLoadedError whatever that raises."""
    try:
        return load()
    except Exception as error:  # noqa: BLE001  a module of somebody else may raise anything
        raise NotLoadedError(f"{type(error).__name__}: {error}") from None


def own_version() -> str:
    """Return the version that is installed; raises PackageNotFoundError if only the files are there."""
    return version(DISTRIBUTION)


def _requirements(distribution: str) -> list[str]:
    """Return what an installed distribution requires, a line each; nothing if it is not there."""
    with suppress(PackageNotFoundError):
        return requires(distribution) or []
    return []


def install_command(extra: str) -> str:
    """Return the command that installs the libraries of an extra, by their own names: ours may be another's."""
    marks = (f"extra == '{extra}'", f'extra == "{extra}"')
    found = [line.partition(";")[0].strip() for line in _requirements(DISTRIBUTION) if line.endswith(marks)]
    return f"pip install {shlex.join(found or [extra])}"


def requires_foreign(distribution: str) -> bool:
    """Tell whether an installed distribution requires the one that has the name of our command, and is not ours."""
    names = (re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in _requirements(distribution))
    return FOREIGN in names


@cache
def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):  # the latter for a name that no distribution has
        return None
