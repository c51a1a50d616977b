"""Which files and hosts the steps of a job touch: what a sandbox must have, and what it may change."""

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
"""What the names of files end with that belong to a database."""

_HOST_FIELDS = ("host", "url", "dsn")


@dataclass(frozen=True, slots=True)
class Reach:
    """Absolute paths, sorted: files that are read and are there, files that are made, databases that are written.

    `published` are folders of which all that counts is among `reads`. `folders` are those that writers make where they
    are missing. `hosts` are those of connections, as their fields name them; a connection of an unknown family may have
    others, so `network` tells whether any is needed.
    `absolute` are the paths that do not start in the project's folder. `formats` has that of each file that is written.
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
        """All that is written."""
        return tuple(sorted({*self.writes, *self.databases}))

    def allowed(self, root: Path, policy: PathPolicy) -> Reach:
        """Return the part that steps may use; of what is left out, the step says why it may not."""

        def may_read(path: Path) -> bool:
            return _is_allowed(lambda: policy.readable(root, path))

        def may_write(path: Path) -> bool:
            return _is_allowed(lambda: policy.writable(root, path, self.formats.get(path)))

        kept = replace(
            self,
            reads=tuple(filter(may_read, self.reads)),
            published=tuple(filter(may_read, self.published)),
            writes=tuple(filter(may_write, self.writes)),
            databases=tuple(filter(may_write, self.databases)),
        )
        folders = tuple(each for each in self.folders if any(path.is_relative_to(each) for path in kept.targets))
        return replace(kept, folders=folders)


def reach_of(job: Job, secrets: Secrets) -> Reach:
    """Return what the steps of a job touch, but for those that it skips; a path that no system takes is left out.

    What is missing, and why a path is refused, is for the step to say.
    """
    named, database = partial(_named, job, secrets), partial(_database, job, secrets)
    files, embedded, remote = _by_target([step for step in job.steps if step["id"] not in job.skip])
    readers, writers = _of_mode(files, "read"), _of_mode(files, "write")
    formats = {path: format_of(step["component"], step["config"]["path"]) for step in writers for path in named(step)}
    makers = filter(_makes_folders, writers)
    held, written = _paths(embedded, database), _paths(_of_mode(embedded, "write"), database)
    return Reach(
        reads=_sorted(filter(Path.is_file, (*_paths(readers, named), *held, *_beside(held)))),
        published=_sorted(_paths(filter(_in_folder, readers), partial(_folder, job, secrets))),
        writes=_sorted(formats),
        databases=_sorted(written),
        formats=formats | dict.fromkeys(written, "database"),
        folders=_sorted(path.parent for path in (*_paths(makers, named), *written)),
        hosts=tuple(sorted({host for step in remote for host in _hosts(secrets, step)})),
        network=bool(remote) or any(map(_is_remote, (*job.uses, str(job.discover.get("source", ""))))),
        absolute=_absolute(secrets, (*files, *embedded)),
    )


def _by_target(steps: Sequence[Fields]) -> tuple[list[Fields], list[Fields], list[Fields]]:
    """Return the steps that use files, those that use a database in a file, and those that need other hosts."""
    files = [step for step in steps if _family(step).local_files and "path" in step["config"]]
    embedded = [step for step in steps if _family(step).file_fields]
    return files, embedded, [step for step in steps if step["connection"] and not _family(step).is_local]


def _absolute(secrets: Secrets, steps: Iterable[Fields]) -> tuple[str, ...]:
    """Return the paths that steps and their connections name from the root of the file system, sorted."""
    texts = {text for step in steps for text in _written(secrets, step)}
    return tuple(sorted(filter(_roots, texts)))


def _makes_folders(step: Fields) -> bool:
    return bool(step["config"].get("create_dirs", True))


def _of_mode(steps: Iterable[Fields], mode: str) -> list[Fields]:
    return [step for step in steps if step["mode"] == mode]


def _paths(steps: Iterable[Fields], find: Callable[[Fields], Iterable[Path]]) -> set[Path]:
    return {path for step in steps for path in find(step)}


def _beside(databases: Iterable[Path]) -> list[Path]:
    """Return the files that belong to databases."""
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
    """Return the texts of a step and its connection that name a place."""
    fields = secrets.plain.get(step["connection"], {})
    given = [fields.get(name) for name in ("base_dir", *_family(step).file_fields)]
    return [str(text) for text in (step["config"].get("path"), *given) if text]


def _roots(text: str) -> bool:
    return text.startswith("/")


def _family(step: Fields) -> FamilySpec:
    """Return the family of a step's component; that of its connection where this leads to a store."""
    family = family_of_connection(step["connection"])
    return family if family.scheme else find_family(str(step["component"]).partition(".")[0])


def _sorted(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(set(paths)))


def _in_folder(step: Fields) -> bool:
    return str(step["config"]["path"]).endswith("/")


def _folder(job: Job, secrets: Secrets, step: Fields) -> list[Path]:
    """Return the folder that a step's path names, now that the values of the run are known."""
    text, base = _text(job, secrets, step)
    try:
        return [resolve_path(Path(job.root), text.rstrip("/"), base=base, writing=True)]
    except OsirisError:
        return []


def _named(job: Job, secrets: Secrets, step: Fields) -> list[Path]:
    """Return the files that a step's path names, or the folder that it writes."""
    text, base = _text(job, secrets, step)
    try:
        if _in_folder(step):
            folders = _folder(job, secrets, step)
            return [path for folder in folders for path in _held(job, folder)] if step["mode"] == "read" else folders
        if step["mode"] == "read":
            return expand(Path(job.root), text, base=base)
        return [resolve_path(Path(job.root), text, base=base, writing=True)]
    except OsirisError:
        return []


def _held(job: Job, folder: Path) -> list[Path]:
    """Return the files of a published folder, its manifest among them; fails as `open_published`."""
    from osiris.families.files.folders import LocalFolder, open_published

    found = open_published(LocalFolder(Path(job.root), folder))
    return [folder / name for name in found.places]


def _text(job: Job, secrets: Secrets, step: Fields) -> tuple[str, str | None]:
    """Return a step's path, with the values of the run in it, and the folder where it starts."""
    text, base = str(step["config"]["path"]), secrets.plain.get(step["connection"], {}).get("base_dir")
    for name, value in job.bindings.items():
        text = text.replace(f"${{{name}}}", value)
    return text, base


def _database(job: Job, secrets: Secrets, step: Fields) -> list[Path]:
    fields, named = secrets.plain.get(step["connection"], {}), _family(step).file_fields
    try:
        return [resolve_path(Path(job.root), str(fields[name])) for name in named if fields.get(name)]
    except OsirisError:
        return []


def _hosts(secrets: Secrets, step: Fields) -> list[str]:
    from urllib.parse import urlsplit

    fields = secrets.plain.get(step["connection"], {})
    if url := stored_as(str(step["config"].get("path")), step["connection"], fields):
        with suppress(OsirisError):
            return [host_of(url, fields)]
    given = [str(fields[name]) for name in _HOST_FIELDS if fields.get(name)]
    return [(urlsplit(text).hostname or "") if "://" in text else text for text in given]
