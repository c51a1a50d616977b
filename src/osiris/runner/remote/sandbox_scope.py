"""The files and hosts that the steps of a job use: what a sandbox must contain, and what it may change."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.families.stores.bucket import host_of
from osiris.family_spec import family_of_connection, find_family
from osiris.files import expand, resolve_path
from osiris.path_policy import format_of
from osiris.urls import stored_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from osiris.family_spec import FamilySpec
    from osiris.model import JsonValue
    from osiris.path_policy import Format, PathPolicy
    from osiris.runner.protocol import Job, Secrets

    Fields = Mapping[str, JsonValue]

_ENDINGS = ("-wal", "-shm", "-journal", ".wal")
"""Suffixes of files that belong to a database file."""

_HOST_FIELDS = ("host", "url", "dsn")


@dataclass(frozen=True, slots=True)
class SandboxScope:
    """Sorted absolute paths: existing files to read (`reads`), files to write, and database files to write.

    `published` are published folders, whose relevant files are in `reads`. `folders` are created by writers if missing.
    `hosts` come from connection fields; a connection of an unknown family may use others, so `network` is whether any
    is needed. `absolute` are paths written as absolute paths. `formats` has the format of each file to write.
    """

    reads: tuple[Path, ...] = ()
    published: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    databases: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    network: bool = False
    absolute: tuple[str, ...] = ()
    formats: Mapping[Path, Format | None] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[Path, ...]:
        """All files and databases to write."""
        return tuple(sorted({*self.writes, *self.databases}))

    def allowed(self, root: Path, policy: PathPolicy) -> SandboxScope:
        """Return the part that the policy permits; for the rest, the step itself reports the reason."""

        def may_read(path: Path) -> bool:
            return _is_allowed(lambda: policy.readable(root, path))

        def may_write(path: Path) -> bool:
            return _is_allowed(lambda: policy.writable(root, path, self.formats.get(path)))

        permitted = replace(
            self,
            reads=tuple(filter(may_read, self.reads)),
            published=tuple(filter(may_read, self.published)),
            writes=tuple(filter(may_write, self.writes)),
            databases=tuple(filter(may_write, self.databases)),
        )
        folders = tuple(each for each in self.folders if any(path.is_relative_to(each) for path in permitted.targets))
        return replace(permitted, folders=folders)


def scope_of(job: Job, secrets: Secrets) -> SandboxScope:
    """Return what the steps of a job use, except skipped ones; invalid paths are left out.

    The steps themselves report missing files and rejected paths.
    """
    paths, database = partial(_named, job, secrets), partial(_database, job, secrets)
    files, embedded, remote = _by_target([step for step in job.steps if step["id"] not in job.skip])
    readers, writers = _of_mode(files, "read"), _of_mode(files, "write")
    formats = {path: format_of(step["component"], step["config"]["path"]) for step in writers for path in paths(step)}
    makers = filter(_makes_folders, writers)
    database_files, database_targets = _paths(embedded, database), _paths(_of_mode(embedded, "write"), database)
    return SandboxScope(
        reads=_sorted(filter(Path.is_file, (*_paths(readers, paths), *database_files, *_sidecars(database_files)))),
        published=_sorted(_paths(filter(_in_folder, readers), partial(_folder, job, secrets))),
        writes=_sorted(formats),
        databases=_sorted(database_targets),
        formats=formats | dict.fromkeys(database_targets, "database"),
        folders=_sorted(path.parent for path in (*_paths(makers, paths), *database_targets)),
        hosts=tuple(sorted({host for step in remote for host in _hosts(secrets, step)})),
        network=bool(remote) or any(map(_is_remote, (*job.uses, str(job.discover.get("source", ""))))),
        absolute=_absolute(secrets, (*files, *embedded)),
    )


def _by_target(steps: Sequence[Fields]) -> tuple[list[Fields], list[Fields], list[Fields]]:
    """Return the steps that use files, those that use a database file, and those that use other hosts."""
    files = [step for step in steps if _family(step).local_files and "path" in step["config"]]
    embedded = [step for step in steps if _family(step).file_fields]
    return files, embedded, [step for step in steps if step["connection"] and not _family(step).is_local]


def _absolute(secrets: Secrets, steps: Iterable[Fields]) -> tuple[str, ...]:
    """Return the absolute paths that steps and their connections name, sorted."""
    texts = {text for step in steps for text in _written(secrets, step)}
    return tuple(sorted(filter(_is_absolute, texts)))


def _makes_folders(step: Fields) -> bool:
    return bool(step["config"].get("create_dirs", True))


def _of_mode(steps: Iterable[Fields], mode: str) -> list[Fields]:
    return [step for step in steps if step["mode"] == mode]


def _paths(steps: Iterable[Fields], find: Callable[[Fields], Iterable[Path]]) -> set[Path]:
    return {path for step in steps for path in find(step)}


def _sidecars(databases: Iterable[Path]) -> list[Path]:
    """Return the files beside databases that belong to them, such as write-ahead logs."""
    return [path.with_name(path.name + end) for path in databases for end in _ENDINGS]


def _is_remote(reference: str) -> bool:
    return reference not in ("", "@") and not family_of_connection(reference).is_local


def _is_allowed(ask: Callable[[], Path]) -> bool:
    try:
        ask()
    except OsirisError:
        return False
    return True


def _written(secrets: Secrets, step: Fields) -> list[str]:
    """Return the paths in a step's config and connection."""
    fields = secrets.plain.get(step["connection"], {})
    paths = [fields.get(name) for name in ("base_dir", *_family(step).file_fields)]
    return [str(text) for text in (step["config"].get("path"), *paths) if text]


def _is_absolute(text: str) -> bool:
    return text.startswith("/")


def _family(step: Fields) -> FamilySpec:
    """Return the family of a step's component, or of its connection if that is an object store."""
    family = family_of_connection(step["connection"])
    return family if family.scheme else find_family(str(step["component"]).partition(".")[0])


def _sorted(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(set(paths)))


def _in_folder(step: Fields) -> bool:
    return str(step["config"]["path"]).endswith("/")


def _folder(job: Job, secrets: Secrets, step: Fields) -> list[Path]:
    """Return the folder that a step's path names, with the values of the run filled in."""
    text, base = _text(job, secrets, step)
    try:
        return [resolve_path(Path(job.root), text.rstrip("/"), base=base, writing=True)]
    except OsirisError:
        return []


def _named(job: Job, secrets: Secrets, step: Fields) -> list[Path]:
    """Return the files that a step's path names, or the folder that the step writes."""
    text, base = _text(job, secrets, step)
    try:
        if _in_folder(step):
            folders = _folder(job, secrets, step)
            return (
                [path for folder in folders for path in _folder_files(job, folder)]
                if step["mode"] == "read"
                else folders
            )
        if step["mode"] == "read":
            return expand(Path(job.root), text, base=base)
        return [resolve_path(Path(job.root), text, base=base, writing=True)]
    except OsirisError:
        return []


def _folder_files(job: Job, folder: Path) -> list[Path]:
    """Return the files of a published folder, including its manifest; fails as `open_published`."""
    from osiris.families.files.folders import LocalFolder, open_published

    published = open_published(LocalFolder(Path(job.root), folder))
    return [folder / name for name in published.files]


def _text(job: Job, secrets: Secrets, step: Fields) -> tuple[str, str | None]:
    """Return a step's path, with the values of the run filled in, and its base folder."""
    text, base = str(step["config"]["path"]), secrets.plain.get(step["connection"], {}).get("base_dir")
    for name, value in job.bindings.items():
        text = text.replace(f"${{{name}}}", value)
    return text, base


def _database(job: Job, secrets: Secrets, step: Fields) -> list[Path]:
    fields, names = secrets.plain.get(step["connection"], {}), _family(step).file_fields
    try:
        return [resolve_path(Path(job.root), str(fields[name])) for name in names if fields.get(name)]
    except OsirisError:
        return []


def _hosts(secrets: Secrets, step: Fields) -> list[str]:
    from urllib.parse import urlsplit

    fields = secrets.plain.get(step["connection"], {})
    if url := stored_as(str(step["config"].get("path")), step["connection"], fields):
        with suppress(OsirisError):
            return [host_of(url, fields)]
    hosts = [str(fields[name]) for name in _HOST_FIELDS if fields.get(name)]
    return [(urlsplit(text).hostname or "") if "://" in text else text for text in hosts]
