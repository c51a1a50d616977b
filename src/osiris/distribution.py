"""Installed distributions: our own, others, extras, entry points, and loading of third-party code.

Metadata is read directly from the folders of `sys.path`, as importing `importlib.metadata` takes longer; that is used
only for other kinds of installation, such as zip files.
"""

# ruff: noqa: PTH113, PTH118, PTH119, PTH123, PTH208  creating a Path for each of hundreds of folders is slow

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
    from collections.abc import Callable, Collection, Iterator, Mapping
    from importlib.metadata import EntryPoint

LoadedT = TypeVar("LoadedT")

DISTRIBUTION = "osiris-data"
"""The name of the distribution; module and command are always named osiris."""

FOREIGN = "osiris"
"""Another author's distribution, which a package gets by requiring the name of our command."""


class NotLoadedError(Exception):
    """Code of a package cannot be loaded; its text is type and message of the exception."""


def load_foreign(load: Callable[[], LoadedT]) -> LoadedT:
    """Return the result of `load`, which runs third-party code; converts any exception to NotLoadedError."""
    try:
        return load()
    except Exception as error:  # noqa: BLE001  third-party code may raise anything
        raise NotLoadedError(f"{type(error).__name__}: {error}") from None


def ask_process(module: str, message: object, timeout: float, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the last line that one of our modules prints for a message; None if it takes longer.

    The module gets the message as JSON from standard input, and runs third-party code that is slow to import, or that
    changes what other code of its process uses. The line is empty if that code ended the process. `timeout` is in
    seconds; `environ` is added to the environment.
    """
    import json
    import subprocess

    command = [sys.executable, "-P", "-m", module]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(message).encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(environ or {})},
        )
    except subprocess.TimeoutExpired:
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
    return lines[-1] if lines else ""


def own_version() -> str:
    """Return our installed version; raises PackageNotFoundError if Osiris is not installed."""
    installed = _version_in_folders(DISTRIBUTION)
    if installed is None:
        from importlib.metadata import version

        return version(DISTRIBUTION)
    return installed


def _requirements(distribution: str) -> list[str]:
    """Return the requirements of an installed distribution, one per line; empty if it is not installed."""
    from importlib.metadata import PackageNotFoundError, requires

    with suppress(PackageNotFoundError):
        return requires(distribution) or []
    return []


def install_command(extra: str) -> str:
    """Return the command that installs the libraries of an extra, by their own names."""
    marks = (f"extra == '{extra}'", f'extra == "{extra}"')
    requirements = [line.partition(";")[0].strip() for line in _requirements(DISTRIBUTION) if line.endswith(marks)]
    return f"pip install {shlex.join(requirements or [extra])}"


def requires_foreign(distribution: str) -> bool:
    """Return whether an installed distribution requires `FOREIGN` instead of ours."""
    names = (re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in _requirements(distribution))
    return FOREIGN in names


@cache
def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    installed = _version_in_folders(distribution)
    if installed is None:
        import importlib.metadata

        with suppress(importlib.metadata.PackageNotFoundError, ValueError):  # ValueError for an invalid name
            return importlib.metadata.version(distribution)
    return installed


def _version_in_folders(distribution: str) -> str | None:
    """Return the version from a metadata folder; None if there is none, or `sys.path` has more than folders."""
    folder = _folders_of_metadata().get(_normalized(distribution)) if _only_folders() else None
    return _metadata_field(folder, "Version") if folder else None


def installed_entries(groups: Collection[str]) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield group, name, value and distribution of all entry points of these groups; reads each list once."""
    if _only_folders():
        for folder in _folders_of_metadata().values():
            for entry in _entries_in(folder, groups):
                yield *entry, _metadata_field(folder, "Name") or _name_from_library(folder)
        return
    from importlib.metadata import entry_points

    for each in (each for group in groups for each in entry_points(group=group)):
        yield each.group, each.name, each.value.strip(), each.dist.name if each.dist else None


def registered(group: str, name: str) -> list[EntryPoint]:
    """Return the entry points of a name in a group, by value: more than one if packages register different values."""
    from importlib.metadata import entry_points

    entries = {entry.value: entry for entry in entry_points(group=group, name=name)}
    return [entries[value] for value in sorted(entries)]


def _only_folders() -> bool:
    """Return whether everything is installed in folders of `sys.path`, without zip files and eggs."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    return finders == [PathFinder] and not any(map(_is_archive, sys.path))


def _is_archive(place: str) -> bool:
    return os.path.basename(place).lower().endswith(".egg") or os.path.isfile(place)


def _folders_of_metadata() -> dict[str, str]:
    """Return the metadata folder of each installed distribution, by normalized name; the first one counts."""
    folders: dict[str, str] = {}
    for place in sys.path:
        for child in _children(place):
            stem, _, ending = child.rpartition(".")
            if ending.lower() in ("dist-info", "egg-info"):
                folders.setdefault(_normalized(stem.partition("-")[0]), os.path.join(place, child))
    return folders


def _children(place: str) -> list[str]:
    try:
        return os.listdir(place or os.curdir)
    except OSError:
        return []


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _entries_in(folder: str, groups: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield group, name and value of the entry points of a metadata folder, if it has any."""
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


def _metadata_field(folder: str, field: str) -> str | None:
    """Return a field of a distribution's METADATA header; None if it is missing."""
    with suppress(OSError), open(os.path.join(folder, "METADATA"), encoding="utf-8") as file:
        head = takewhile(str.strip, file)
        return next((line.partition(":")[2].strip() for line in head if line.startswith(f"{field}:")), None)
    return None


def _name_from_library(folder: str) -> str | None:
    """Return the name of a distribution with metadata in an unusual place."""
    from importlib.metadata import Distribution
    from pathlib import Path

    name: str | None = Distribution.at(Path(folder)).name
    return name
