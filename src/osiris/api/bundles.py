"""One archive of a session, to hand over: what ran, what happened, what is told of it, and what ran it.

The same session gives the same bytes: entries in order, no times, no owners. Rows that steps left among the artifacts
stay here unless they are asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import guarded, make_folder, move, remove
from osiris.errors import OsirisError, fail
from osiris.files import refuse_foreign
from osiris.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue

    Run = Mapping[str, JsonValue]
    _Source = Path | bytes

_ALWAYS = ("run.json", "manifest.json", "events.jsonl", "metrics.jsonl", "report.html")
_FOLDERS = ("aiop",)
_ARTIFACTS = "artifacts"
_HEADER = 30
"""Bytes in front of the name of an archive's first entry (ZIP, APPNOTE 4.3.7)."""
_ENTRY = re.compile(rb"\d{8}-\d{6}-\d{3}-[^/]+/(aiop/|artifacts/|contents\.json)")
"""How the name of a first entry begins: a session's id, and what sorts first in it."""
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN_FILE = 0o100644
_CONTENTS = "contents.json"
_ENVIRONMENT = "environment.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive that was written: where, its size in bytes, its SHA-256, and its entries."""

    session: str
    path: Path
    size: int
    sha256: str
    entries: tuple[str, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return all fields as plain data."""
        return {
            "session": self.session,
            "path": str(self.path),
            "bytes": self.size,
            "sha256": self.sha256,
            "entries": list(self.entries),
        }


def bundle(workspace: Workspace, name: str, output: Path | None = None, *, artifacts: bool = False) -> Bundle:
    """Pack a session that has ended; `output` is a file or a folder, the working directory if it is None.

    Fails with RUN010 for an unknown session, AIO012 for one that has not ended, PRJ014 where another file is, and
    PRJ006 if it cannot be written.
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
    return Bundle(session, target, size, digest, tuple(sorted(sources)))


def _complete(workspace: Workspace, run: Run) -> None:
    """Make what a run has not got yet of that which is told of it; it stays in its session, so that packing repeats."""
    from osiris.api.packages import package_sessions
    from osiris.api.reports import REPORT, write_report

    folder = workspace.project.logs / str(run["session"])
    if run["kind"] != "run":
        return
    if not (folder / "aiop").exists():
        package_sessions(workspace, [folder.name])
    if not (folder / REPORT).exists():
        with suppress(OsirisError):
            write_report(workspace, folder.name, folder / REPORT)


def _is_bundle(begins: bytes) -> bool:
    """Tell whether a file begins as an archive does whose first entry is one of ours."""
    return begins.startswith(b"PK\x03\x04") and _ENTRY.match(begins, _HEADER) is not None


def _target(session: str, output: Path | None) -> Path:
    name = f"{session}.zip"
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _sources(folder: Path, run: Run, *, artifacts: bool) -> dict[str, _Source]:
    """Return what goes into the archive, by name: files, and what is made here."""
    found: dict[str, _Source] = {p.relative_to(folder).as_posix(): p for p in _files(folder, artifacts=artifacts)}
    found[_ENVIRONMENT] = _line(_environment(run))
    told = {name: _inspected(source) for name, source in sorted(found.items())}
    return found | {_CONTENTS: _line({"session": run["session"], "files": told})}


def _inspected(source: _Source) -> dict[str, JsonValue]:
    with _opened(source) as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
        return {"bytes": data.seek(0, io.SEEK_END), "sha256": digest}


def _opened(source: _Source) -> io.BufferedReader | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _files(folder: Path, *, artifacts: bool) -> Iterator[Path]:
    """Yield the files of a session that are packed; a link is none of them, wherever it leads."""
    yield from (path for name in _ALWAYS if _is_own(path := folder / name))
    for name in (*_FOLDERS, *([_ARTIFACTS] if artifacts else [])):
        walked = () if (folder / name).is_symlink() else os.walk(folder / name)
        for parent, _, files in walked:
            yield from (path for file in files if _is_own(path := Path(parent) / file))


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _environment(run: Run) -> Run:
    """Return what ran it, as the run itself has recorded."""
    keys = ("adapter", "environment", "engines", "limits", "connections", "sources")
    return {key: run[key] for key in keys if key in run}


def _publish(target: Path, session: str, sources: Mapping[str, _Source]) -> tuple[int, str]:
    """Put the archive in place as a whole; returns its size and its SHA-256."""
    make_folder(target.parent, private=False)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with guarded(target), zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(sources):
                _add(archive, f"{session}/{name}", sources[name])
        told = _inspected(temporary)
        with guarded(target):
            move(temporary, target)
    finally:
        with suppress(OSError):
            remove(temporary)
    return told["bytes"], told["sha256"]


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
