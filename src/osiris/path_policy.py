"""The rules on which files steps may read and write, checked when compiling and again when opening a file.

Paths come from the author of a pipeline, who may be a manipulated agent. So:

1. Written files must have a suffix of their format, so that no other program runs them, and not a name that other
   tools read.
2. Hidden files and folders, and the project's own configuration files and folders, are not accessible.
3. Outside of the project only folders in `paths.read` and `paths.write` of osiris.yaml are accessible, and never
   virtual file systems of the operating system.

The rules apply to the real path after following links. Files are then opened without following links
(`osiris.files.open_real`), so that they cannot be exchanged in between.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
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

TEMPORARY = re.compile(r"\..*\.osiris-[0-9a-f]{8}\.tmp", re.DOTALL)
"""Names of files that are being written. A new file has such a name besides its own for a moment."""

_PROTECTED = {
    ENV_FILE: "it holds secrets",
    MARKER: "it holds the settings of the project",
    CONNECTIONS_FILE: "it holds the connections of the project",
    LOCK_FILE: "it holds the pinned schemas",
    STATE: "that folder holds the state of the project",
}
"""Files and folders that steps may neither read nor write, with reasons."""

_READ_ONLY = {
    LOGS: "that folder holds the records of runs, and steps may only read them",
    PIPELINES: "that folder holds pipelines, and steps may only read them",
    BUILD: "that folder holds compiled plans, and steps may only read them",
}
_HIDDEN = "it is hidden or in a hidden folder"
_KEY = "a connection has its key there"

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt"),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet",),
    "database": (".duckdb", ".db", ".sqlite", ".sqlite3"),
}
_FORMATS: Mapping[str, str] = {"csv": "CSV", "json": "JSON", "parquet": "Parquet", "database": "a database"}
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".zip")
_TEXTS = ("csv", "json")
"""Formats that may be compressed; each writer checks which compressions it supports."""

_STEMS = """
package package-lock npm-shrinkwrap packages.lock composer auth bower lerna rush nx turbo workspace project angular
angular-cli nest-cli tsconfig jsconfig tslint jslint jshint eslint stylelint prettier biome rome dprint oxlintrc knip
cspell babel esbuild deno jsr bun import_map importmap pyrightconfig jest vitest cypress karma mocha nodemon ecosystem
pm2 renovate lint-staged lefthook typedoc jsdoc api-extractor electron-builder manifest app eas vercel lighthouserc
netlify railway nixpacks zeabur firebase serverless amplify cdk samconfig zappa_settings docker-compose compose
docker-bake dockerrun daemon devcontainer cloudbuild buildspec appspec imagedefinitions azure-pipelines azuredeploy
bicepconfig bitrise codemagic taskfile skaffold kustomization pulumi packer terraform mcp mcp_config mcp_settings
cline_mcp_settings claude_desktop_config gemini-extension opencode crush langgraph smithery c_cpp_properties
cppproperties cmakesettings omnisharp appsettings launchsettings global host function proxies bundleconfig
compilerconfig libman nswag dotnet-tools dub infection phpbench pint haxelib elm elm-package cookiecutter cruft
jupyter kernel page_config dataform dbt_project prefect wrangler vcpkg vcpkg-configuration cmakepresets cmakeuserpresets
compile_commands config configuration credentials secrets
"""
"""Stems of `.json` files, also with further parts: `tsconfig.json`, `tsconfig.build.json`."""

_NAMES = """
cmakelists.txt cmakecache.txt ctestcustom.txt conanfile.txt meson_options.txt meson.options.txt runtime.txt
entry_points.txt top_level.txt dependency_links.txt installed-files.txt sources.txt modules.txt packages.txt apt.txt
spec-file.txt cmdline.txt config.txt ir.model.access.csv ir.rule.csv
"""
"""Full names, in lower case."""

_PATTERNS = """
*.config.json *.conf.json *_config.json *.tf.json *.tfvars.json *.hcl.json *.pkr.json *.pkrvars.json
*.nomad.json *.template.json *.deps.json *.runtimeconfig.json *.code-workspace.json */group_vars/*.json
*/host_vars/*.json *requirements*.txt *constraints*.txt */requirements/*.txt */constraints/*.txt crontab*.txt
"""
"""Names with wildcards; those with `/` include folders."""


@cache
def _pattern() -> re.Pattern[str]:
    globs = (name if "/" in name else f"*/{name}" for name in _PATTERNS.split())
    return re.compile("|".join(map(translate, globs)))


def _is_tool_file(real: Path) -> bool:
    """Return whether other programs read instructions from a file of this name: package managers, builders, servers."""
    name = real.name.casefold()
    words = name.removesuffix(".json").split(".") if name.endswith(".json") else []
    stems = {".".join(words[:count]) for count in range(1, len(words) + 1)}
    return bool(name in _NAMES.split() or stems & {*_STEMS.split()} or _pattern().fullmatch(real.as_posix().casefold()))


_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev")))


def real_path(path: Path) -> Path:
    """Return a path with links followed, up to a link that cannot be read."""
    try:
        return Path(os.path.realpath(path))
    except OSError as error:  # below /proc such links are common
        return Path(str(error.filename))


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """The folders outside of the project that steps may read and write, as in osiris.yaml, and files with keys.

    `asked_read` and `asked_write` are further folders needed by other steps, so that a hint lists all of them at once.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    keys: tuple[Path, ...] = ()
    asked_read: tuple[str, ...] = ()
    asked_write: tuple[str, ...] = ()

    @classmethod
    def of(cls, lists: Mapping[str, JsonValue], keys: tuple[Path, ...] = ()) -> PathPolicy:
        """Return the policy with the lists `read` and `write`, if given."""
        return cls(tuple(lists.get("read") or ()), tuple(lists.get("write") or ()), keys)

    def requiring(self, root: Path, paths: Iterable[tuple[Path, bool]]) -> PathPolicy:
        """Return the policy with the folders that these paths need in the lists; each path with whether it is written.

        Nothing needs to exist.
        """
        needed: dict[bool, list[str]] = {False: [], True: []}
        for path, writing in paths:
            real, query = real_path(path), _PathQuery(self, root, path, writing=writing)
            if query.is_outside(real) and not _is_system(real):
                needed[writing].append(_folder_of(real))
        return replace(self, asked_read=tuple(needed[False]), asked_write=tuple(needed[True]))

    def readable(self, root: Path, path: Path) -> Path:
        """Return the real path of a file or folder to read; nothing needs to exist.

        Fails with DRV049, DRV059 or DRV062.
        """
        real = real_path(path)
        _PathQuery(self, root, path, writing=False).check(real)
        return real

    def writable(self, root: Path, path: Path, kind: Format | None) -> Path:
        """Return the real path of a file or folder to write; a file that is a link is replaced, not followed.

        Fails with DRV049 or DRV059 to DRV062. Without a format (`kind`), any suffix is valid.
        """
        query, real = _PathQuery(self, root, path, writing=True), real_path(path)
        query.check(real)
        query.check_name(real, kind)
        if kind not in ("folder", "database"):
            real = real_path(path.parent) / path.name
            query.check(real)
            query.check_name(real, kind)
        return real


@dataclass(frozen=True, slots=True)
class _PathQuery:
    """One access check: of a path as given, for a step of the project at `root`."""

    policy: PathPolicy
    root: Path
    path: Path
    writing: bool

    def check(self, real: Path) -> None:
        """Fail unless the real path is accessible, regardless of its suffix."""
        home = real_path(self.root)
        if _is_system(self.path) or _is_system(real):
            fail("DRV062", path=self._shown())
        base = home if real.is_relative_to(home) else self._allowed_folder(real)
        if why := self._why_protected(real, home):
            fail("DRV049", path=self._shown(), why=why)
        if base is None:
            self._fail_outside(real)
        if any(part.startswith(".") for part in real.relative_to(base).parts):
            fail("DRV049", path=self._shown(), why=_HIDDEN)
        if why := self._why_linked(real, home, base):
            fail("DRV049", path=self._shown(), why=why)

    def check_name(self, real: Path, kind: Format | None) -> None:
        """Fail with DRV060 or DRV061 for a name that is not allowed for a file of the format."""
        home = real_path(self.root)
        if kind == "folder":
            if real == home:
                fail("DRV061", path=self._shown(), why="it is the project's root folder")
            return
        name = real.name.lower()
        if kind and not _uncompressed_name(name, kind).endswith(SUFFIXES[kind]):
            fail("DRV060", path=self._shown(), suffixes=_suffix_text(kind), hint=_other_format(name))
        if _is_tool_file(real):
            fail("DRV061", path=self._shown(), why="other programs read files with that name")
        if name.endswith(".json") and real.parent == home:
            fail("DRV061", path=self._shown(), why="other programs read JSON files in the project's root folder")

    def _why_protected(self, real: Path, home: Path) -> str | None:
        """Return why a file of the project is protected from steps; None if it is not."""
        if any(real == real_path(key) for key in self.policy.keys):
            return _KEY
        protected = {**_PROTECTED, **(_READ_ONLY if self.writing else {})}
        first = real.relative_to(home).parts[:1] if real.is_relative_to(home) else ()
        for name, why in protected.items():
            if real.is_relative_to(real_path(home / name)) or (first and first[0].casefold() == name):
                return why
        return None

    def _allowed_folder(self, real: Path) -> Path | None:
        """Return the folder (or file) in the lists that contains a path; None if there is none."""
        lists = self.policy.write if self.writing else self.policy.read
        return next((each for text in lists if real.is_relative_to(each := real_path(self.root / text))), None)

    def is_outside(self, real: Path) -> bool:
        """Return whether the real path is neither in the project nor in the lists."""
        return not real.is_relative_to(real_path(self.root)) and self._allowed_folder(real) is None

    def _fail_outside(self, real: Path) -> NoReturn:
        key, policy = ("write" if self.writing else "read"), self.policy
        lists = {"read": [*policy.read, *policy.asked_read], "write": [*policy.write, *policy.asked_write]}
        lists[key].append(_folder_of(real))
        once = {name: [*dict.fromkeys(paths)] for name, paths in lists.items() if paths}
        line = ", ".join(f"{name}: {json.dumps(paths, ensure_ascii=False)}" for name, paths in once.items())
        verb = "change" if self.policy.read or self.policy.write else "add"
        fail("DRV059", path=self._shown(), key=f"paths.{key}", verb=verb, line=f"paths: {{{line}}}")

    def _why_linked(self, real: Path, home: Path, base: Path) -> str | None:
        """Return why a file is protected that has a hard link among protected files; None if it is not."""
        try:
            status = real.stat()
        except OSError:
            return None
        if status.st_nlink < 2 or _is_folder(real):
            return None
        protected = [home / name for name in (*_PROTECTED, *(_READ_ONLY if self.writing else ()))]
        same = any(_has_name(status, top, any_name=True) for top in (*protected, *self.policy.keys))
        same = same or any(_has_name(status, top, any_name=False) for top in {home, base})
        return "it is another name of a file that is kept from steps" if same else None

    def _shown(self) -> Path:
        return self.path.relative_to(self.root) if self.path.is_relative_to(self.root) else self.path


def _uncompressed_name(name: str, kind: Format) -> str:
    """Return the name of a file without the suffix of its compression, if its format allows one."""
    suffix = next((end for end in _COMPRESSED if name.endswith(end)), "") if kind in _TEXTS else ""
    return name.removesuffix(suffix)


def _other_format(name: str) -> str | None:
    """Return the hint for a file whose name ends as those of another format."""
    plain = _uncompressed_name(name, "csv")
    other = next((_FORMATS[each] for each, suffixes in SUFFIXES.items() if plain.endswith(suffixes)), None)
    return f"rename the output file, or use a component that writes {other}" if other else None


def _has_name(status: os.stat_result, top: Path, *, any_name: bool) -> bool:
    """Return whether a file is `top` or has a name below it; unless `any_name`, only hidden names or in hidden folders.

    Hard links are always on the same file system.
    """
    try:
        place = top.stat()
        if not top.is_dir():
            return os.path.samestat(place, status)
        with os.scandir(top) as listing:
            entries = list(listing) if place.st_dev == status.st_dev else []
    except OSError:
        return False
    return any(_is_name(status, entry, any_name=any_name) for entry in entries)


def _is_name(status: os.stat_result, entry: os.DirEntry[str], *, any_name: bool) -> bool:
    counts = any_name or (entry.name.startswith(".") and not TEMPORARY.fullmatch(entry.name))
    if entry.is_dir(follow_symlinks=False) or (counts and not any_name and entry.is_symlink()):
        return _has_name(status, Path(entry), any_name=counts)
    return counts and entry.inode() == status.st_ino and os.path.samestat(entry.stat(follow_symlinks=False), status)


def _is_system(path: Path) -> bool:
    """Return whether a path is on a virtual file system such as /proc, wherever that is mounted."""
    if any(Path(os.path.normpath(path)).is_relative_to(folder) for folder in _SYSTEM):
        return True
    try:
        usual = Path("/").stat().st_dev
        return path.stat().st_dev in {folder.stat().st_dev for folder in _SYSTEM if folder.is_dir()} - {usual}
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder; unlike Path.is_dir, does not raise without permission."""
    return os.path.isdir(path)  # noqa: PTH112


def _folder_of(real: Path) -> str:
    """Return the folder to be listed for a file or a pattern."""
    return str(real if _is_folder(real) else next(each for each in real.parents if not re.search(r"[*?[]", str(each))))


def _suffix_text(kind: str) -> str:
    *others, last = SUFFIXES[kind]
    compressed = ", packed or not" if kind in _TEXTS else ""
    return f"{', '.join(others)} or {last}{compressed}" if others else last + compressed


def format_of(component: str, path: str) -> Format | None:
    """Return the format in which a built-in component writes to a path; None if unknown."""
    family, _, name = component.partition(".")
    from osiris.family_spec import find_family

    spec = find_family(family)
    if spec.file_fields:
        return "database"
    if not spec.local_files or not name.endswith("_writer"):
        return None
    if path.endswith("/"):
        return "folder"
    return cast("Format | None", name.removesuffix("_writer") if name.removesuffix("_writer") in SUFFIXES else None)


def key_files(root: Path, fields: Mapping[str, JsonValue], schema: Mapping[str, JsonValue]) -> Iterator[Path]:
    """Yield the files with secrets of a connection; `schema` is its family's, where `x-content` marks their fields."""
    for name, field in schema.get("properties", {}).items():
        text = fields.get(name)
        if "x-content" in field and isinstance(text, str) and text:
            yield root / text
