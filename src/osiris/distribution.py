"""Under which name Osiris is installed, what else is, what its extras are made of, and how code of others is loaded.

What is installed is read from the folders of `sys.path` themselves, as `importlib.metadata` reads it, which takes
longer to be imported than this: it is asked only where something is installed in another way, as in a zip file.
"""

# ruff: noqa: PTH113, PTH118, PTH119, PTH123, PTH208  a Path for each of hundreds of folders takes time

from __future__ import annotations

import os
import re
import shlex
import sys
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

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
    found = _version_in_folders(DISTRIBUTION)
    if found is None:
        from importlib.metadata import version

        return version(DISTRIBUTION)
    return found


def _requirements(distribution: str) -> list[str]:
    """Return what an installed distribution requires, a line each; nothing if it is not there."""
    from importlib.metadata import PackageNotFoundError, requires

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
    found = _version_in_folders(distribution)
    if found is None:
        import importlib.metadata

        with suppress(importlib.metadata.PackageNotFoundError, ValueError):  # the latter for a name that none has
            return importlib.metadata.version(distribution)
    return found


def _version_in_folders(distribution: str) -> str | None:
    """Return the version that a folder tells; None if there is none, or what is installed is not only in folders."""
    folder = _folders_of_metadata().get(_normalized(distribution)) if _only_folders() else None
    return _told(folder, "Version") if folder else None


def installed_entries(groups: Collection[str]) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield group, name, value and distribution of all entry points of some groups; reads their lists once."""
    if _only_folders():
        for folder in _folders_of_metadata().values():
            for entry in _entries_in(folder, groups):
                yield *entry, _told(folder, "Name") or _told_by_library(folder)
        return
    from importlib.metadata import entry_points

    for each in (each for group in groups for each in entry_points(group=group)):
        yield each.group, each.name, each.value.strip(), each.dist.name if each.dist else None


def _only_folders() -> bool:
    """Tell whether all that is installed lies in folders of `sys.path`, as it does but for zip files and eggs."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    return finders == [PathFinder] and not any(map(_is_archive, sys.path))


def _is_archive(place: str) -> bool:
    return os.path.basename(place).lower().endswith(".egg") or os.path.isfile(place)


def _folders_of_metadata() -> dict[str, str]:
    """Return the folder that describes each installed distribution, by its normalized name; the first one counts."""
    found: dict[str, str] = {}
    for place in sys.path:
        for child in _children(place):
            stem, _, ending = child.rpartition(".")
            if ending.lower() in ("dist-info", "egg-info"):
                found.setdefault(_normalized(stem.partition("-")[0]), os.path.join(place, child))
    return found


def _children(place: str) -> list[str]:
    try:
        return os.listdir(place or os.curdir)
    except OSError:
        return []


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _entries_in(folder: str, groups: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield group, name and value of the lines in a folder's list of entry points, if it has one."""
    try:
        with open(os.path.join(folder, "entry_points.txt"), encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return
    group = ""
    for line in map(str.strip, text.splitlines() if any(map(text.__contains__, groups)) else ()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif group in groups and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()


def _told(folder: str, field: str) -> str | None:
    """Return what the head of a distribution's metadata tells; None if it does not."""
    with suppress(OSError), open(os.path.join(folder, "METADATA"), encoding="utf-8") as file:
        head = takewhile(str.strip, file)
        return next((line.partition(":")[2].strip() for line in head if line.startswith(f"{field}:")), None)
    return None


def _told_by_library(folder: str) -> str | None:
    """Return the name of a distribution whose metadata is not where it usually is."""
    from importlib.metadata import Distribution
    from pathlib import Path

    found: str | None = Distribution.at(Path(folder)).name
    return found
