"""Bundles a session into an archive, and removes sessions that are no longer needed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import time
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import PRIVATE_FOLDER, guarded, make_folder, move, remove
from osiris.errors import OsirisError, diagnostic, fail
from osiris.fault import fault
from osiris.files import refuse_foreign
from osiris.project_lock import hold_project, is_held
from osiris.session.finding import iter_records, open_session
from osiris.session.stored import CONVERSATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project

    Run = Mapping[str, JsonValue]
    _Source = Path | bytes

_ALWAYS = ("run.json", "manifest.json", "events.jsonl", "metrics.jsonl", "report.html")
_FOLDERS = ("aiop",)
_ARTIFACTS = "artifacts"
_HEADER = 30
"""Bytes before the name of an archive's first entry (ZIP, APPNOTE 4.3.7)."""
_ENTRY = re.compile(rb"\d{8}-\d{6}-\d{3}-[^/]+/(aiop/|artifacts/|contents\.json)")
"""Start of the name of a bundle's first entry: a session's id, and what sorts first in it."""
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN_FILE = 0o100644
_CONTENTS = "contents.json"
_ENVIRONMENT = "environment.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A written archive: its session, path, size in bytes, SHA-256 and entries."""

    session: str
    path: str
    bytes: int
    sha256: str
    entries: list[str]


def bundle(workspace: Workspace, name: str, output: Path | None = None, *, artifacts: bool = False) -> Bundle:
    """Bundle an ended session; `output` is a file or a folder (None: the working directory).

    Fails with RUN010 for an unknown session, AIO012 for a running one, PRJ014 if another file exists there, and PRJ006
    if it cannot be written.
    """
    run = open_session(workspace.project, name)
    session = str(run["session"])
    if run["status"] == "running":
        fail("AIO012", session=session)
    target = _target(session, output)
    refuse_foreign(target, _is_bundle)
    _complete(workspace, run)
    try:
        sources = _sources(workspace.project.logs / session, run, artifacts=artifacts)
        size, digest = _publish(target, session, sources)
    except OSError as error:
        fail("PRJ006", path=target, reason=error.strerror or type(error).__name__)
    return Bundle(session, str(target), size, digest, sorted(sources))


def _complete(workspace: Workspace, run: Run) -> None:
    """Create a run's missing package and report in its session, so that bundles are reproducible."""
    from osiris.api.reports import REPORT, package_sessions, write_report

    folder = workspace.project.logs / str(run["session"])
    if run["kind"] != "run":
        return
    if not (folder / "aiop").exists():
        package_sessions(workspace, [folder.name])
    if not (folder / REPORT).exists():
        with suppress(OsirisError):
            write_report(workspace, folder.name, folder / REPORT)


def _is_bundle(begins: bytes) -> bool:
    """Return whether a file begins like one of our bundles."""
    return begins.startswith(b"PK\x03\x04") and _ENTRY.match(begins, _HEADER) is not None


def _target(session: str, output: Path | None) -> Path:
    name = f"{session}.zip"
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _sources(folder: Path, run: Run, *, artifacts: bool) -> dict[str, _Source]:
    """Return the entries of the archive, by name: files, and generated contents."""
    sources: dict[str, _Source] = {p.relative_to(folder).as_posix(): p for p in _files(folder, artifacts=artifacts)}
    sources[_ENVIRONMENT] = _line(_environment(run))
    contents = {name: _digest_of(source) for name, source in sorted(sources.items())}
    return sources | {_CONTENTS: _line({"session": run["session"], "files": contents})}


def _digest_of(source: _Source) -> dict[str, JsonValue]:
    with _opened(source) as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
        return {"bytes": data.seek(0, io.SEEK_END), "sha256": digest}


def _opened(source: _Source) -> io.BufferedReader | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _files(folder: Path, *, artifacts: bool) -> Iterator[Path]:
    """Yield the files of a session to bundle, without symbolic links."""
    yield from (path for name in _ALWAYS if _is_own(path := folder / name))
    for name in (*_FOLDERS, *([_ARTIFACTS] if artifacts else [])):
        walked = () if (folder / name).is_symlink() else os.walk(folder / name)
        for parent, _, files in walked:
            yield from (path for file in files if _is_own(path := Path(parent) / file))


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _environment(run: Run) -> Run:
    """Return the environment recorded by the run."""
    keys = ("adapter", "environment", "engines", "limits", "connections", "sources")
    return {key: run[key] for key in keys if key in run}


def _publish(target: Path, session: str, sources: Mapping[str, _Source]) -> tuple[int, str]:
    """Write the archive atomically; returns its size in bytes and its SHA-256."""
    make_folder(target.parent, private=False)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with guarded(target), zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(sources):
                _add(archive, f"{session}/{name}", sources[name])
        written = _digest_of(temporary)
        with guarded(target):
            move(temporary, target)
    finally:
        with suppress(OSError):
            remove(temporary)
    return written["bytes"], written["sha256"]


def _add(archive: zipfile.ZipFile, name: str, source: _Source) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.create_system = _UNIX
    entry.external_attr = _PLAIN_FILE << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.file_size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with archive.open(entry, "w") as output, _opened(source) as data:
        shutil.copyfileobj(data, output, 1 << 20)


def _line(value: JsonValue) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on sessions: at most `age` seconds old, the `keep` newest of each pipeline, and at most `size` bytes in
    total, removing the oldest first. None means no limit.
    """

    age: float | None = None
    size: int | None = None
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A session kept although it exceeds a limit, and why."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class Swept:
    """The sessions removed (the oldest first, with bytes), those kept beyond the limits, and the totals before."""

    removed: tuple[tuple[str, int], ...]
    kept: tuple[Kept, ...]
    bytes_before: int
    sessions_before: int
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def bytes_removed(self) -> int:
        """Total bytes removed."""
        return sum(size for _, size in self.removed)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as JSON, without diagnostics."""
        return {
            "removed": [{"session": name, "bytes": size} for name, size in self.removed],
            "kept": [{"session": each.session, "reason": each.reason} for each in self.kept],
            "bytes_removed": self.bytes_removed,
            "bytes_before": self.bytes_before,
            "sessions_before": self.sessions_before,
        }


def sweep(
    workspace: Workspace,
    limits: Limits,
    *,
    dry_run: bool = False,
    before: Callable[[Sequence[str]], None] = lambda _: None,
    now: float | None = None,
) -> Swept:
    """Remove sessions beyond the limits, or with `dry_run` only list them; fails with PRJ008 without a limit.

    Keeps running sessions, the newest success of each pipeline, runs that may still be continued, and those with kept
    outputs. `before` gets the ids of the sessions before any is removed: if it fails, the next sweep finds them again.
    `now` is in seconds since the epoch.
    """
    if limits == Limits():
        fail("PRJ008", problem="no limit was given", hint="give --older-than, --max-size or --keep")
    project, moment = workspace.project, time.time() if now is None else now
    runs = list(iter_records(project))
    with hold_project(project):
        needed = _needed(project, runs, workspace.config.get("run.continue_within"), moment)
    sizes = {run["session"]: _size(project.logs / run["session"]) for run in runs}
    beyond = _beyond(runs, sizes, needed, limits, moment)
    removable = [name for name in reversed(beyond) if name not in needed]
    failed = [] if dry_run else _remove_all(project, removable, before)
    return Swept(
        tuple((name, sizes[name]) for name in removable),
        tuple(Kept(name, needed[name]) for name in beyond if name in needed),
        sum(sizes.values()),
        len(runs),
        tuple(failed),
    )


def _remove_all(project: Project, names: Sequence[str], before: Callable[[Sequence[str]], None]) -> list[Diagnostic]:
    """Remove sessions, after `before` has them; returns the problems."""
    if not names:
        return []
    before(names)
    failed = [item for name in names if (item := _remove(project, name))]
    _renew_indexes(project)
    return failed


def _renew_indexes(project: Project) -> None:
    """Update the catalogue of packages, and the index of runs if it exists, to list only existing sessions."""
    from osiris.aiop.package import lead_to_newest, load_catalogue
    from osiris.api.reports import write_index

    with suppress(OsirisError, OSError):
        load_catalogue(project)
        lead_to_newest(project)
        write_index(project)


def _beyond(
    runs: Sequence[Run], sizes: dict[str, int], needed: dict[str, str], limits: Limits, now: float
) -> list[str]:
    """Return the sessions beyond a limit, the newest first; kept sessions count against the size."""
    beyond = _too_old_or_many(runs, limits, now)
    left = sum(sizes[name] for name in sizes.keys() - (beyond - needed.keys()))
    for run in reversed(runs):
        name = run["session"]
        if limits.size is None or left <= limits.size:
            break
        if name not in beyond:
            beyond.add(name)
            left -= 0 if name in needed else sizes[name]
    return [run["session"] for run in runs if run["session"] in beyond]


def _too_old_or_many(runs: Sequence[Run], limits: Limits, now: float) -> set[str]:
    """Return the sessions beyond the age, or beyond the number to keep per pipeline."""
    beyond, counts = set[str](), Counter[str]()
    for run in runs:
        pipeline = CONVERSATION if run.get("kind") == CONVERSATION else str(run.get("pipeline"))
        counts[pipeline] += 1
        too_old = limits.age is not None and _age(run, now) > limits.age
        if too_old or (limits.keep is not None and counts[pipeline] > limits.keep):
            beyond.add(run["session"])
    return beyond


def _needed(project: Project, runs: Sequence[Run], within: float, now: float) -> dict[str, str]:
    """Return the sessions that must be kept, each with the reason."""
    reasons: dict[str, str] = {}
    succeeded: set[str] = set()
    finished = {(run.get("run_key"), run.get("fingerprint")) for run in runs if run["status"] == "complete"}
    for run in runs:
        is_open = _is_open(run, within, now) and (run.get("run_key"), run.get("fingerprint")) not in finished
        reason = _why_running(project, run) or _why_newest(run, succeeded) or _why_kept(project, run, is_open=is_open)
        if reason:
            reasons[run["session"]] = reason
    return reasons


def _why_running(project: Project, run: Run) -> str | None:
    folder = project.logs / run["session"]
    if folder.is_symlink():
        return "it is a symbolic link"
    return "it is running" if run["status"] == "running" or is_held(folder / "events.jsonl") else None


def _why_newest(run: Run, succeeded: set[str]) -> str | None:
    """Return the reason if a run is its pipeline's newest success, else None; updates `succeeded`."""
    pipeline = str(run.get("pipeline"))
    if run.get("kind") != "run" or run["status"] != "complete" or pipeline in succeeded:
        return None
    succeeded.add(pipeline)
    return f"it is the newest success of '{pipeline}'"


def _is_open(run: Run, within: float, now: float) -> bool:
    """Return whether a run has not succeeded, and is recent enough to be resumed."""
    return run.get("kind") == "run" and run["status"] != "complete" and _age(run, now) <= within


def _why_kept(project: Project, run: Run, *, is_open: bool) -> str | None:
    if (project.spools / run["session"]).exists():
        return "it has spooled outputs for the run that resumes it"
    return "it can still be resumed" if is_open else None


def _age(run: Run, now: float) -> float:
    return now - datetime.fromisoformat(run["started_at"]).timestamp()


def _size(folder: Path) -> int:
    return sum(_bytes(Path(parent) / file) for parent, _, files in os.walk(folder) for file in files)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _remove(project: Project, name: str) -> Diagnostic | None:
    """Move a session away atomically, then remove it; returns a problem, or None."""
    trash = project.state / "removed"
    try:
        trash.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        move(project.logs / name, trash / name)
        for each in trash.iterdir():  # an earlier sweep may have been killed here
            fault("session.remove")
            shutil.rmtree(each)
    except OSError as error:
        return diagnostic("AIO013", session=name, reason=error.strerror or type(error).__name__)
    return None
