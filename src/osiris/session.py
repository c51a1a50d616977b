"""One attempt to run a pipeline, as a folder: what happened (events), how much (metrics), and the summary (run.json).

A session is alive while its `events.jsonl` is locked by the process that writes it, so that a killed one is known to be
lost whatever its files claim. Lines are appended in single writes; the summary is replaced as a whole and made durable.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from osiris.errors import diagnostic, fail
from osiris.secret import Scrubber

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

ENDS = {"run_complete": "complete", "run_failed": "failed", "run_cancelled": "cancelled", "run_lost": "lost"}
"""The event that ends a session, and the status that it leaves in run.json; until then it is `running`."""

STEP_ENDS = ("step_complete", "step_failed", "step_cancelled")

_ID_LENGTH = 200


@dataclass(slots=True)
class Session:
    """A session that is being written; made by `create_session`, to be closed by `end` or by leaving its `with`."""

    id: str
    folder: Path
    marker: Path
    scrubber: Scrubber = field(default_factory=lambda: Scrubber(()))
    _events: int = -1
    _metrics: int = -1
    _seq: int = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def artifacts(self) -> Path:
        """Folder of what the run leaves behind, one folder per step."""
        return self.folder / "artifacts"

    def event(self, name: str, **fields: JsonValue) -> dict[str, JsonValue]:
        """Append an event and return it; adds `ts`, `seq` and `session`."""
        self._seq += 1
        line = {"ts": now_text(), "seq": self._seq, "session": self.id, "event": name, **fields}
        return self._append(self._events, line)

    def metric(self, name: str, value: float, unit: str, **tags: str) -> None:
        """Append a metric; `tags` usually has the step."""
        line = {"ts": now_text(), "session": self.id, "metric": name, "value": value, "unit": unit, "tags": tags}
        self._append(self._metrics, line)

    def summary(self, data: Mapping[str, JsonValue]) -> None:
        """Replace run.json, durably and as a whole."""
        write_durably(self.folder / "run.json", _line(self.scrubber.json(dict(data))))

    def close(self) -> None:
        """Release the session; from now on it counts as lost unless run.json says how it ended."""
        for fd in (self._events, self._metrics):
            if fd >= 0:
                os.close(fd)
        self._events = self._metrics = -1

    def _append(self, fd: int, line: dict[str, JsonValue]) -> dict[str, JsonValue]:
        clean: dict[str, JsonValue] = self.scrubber.json(line)
        _write_all(fd, _line(clean))
        return clean


def create_session(project: Project, pipeline: str, scrubber: Scrubber | None = None) -> Session:
    """Make the folder of a new session, locked by this process; its id sorts by time and holds the pipeline's name."""
    started = datetime.now(UTC)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", pipeline)[:_ID_LENGTH]
    stamp = f"{started:%Y%m%d-%H%M%S}-{started.microsecond // 1000:03d}"
    session_id = f"{stamp}-{name}-{secrets.token_hex(2)}"
    folder = project.logs / session_id
    folder.mkdir(parents=True)
    project.open_sessions.mkdir(parents=True, exist_ok=True)
    session = Session(session_id, folder, project.open_sessions / session_id, scrubber or Scrubber(()))
    session._events = _open_locked(folder / "events.jsonl")
    session._metrics = _open_append(folder / "metrics.jsonl")
    session.marker.touch()
    return session


def end_session(session: Session, event: str, summary: Mapping[str, JsonValue], **fields: JsonValue) -> None:
    """Write the session's last event and its summary, whose status must be that of the event, and close it."""
    session.event(event, **fields)
    session.summary(summary)
    session.marker.unlink(missing_ok=True)
    session.close()


def open_session(project: Project, session_id: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of a session; fails with RUN010 if there is none."""
    found = next(iter_sessions(project), None) if session_id == "last" else read_summary(project.logs / session_id)
    if found is None or ("/" in session_id):
        fail("RUN010", session=session_id)
    return found


def iter_sessions(project: Project) -> Iterator[dict[str, JsonValue]]:
    """Give the run.json of each session, the newest first; folders without a readable one are passed over."""
    folders = sorted(project.logs.iterdir(), reverse=True) if project.logs.is_dir() else []
    return (found for folder in folders if (found := read_summary(folder)))


def list_sessions(project: Project) -> list[dict[str, JsonValue]]:
    """Return the run.json of all sessions, the newest first."""
    return list(iter_sessions(project))


def read_summary(folder: Path) -> dict[str, JsonValue] | None:
    """Return run.json of a session's folder; None if it is missing or not readable."""
    try:
        found = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("session") == folder.name else None


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of events.jsonl; an unterminated last line, left by a kill, is dropped."""
    return _whole_lines((folder / "events.jsonl").read_bytes())


def close_lost(project: Project) -> list[dict[str, JsonValue]]:
    """Give an end to every session whose process is gone, and return their summaries."""
    if not project.open_sessions.is_dir():
        return []
    markers = sorted(project.open_sessions.iterdir())
    return [lost for marker in markers if (lost := _close_if_lost(project, marker.name))]


def _close_if_lost(project: Project, name: str) -> dict[str, JsonValue] | None:
    folder, marker = project.logs / name, project.open_sessions / name
    try:
        fd = _open_locked(folder / "events.jsonl", flags=os.O_RDWR | os.O_APPEND)
    except BlockingIOError:
        return None
    except FileNotFoundError:
        marker.unlink(missing_ok=True)
        return None
    session = Session(name, folder, marker, _events=fd)
    with session:
        summary = read_summary(folder)
        lost = _end_lost(session, summary) if summary and summary["status"] == "running" else None
        shutil.rmtree(project.scratch / name, ignore_errors=True)
        for torn in folder.glob(".run.json.*"):
            torn.unlink()
        marker.unlink(missing_ok=True)
        return lost


def _end_lost(session: Session, summary: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Cut an unterminated line, and give each step that started, then the session, its end."""
    path = session.folder / "events.jsonl"
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)
    events = _whole_lines(content)
    session._seq = max((e["seq"] for e in events), default=0)
    problem = diagnostic("RUN008", session=session.id)
    ended = {e["step"] for e in events if e["event"] in STEP_ENDS}
    for step in dict.fromkeys(e["step"] for e in events if e["event"] == "step_start" and e["step"] not in ended):
        session.event("step_failed", step=step, code=problem.code, message=problem.message)
        summary["steps"][step]["status"] = "failed"
    if not any(e["event"] in ENDS for e in events):
        session.event("run_lost", code=problem.code, message=problem.message)
    final = next((ENDS[e["event"]] for e in events if e["event"] in ENDS), "lost")
    ended_at = events[-1]["ts"] if events else summary["started_at"]
    summary |= {"status": final, "ended_at": ended_at, "diagnostics": [*summary["diagnostics"], problem.to_json()]}
    session.summary(summary)
    return summary


def _whole_lines(content: bytes) -> list[dict[str, Any]]:
    """Return the lines that are events; a full disk may have torn one in the middle."""
    parsed = (_parsed(line) for line in content[: content.rfind(b"\n") + 1].split(b"\n"))
    return [line for line in parsed if line is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _open_append(path: Path, flags: int = os.O_WRONLY | os.O_CREAT | os.O_APPEND) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o644)


def _open_locked(path: Path, flags: int = os.O_WRONLY | os.O_CREAT | os.O_APPEND) -> int:
    """Open and lock a file; raises BlockingIOError if another process has it locked."""
    fd = _open_append(path, flags)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise
    return fd


def _line(value: JsonValue) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def _write_all(fd: int, content: bytes) -> None:
    """Write all of it: one write, unless the disk fills up, whose error only the next one tells."""
    while content:
        content = content[os.write(fd, content) :]


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file so that it is old or new after a crash, and new for good once this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def now_text(seconds: float | None = None) -> str:
    """Return a time (now, if none is given) in UTC as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC).isoformat(timespec="microseconds")
