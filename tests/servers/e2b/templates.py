"""Templates: the source of a sandbox's tree.

Builds record their steps. COPY and a `Base` affect the trees of sandboxes; RUN, ENV, WORKDIR and USER are only
recorded, because no package registry is available.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TEAM = "a-team"
"""The team that the key belongs to; it is part of the names of snapshots."""


@dataclass(frozen=True)
class Base:
    """How the tree of an image (`python:3.12`) or template (`base`) is prepared, each time from the start."""

    folder: Path | None = None
    """What is copied to `/`."""
    commands: tuple[str, ...] = ()
    """What then runs in the sandbox."""


@dataclass
class Template:
    """One requested template; it can be used once it is built."""

    names: tuple[str, ...]
    asked: dict[str, Any]
    """What was asked for: cpuCount, memoryMB…"""
    base: Base = Base()
    parent: Template | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:20])
    build_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    build: dict[str, Any] | None = None
    """What the build was asked: fromImage, steps with type, args and filesHash, startCmd…"""
    error: str | None = None
    log: list[dict[str, str]] = field(default_factory=list)
    snapshot_of: str | None = None
    """The sandbox that it is a snapshot of."""
    built_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def status(self) -> str:
        if self.error is not None:
            return "error"
        return "waiting" if self.build is None else "ready"

    @property
    def steps(self) -> list[dict[str, Any]]:
        return (self.build or {}).get("steps") or []

    def line(self, message: str) -> None:
        self.log.append({"timestamp": datetime.now(UTC).isoformat(), "message": message, "level": "info"})


class Templates:
    def __init__(self, folder: Path, bases: Mapping[str, Base]) -> None:
        self.folder = folder
        folder.mkdir()
        self._bases = {"base": Base(), **bases}
        self.all = [Template((name,), {}, base, build={}) for name, base in self._bases.items()]

    def find(self, name: str) -> Template | None:
        """Return the newest ready build under an id or a name, with or without a tag."""
        wanted = (name, f"{name}:default")
        for template in reversed(self.all):
            if template.status == "ready" and (template.id == name or set(wanted) & set(template.names)):
                return template
        return None

    def by_build(self, template_id: str, build_id: str) -> Template | None:
        return next((one for one in self.all if (one.id, one.build_id) == (template_id, build_id)), None)

    def request(self, asked: dict[str, Any]) -> Template:
        """Accept the first half of a build: a name."""
        name, _, tag = asked["name"].partition(":")
        tags = list(dict.fromkeys([*([tag] if tag else []), *(asked.get("tags") or [])])) or ["default"]
        template = Template((name, *(f"{name}:{one}" for one in tags)), asked)
        older = self.find(name)
        if older:
            template.id = older.id
        self.all.append(template)
        return template

    def build(self, template: Template, asked: dict[str, Any], error: str | None) -> None:
        """Accept the second half, the steps; `error` makes the build fail with it."""
        template.build = asked
        template.parent = self.find(asked.get("fromTemplate") or "")
        template.base = self._bases.get(asked.get("fromImage") or "", Base())
        for step in template.steps:
            template.line(f"{step['type']} {' '.join(step.get('args') or [])}")
        missing = [
            step for step in template.steps if step.get("filesHash") and not self.file(step["filesHash"]).exists()
        ]
        template.error = error or ("files of a COPY step were not uploaded" if missing else None)

    def snapshot(self, name: str | None, sandbox: str, tree: Path) -> Template:
        """Keep the files of a sandbox as a template: a new build of the one with that name, if there is one."""
        folder = self.folder / f"snapshot-{uuid.uuid4().hex}"
        shutil.copytree(tree, folder, symlinks=True, copy_function=os.link)  # nothing there is changed in place
        number = uuid.uuid4().hex[:20]
        older = self.find(f"{TEAM}/{name}") if name else None
        alias = f"{TEAM}/{name}" if name else number
        names = (alias, f"{alias}:default", *((name,) if name else ()))
        made = Template(names, {}, Base(folder), id=older.id if older else number, build={}, snapshot_of=sandbox)
        self.all.append(made)
        return made

    def snapshots(self, name: str | None, sandbox: str | None) -> list[Template]:
        """The newest build of each snapshot, the newest first; `name`: with or without team and tag, or an id."""
        newest = reversed({one.id: one for one in self.all if one.snapshot_of}.values())
        named = [one for one in newest if name is None or name.removesuffix(":default") in (*one.names, one.id)]
        return [one for one in named if sandbox in (None, one.snapshot_of)]

    def forget_snapshots(self) -> None:
        """Remove all snapshots."""
        for one in self.snapshots(None, None):
            shutil.rmtree(one.base.folder)
        self.all = [one for one in self.all if not one.snapshot_of]

    def file(self, digest: str) -> Path:
        """Where the archive of a COPY step is."""
        if not digest.isalnum():
            raise ValueError(digest)
        return self.folder / digest

    def lay_out(self, template: Template, tree: Path) -> list[str]:
        """Fill a tree; returns the commands that must still run in the sandbox."""
        commands = self.lay_out(template.parent, tree) if template.parent else []
        if template.base.folder:
            shutil.copytree(template.base.folder, tree, symlinks=True, dirs_exist_ok=True)
        for step in template.steps:
            if step["type"] == "COPY":
                self._copy(step, tree)
        return [*commands, *template.base.commands]

    def _copy(self, step: dict[str, Any], tree: Path) -> None:
        source, destination = step["args"][:2]
        target = tree / posixpath.normpath(posixpath.join("/home/user", destination)).lstrip("/")
        with TemporaryDirectory(dir=self.folder) as folder, tarfile.open(self.file(step["filesHash"])) as archive:
            archive.extractall(folder, filter="data")
            for found in sorted(Path(folder).glob(source)):
                _place(found, target, into=destination.endswith("/"))


def _place(found: Path, target: Path, *, into: bool) -> None:
    """Copy as Docker does: a folder's contents, a file under the name or into the folder."""
    if found.is_dir():
        shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True)
        return
    place = target / found.name if into or target.is_dir() else target
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(found, place)


def alias_answer(template: Template) -> dict[str, Any]:
    return {"templateID": template.id, "public": False}


def request_answer(template: Template) -> dict[str, Any]:
    name, *tagged = template.names
    tags = [one.partition(":")[2] for one in tagged]
    told = {"templateID": template.id, "buildID": template.build_id, "public": False}
    return told | {"names": [name], "aliases": [name], "tags": tags}


def status_answer(template: Template, offset: int) -> dict[str, Any]:
    told = {"templateID": template.id, "buildID": template.build_id, "status": template.status, "logs": []}
    told["logEntries"] = template.log[offset : offset + 100]
    return told | ({"reason": {"message": template.error}} if template.error else {})


def snapshot_answer(template: Template) -> dict[str, Any]:
    name = next(name for name in template.names if name.endswith(":default"))
    return {"snapshotID": name, "names": [name] if "/" in name else []}


def tags_answer(template: Template) -> list[dict[str, Any]]:
    tagged = [one.partition(":")[2] for one in template.names if ":" in one] or ["default"]
    told = {"buildID": template.build_id, "createdAt": template.built_at.isoformat()}
    return [{"tag": tag, **told} for tag in tagged]
