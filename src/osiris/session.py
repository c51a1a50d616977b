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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from osiris.errors import Diagnostic, OsirisError, diagnostic, fail, nearest
from osiris.secret import Scrubber

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

ENDS = {"run_complete": "complete", "run_failed": "failed", "run_cancelled": "cancelled", "run_lost": "lost"}
"""The event that ends a session, and the status that it leaves in run.json; until then it is `running`."""

STEP_ENDS = ("step_complete", "step_failed", "step_cancelled")

STEP_FIGURES = ("rows_in", "rows_out", "rows_rejected", "duration_ms", "attempts", "checks", "digest")
"""What run.json has of a step that is complete, as its last event tells it."""

_WORDS = """
ts seq session event step component mode status code severity pipeline run_key run_started_at
started_at ended_at fingerprint adapter kind continues connection digest because metric unit tags
engines environment replays base settings oml
"""
_PLAIN = frozenset(_WORDS.split())
_BY_NAME = ("steps", "outputs", "deliveries", "spools", "connections")
"""Keys of which the value is a table by step or connection; its keys stay as they are."""

_ID_LENGTH = 200
_STAMP = "%Y%m%d-%H%M%S-%f"
_STAMP_LENGTH = len("20250131-235959-999")
_RECENT = {"last": 0, "previous": 1}


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
        """Replace run.json, durably and as a whole; fails with PRJ006 if it cannot be written."""
        with _own_errors(self.folder):
            write_durably(self.folder / "run.json", _line(self._clean(dict(data))))

    def keep_plan(self, content: bytes) -> None:
        """Write manifest.json, durably."""
        with _own_errors(self.folder):
            write_durably(self.folder / "manifest.json", content)

    def close(self) -> None:
        """Release the session; from now on it counts as lost unless run.json says how it ended."""
        for fd in (self._events, self._metrics):
            if fd >= 0:
                os.close(fd)
        self._events = self._metrics = -1

    def _clean(self, value: JsonValue) -> JsonValue:
        """Scrub a value but for the words of the plan and our own: a password may be the same word as a step."""
        if isinstance(value, list):
            return [self._clean(item) for item in value]
        if not isinstance(value, dict):
            return self.scrubber.json(value)
        return {key: item if key in _PLAIN else self._clean_item(key, item) for key, item in value.items()}

    def _clean_item(self, key: str, item: JsonValue) -> JsonValue:
        if key in _BY_NAME and isinstance(item, dict):
            return {name: self._clean(inner) for name, inner in item.items()}
        return self.scrubber.json(item) if key == "fields" else self._clean(item)

    def _append(self, fd: int, line: dict[str, JsonValue]) -> dict[str, JsonValue]:
        clean: dict[str, JsonValue] = self._clean(line)
        with _own_errors(self.folder):
            _write_all(fd, _line(clean))
        return clean


def create_session(
    project: Project, pipeline: str, scrubber: Scrubber | None = None, *, after: str | None = None
) -> Session:
    """Make the folder of a new session, locked by this process; its id sorts by time and holds the pipeline's name.

    It sorts behind the session `after`, even if the clock was set back meanwhile. Fails with PRJ006 if the folder
    cannot be made.
    """
    started = max(datetime.now(UTC), _time_behind(after))
    name = re.sub(r"[^A-Za-z0-9_-]", "_", pipeline)[:_ID_LENGTH]
    stamp = started.strftime(_STAMP)[:_STAMP_LENGTH]
    session_id = f"{stamp}-{name}-{secrets.token_hex(2)}"
    folder = project.logs / session_id
    session = Session(session_id, folder, project.open_sessions / session_id, scrubber or Scrubber(()))
    with _own_errors(folder):
        folder.mkdir(parents=True)
        project.open_sessions.mkdir(parents=True, exist_ok=True)
        session._events = _open_locked(folder / "events.jsonl")
        session._metrics = _open_append(folder / "metrics.jsonl")
        session.marker.touch()
    return session


def _time_behind(session_id: str | None) -> datetime:
    """Return the first time that makes an id which sorts behind another; the earliest of all if there is none."""
    with suppress(ValueError, OverflowError):
        stamp = datetime.strptime((session_id or "")[:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC)
        return stamp + timedelta(milliseconds=1)
    return datetime.min.replace(tzinfo=UTC)


def end_session(
    session: Session, event: str, summary: Mapping[str, JsonValue], **fields: JsonValue
) -> dict[str, JsonValue]:
    """Write the session's last event and its summary, whose status must be that of the event; return the event."""
    last = session.event(event, **fields)
    session.summary(summary)
    session.marker.unlink(missing_ok=True)
    session.close()
    return last


def open_session(project: Project, session_id: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of the session that `find_session` finds; fails with RUN010 if it finds none."""
    found = find_session(project, session_id)
    if found is None:
        fail("RUN010", session=session_id, hint=_near_sessions(project, session_id))
    return found


def _near_sessions(project: Project, name: str) -> str:
    names = [session["session"] for session in iter_sessions(project)]
    begun = sum(each.startswith(name) for each in names)
    if begun > 1:
        return f"{begun} sessions begin so: see 'osiris logs list'"
    near = nearest(name, names)
    return f"did you mean '{near}'?" if near else "see 'osiris logs list'"


def find_session(project: Project, name: str) -> dict[str, JsonValue] | None:
    """Return the run.json of one session; None if there is none of that name, or several.

    A name is `last`, `previous`, a session's id, a run key (its newest session counts), or what one id begins with.
    """
    if name in _RECENT:
        return next(islice(iter_sessions(project), _RECENT[name], None), None)
    if not name or "/" in name:
        return None
    if found := read_summary(project.logs / name):
        return found
    sessions = list_sessions(project)
    keyed = [session for session in sessions if session.get("run_key") == name]
    begun = [session for session in sessions if session["session"].startswith(name)]
    return keyed[0] if keyed else begun[0] if len(begun) == 1 else None


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


def read_lines(path: Path) -> list[dict[str, JsonValue]]:
    """Return the whole lines of events.jsonl or metrics.jsonl, as far as it is there; torn ones are left out."""
    return _whole_lines(path.read_bytes()) if path.is_file() else []


def close_lost(project: Project) -> list[dict[str, JsonValue]]:
    """Give an end to every session whose process is gone, and return their summaries.

    One that cannot be written now, as the disk is full for instance, is left to the next call.
    """
    if not project.open_sessions.is_dir():
        return []
    markers = sorted(project.open_sessions.iterdir())
    return [lost for marker in markers if (lost := _close_if_lost(project, marker.name))]


def _close_if_lost(project: Project, name: str) -> dict[str, JsonValue] | None:
    folder, marker = project.logs / name, project.open_sessions / name
    try:
        fd = _open_locked(folder / "events.jsonl", flags=os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        marker.unlink(missing_ok=True)
        return None
    except OSError:  # locked by a living process, or not ours
        return None
    session = Session(name, folder, marker, _events=fd)
    with session, suppress(OsirisError, OSError):
        summary = read_summary(folder)
        lost = _end_lost(session, summary) if summary and summary["status"] == "running" else None
        shutil.rmtree(project.scratch / name, ignore_errors=True)
        for torn in folder.glob(".run.json.*"):
            torn.unlink()
        marker.unlink(missing_ok=True)
        return lost
    return None


def _end_lost(session: Session, summary: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Cut an unterminated line, and give each step that started, then the session, its end."""
    path = session.folder / "events.jsonl"
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)
    events = _whole_lines(content)
    session._seq = max((e["seq"] for e in events), default=0)
    problem = diagnostic("RUN008", session=session.id)
    ends = {e["step"]: e for e in events if e["event"] in (*STEP_ENDS, "step_skipped")}
    _catch_up(summary["steps"], ends)
    for step in dict.fromkeys(e["step"] for e in events if e["event"] == "step_start" and e["step"] not in ends):
        session.event("step_failed", step=step, code=problem.code, message=problem.message)
        summary["steps"][step]["status"] = "failed"
    last = next((e for e in events if e["event"] in ENDS), None)
    if last is None:
        last = session.event("run_lost", code=problem.code, message=problem.message)
    summary |= {"status": ENDS[last["event"]], "ended_at": events[-1]["ts"] if events else summary["started_at"]}
    summary |= {"duration_ms": last.get("duration_ms"), **totals(summary["steps"])}
    summary["diagnostics"] += _untold(summary["diagnostics"], [*ends.values(), last], problem)
    session.summary(summary)
    return summary


def _catch_up(steps: dict[str, Any], ends: Mapping[str, Mapping[str, Any]]) -> None:
    """Let run.json know of the ends of steps what their events say: it is not renewed for each."""
    for name, end in ends.items():
        step = steps[name]
        step["status"] = end["event"].removeprefix("step_")
        if step["status"] == "complete":
            step |= {key: end[key] for key in STEP_FIGURES if key in end}


def _untold(known: list[Any], ends: list[Mapping[str, Any]], problem: Diagnostic) -> list[JsonValue]:
    """Return what steps and the run ended by and run.json has not; of the `problem` all that there is to say."""
    told = {(item["code"], item["message"]) for item in known}
    failed = [
        (e["code"], e["message"]) for e in ends if e["event"] not in ("step_complete", "step_cancelled") and "code" in e
    ]
    own = (problem.code, problem.message)
    new = [pair for pair in dict.fromkeys(failed) if pair not in told]
    return [(problem if pair == own else Diagnostic(*pair)).to_json() for pair in new]


def totals(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return the rows of a run: in is what its read steps read, and out what its write steps wrote."""
    return {
        "rows_in": sum(step.get("rows_in", 0) for step in steps.values() if step["mode"] == "read"),
        "rows_out": sum(step.get("rows_out", 0) for step in steps.values() if step["mode"] == "write"),
    }


def _whole_lines(content: bytes) -> list[dict[str, Any]]:
    """Return the lines that are events or metrics; a kill or a full disk may have torn one.

    All together are read three times as fast; one by one only if that fails.
    """
    lines = content.split(b"\n")[:-1]
    with suppress(ValueError):
        together: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(together) == len(lines) and all(map(_is_told, together)):
            return together
    parsed = (_parsed(line) for line in lines)
    return [line for line in parsed if line is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if _is_told(found) else None


def _is_told(found: object) -> bool:
    return isinstance(found, dict) and not found.keys().isdisjoint(("event", "metric"))


@contextmanager
def _own_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fail("PRJ006", path=folder, reason=error.strerror or str(error))


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
