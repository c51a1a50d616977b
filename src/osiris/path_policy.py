"""Where steps may read and write files. One home for the rules: compiling asks early, whoever opens a file asks again.

A path is named by whoever writes a pipeline, which may be an agent that was talked into it. So:

1. What is written has a suffix of its format: no other program runs it. Names that other tools read are left alone.
2. Hidden files and folders are left alone, and so are the files and folders of the project that decide what runs.
3. Outside the project only what `paths.read` and `paths.write` of osiris.yaml list is used, and never what the
   operating system shows of itself as files.

The rules are about the real path, links followed. What is opened is then opened without following any link
(`osiris.files.open_real`), so nobody changes it in between.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Literal, NoReturn

    from osiris.model import JsonValue

    Format = Literal["csv", "json", "parquet", "folder", "database"]

MARKER = "osiris.yaml"
ENV_FILE = ".env"
CONNECTIONS_FILE = "osiris_connections.yaml"
LOCK_FILE = "osiris.lock"
STATE = ".osiris"
LOGS = "logs"
PIPELINES = "pipelines"
BUILD = "build"

_KEPT = {
    ENV_FILE: "it holds secrets",
    MARKER: "it holds the settings of the project",
    CONNECTIONS_FILE: "it holds the connections of the project",
    LOCK_FILE: "it holds the pinned schemas",
    STATE: "that folder holds the state of the project",
}
"""Neither read nor written."""

_READ_ONLY = {
    LOGS: "that folder holds the records of runs, and steps may only read them",
    PIPELINES: "that folder holds pipelines, and steps may only read them",
    BUILD: "that folder holds compiled plans, and steps may only read them",
}
_HIDDEN = "it is hidden, or lies in a hidden folder"
_KEY = "a connection has its key there"

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt"),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet",),
    "database": (".duckdb", ".db", ".sqlite", ".sqlite3"),
}
DATABASE_FIELDS = dict.fromkeys(("duckdb", "sqlite"), ("path", "database", "file"))
"""Fields of connections that may tell where a database is, by family."""

_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
_TEXTS = ("csv", "json")
"""Formats that may be packed; which of these a writer can, it says itself."""

_OF_TOOLS = re.compile(
    r"""
    .*/(requirements|constraints)/[^/]+\.txt | .*/[\w.-]*(requirements|constraints)[\w.-]*\.txt
    | .*/(cmakelists|cmakecache|conanfile|runtime|entry_points|top_level|meson_options|packages|apt)\.txt
    | .*/[\w.-]+\.config\.json | .*/jupyter\w*_config\.json
    | .*/(package|package-lock|npm-shrinkwrap|composer|bower|lerna|rush|nx|turbo|workspace|project|angular|nest-cli
      |tsconfig|jsconfig|tslint|jslint|jshint|eslint|prettier|biome|babel|deno|bun|pyrightconfig|jest|vitest|cypress
      |nodemon|renovate|lint-staged|typedoc|api-extractor|electron-builder|manifest|app|eas|vercel|now|netlify|firebase
      |serverless|amplify|cdk|samconfig|docker-compose|daemon|devcontainer|mcp|settings|launch|tasks|extensions
      |keybindings|appsettings|launchsettings|local|global|host|function|dataform|dbt_project|kernel|wrangler|elm
      |vcpkg|vcpkg-configuration|cmakepresets|cmakeuserpresets|compile_commands)(\.[\w-]+)*\.json
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""Names under which other programs look for what to do: package managers, builders, editors, servers."""

_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))


def real_path(path: Path) -> Path:
    """Return a path with its links followed; of one on whose way is a link that may not be read, the way to that."""
    try:
        return Path(os.path.realpath(path))
    except OSError as error:  # below /proc such links are common
        return Path(str(error.filename))


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """What a project lets its steps use outside of it, as osiris.yaml lists it, and files in which keys lie."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    keys: tuple[Path, ...] = ()

    @classmethod
    def of(cls, lists: Mapping[str, JsonValue], keys: tuple[Path, ...] = ()) -> PathPolicy:
        """Return the policy with the lists `read` and `write`, as far as they are given."""
        return cls(tuple(lists.get("read") or ()), tuple(lists.get("write") or ()), keys)

    def readable(self, root: Path, path: Path) -> Path:
        """Return the real path of what a step of the project at `root` reads; nothing needs to exist.

        Fails with DRV049, DRV059 or DRV062.
        """
        real = real_path(path)
        _Asked(self, root, path, writing=False).check(real)
        return real

    def writable(self, root: Path, path: Path, kind: Format | None) -> Path:
        """Return the real path of what a step writes in a format; a file that is a link is replaced, not followed.

        Fails with DRV049 or DRV059 to DRV062. Without a format any suffix will do.
        """
        asked, real = _Asked(self, root, path, writing=True), real_path(path)
        asked.check(real)
        asked.check_name(real, kind)
        if kind not in ("folder", "database"):
            real = real_path(path.parent) / path.name
            asked.check(real)
            asked.check_name(real, kind)
        return real


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question: may a step of the project at `root` use this path, as it was given."""

    policy: PathPolicy
    root: Path
    path: Path
    writing: bool

    def check(self, real: Path) -> None:
        """Fail unless the real path may be used, whatever its name ends with."""
        home = real_path(self.root)
        if _is_system(self.path) or _is_system(real):
            fail("DRV062", path=self._shown())
        base = home if real.is_relative_to(home) else self._listed(real)
        if why := self._kept(real, home):
            fail("DRV049", path=self._shown(), why=why)
        if base is None:
            self._fail_outside(real)
        if any(part.startswith(".") for part in real.relative_to(base).parts):
            fail("DRV049", path=self._shown(), why=_HIDDEN)
        if why := self._linked(real, home):
            fail("DRV049", path=self._shown(), why=why)

    def check_name(self, real: Path, kind: Format | None) -> None:
        """Fail with DRV060 or DRV061 for a name that a file of the format should not have."""
        home = real_path(self.root)
        if kind == "folder":
            if real == home:
                fail("DRV061", path=self._shown(), why="it is the folder of the project itself")
            return
        name = real.name.lower()
        plain = next((name.removesuffix(end) for end in _PACKED if name.endswith(end)), name)
        plain = plain if kind in _TEXTS else name
        if kind and not plain.endswith(SUFFIXES[kind]):
            fail("DRV060", path=self._shown(), suffixes=_spoken(kind))
        if _OF_TOOLS.fullmatch(real.as_posix()):
            fail("DRV061", path=self._shown(), why="other programs read a file of that name")
        if name.endswith(".json") and real.parent == home:
            fail("DRV061", path=self._shown(), why="other programs look for JSON in the folder of the project itself")

    def _kept(self, real: Path, home: Path) -> str | None:
        """Return why a file that belongs to the project is kept from steps; None if it is not."""
        if any(real == real_path(key) for key in self.policy.keys):
            return _KEY
        kept = {**_KEPT, **(_READ_ONLY if self.writing else {})}
        first = real.relative_to(home).parts[:1] if real.is_relative_to(home) else ()
        for name, why in kept.items():
            if real.is_relative_to(real_path(home / name)) or (first and first[0].casefold() == name):
                return why
        return None

    def _listed(self, real: Path) -> Path | None:
        """Return the listed folder (or file) that a path lies in."""
        listed = (real_path(self.root / text) for text in self._list())
        return next((folder for folder in listed if real.is_relative_to(folder)), None)

    def _list(self) -> tuple[str, ...]:
        return self.policy.write if self.writing else self.policy.read

    def _fail_outside(self, real: Path) -> NoReturn:
        key = "write" if self.writing else "read"
        folder = real if _is_folder(real) else next(each for each in real.parents if not _is_pattern(str(each)))
        lists = {"read": [*self.policy.read], "write": [*self.policy.write]}
        lists[key].append(str(folder))
        line = ", ".join(f"{name}: {json.dumps(paths, ensure_ascii=False)}" for name, paths in lists.items() if paths)
        verb = "change" if self.policy.read or self.policy.write else "add"
        fail("DRV059", path=self._shown(), key=f"paths.{key}", verb=verb, line=f"paths: {{{line}}}")

    def _linked(self, real: Path, home: Path) -> str | None:
        """Return why a file may not be used that has another name too: one that is kept from steps."""
        try:
            seen = real.stat()
        except OSError:
            return None
        if seen.st_nlink < 2 or _is_folder(real):
            return None
        kept = [home / name for name in _KEPT] + ([home / name for name in _READ_ONLY] if self.writing else [])
        hidden = [each for each in home.iterdir() if each.name.startswith(".")]
        names = (other for top in (*kept, *hidden, *self.policy.keys) for other in _all_below(top))
        same = any((other.st_dev, other.st_ino) == (seen.st_dev, seen.st_ino) for other in names)
        return "it is another name of a file that is kept from steps" if same else None

    def _shown(self) -> Path:
        return self.path.relative_to(self.root) if self.path.is_relative_to(self.root) else self.path


def _all_below(top: Path) -> Iterator[os.stat_result]:
    """Yield what there is of a file, or of all files below a folder."""
    try:
        if not _is_folder(top):
            yield top.stat()
            return
        with os.scandir(top) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _all_below(Path(entry))
        else:
            yield entry.stat(follow_symlinks=False)


def _is_system(path: Path) -> bool:
    """Tell whether a path leads to what the system shows of itself, under whatever name that is mounted."""
    if any(Path(os.path.normpath(path)).is_relative_to(folder) for folder in _SYSTEM):
        return True
    try:
        return path.stat().st_dev in _devices()
    except OSError:
        return False


def _devices() -> set[int]:
    usual = Path("/").stat().st_dev
    return {folder.stat().st_dev for folder in _SYSTEM if folder.is_dir()} - {usual}


def _is_folder(path: Path) -> bool:
    """Tell whether there is a folder, as far as anybody may see that: Path.is_dir raises where he may not."""
    return os.path.isdir(path)  # noqa: PTH112


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _spoken(kind: str) -> str:
    *others, last = SUFFIXES[kind]
    packed = ", packed or not" if kind in _TEXTS else ""
    return f"{', '.join(others)} or {last}{packed}" if others else last + packed


def format_of(component: str, path: str) -> Format | None:
    """Return the format in which a component of ours writes to a path; None for one that is not known here."""
    family, _, name = component.partition(".")
    if family in DATABASE_FIELDS:
        return "database"
    if family != "filesystem" or not name.endswith("_writer"):
        return None
    if path.endswith("/"):
        return "folder"
    return cast("Format | None", name.removesuffix("_writer") if name.removesuffix("_writer") in SUFFIXES else None)


def key_files(root: Path, fields: Mapping[str, JsonValue], schema: Mapping[str, JsonValue]) -> Iterator[Path]:
    """Yield the files that hold secrets of a connection; `schema` is its family's, where `x-content` marks them."""
    for name, told in schema.get("properties", {}).items():
        text = fields.get(name)
        if "x-content" in told and isinstance(text, str) and text:
            yield root / text
