"""Write a session: events and metrics in single writes, and a summary that is replaced atomically."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from osiris.durable import (
    APPEND,
    READ_AND_APPEND,
    append,
    guarded,
    make_folder,
    make_marker,
    open_file,
    remove,
    write_file,
)
from osiris.errors import fail
from osiris.project_lock import hold_project
from osiris.secret import Scrubber
from osiris.session.finding import next_number
from osiris.session.stored import CONVERSATION, cut_torn_line, line, now_text, open_locked, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

ENDS = {"run_complete": "complete", "run_failed": "failed", "run_cancelled": "cancelled", "run_lost": "lost"}
"""The events that end a session, with the resulting status in run.json; until then it is `running`."""

STEP_ENDS = ("step_complete", "step_failed", "step_cancelled")

STEP_FIGURES = ("rows_in", "rows_out", "rows_rejected", "duration_ms", "attempts", "checks", "digest")
"""The fields of a step's last event that run.json keeps."""

_WORDS = """
ts seq session event step component mode status code severity pipeline run_key run_started_at
started_at ended_at fingerprint adapter profile kind continues connection digest because metric unit tags
engines environment replays base settings oml
"""
_PLAIN = frozenset(_WORDS.split())
_BY_NAME = ("steps", "outputs", "deliveries", "spools", "connections")
"""Keys whose value is an object by step or connection; its keys are not scrubbed."""

_ID_LENGTH = 200
_STAMP = "%Y%m%d-%H%M%S-%f"
_STAMP_LENGTH = len("20250131-235959-999")


def _no_secrets() -> Scrubber:
    return Scrubber(())


@dataclass(slots=True)
class Session:
    """A session being written, made by `create_session`; closed by `end_session` or at the end of its `with` block.

    `scrubber` is called for each line: a conversation may learn secrets while it goes on.
    """

    id: str
    folder: Path
    marker: Path
    scrubber: Callable[[], Scrubber] = _no_secrets
    _events: int = -1
    _metrics: int = -1
    _seq: int = 0
    _closes_on_exit: bool = True

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self._closes_on_exit:
            self.close()

    @property
    def artifacts(self) -> Path:
        """The folder of the run's artifacts, with one folder per step."""
        return self.folder / "artifacts"

    def event(self, name: str, **fields: JsonValue) -> dict[str, JsonValue]:
        """Append an event and return it; adds `ts`, `seq` and `session`."""
        self._seq += 1
        event = {"ts": now_text(), "seq": self._seq, "session": self.id, "event": name, **fields}
        return self._append(self._events, event)

    def metric(self, name: str, value: float, unit: str, **tags: str) -> None:
        """Append a metric; `tags` usually has the step."""
        fields = {"ts": now_text(), "session": self.id, "metric": name, "value": value, "unit": unit, "tags": tags}
        self._append(self._metrics, fields)

    def summary(self, data: Mapping[str, JsonValue]) -> None:
        """Replace run.json, durably and atomically; fails with PRJ006 if it cannot be written."""
        write_file(self.folder / "run.json", line(_clean(dict(data), self.scrubber())), private=True)

    def keep_plan(self, content: bytes) -> None:
        """Write manifest.json, durably."""
        write_file(self.folder / "manifest.json", content, private=True)

    def acknowledge(self) -> None:
        """Record that the run's caller was informed of its end, and close the session.

        Until then the same command reports this run instead of starting another. A marker that cannot be removed is
        ignored, as it does not change the run's outcome.
        """
        with suppress(OSError):
            remove(self.marker)
        self.close()

    def close(self) -> None:
        """Release the lock; a session whose run.json has no end counts as lost afterwards."""
        for fd in (self._events, self._metrics):
            if fd >= 0:
                os.close(fd)
        self._events = self._metrics = -1

    def _append(self, fd: int, fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
        clean: dict[str, JsonValue] = _clean(fields, self.scrubber())
        with guarded(self.folder):
            append(fd, line(clean))
        return clean


def _clean(value: JsonValue, scrubber: Scrubber) -> JsonValue:
    """Scrub a value, except fixed fields and names from the plan: a password may be the same word as a step."""
    if isinstance(value, list):
        return [_clean(item, scrubber) for item in value]
    if not isinstance(value, dict):
        return scrubber.json(value)
    return {key: item if key in _PLAIN else _clean_item(key, item, scrubber) for key, item in value.items()}


def _clean_item(key: str, item: JsonValue, scrubber: Scrubber) -> JsonValue:
    if key in _BY_NAME and isinstance(item, dict):
        return {name: _clean(inner, scrubber) for name, inner in item.items()}
    return scrubber.json(item) if key == "fields" else _clean(item, scrubber)


def create_session(
    project: Project, pipeline: str, scrubber: Callable[[], Scrubber] = _no_secrets, started: float | None = None
) -> Session:
    """Create the folder of a new session, locked by this process.

    Its id has the time, the pipeline, and a number that orders the project's sessions independently of the clock.
    `started` is when the run began, in seconds since 1970; now by default. Fails with PRJ006 if the folder cannot be
    created.
    """
    session = _new_session(project, pipeline, scrubber, started)
    make_marker(session.marker)
    return session


def begin_conversation(project: Project, scrubber: Callable[[], Scrubber]) -> Session:
    """Create the folder of a new conversation, locked by this process; fails with PRJ006 if it cannot be created.

    A conversation is never lost, as it can be resumed; so nothing marks it as open.
    """
    return _new_session(project, CONVERSATION, scrubber)


def continue_conversation(project: Project, session_id: str, scrubber: Callable[[], Scrubber]) -> Session:
    """Open the session of a conversation to resume it; incomplete lines are truncated, and numbering continues.

    Fails with CHT023 if another process has it open, and with PRJ006 if its folder cannot be written.
    """
    folder = project.logs / session_id
    session = Session(session_id, folder, project.open_sessions / session_id, scrubber)
    make_folder(folder, private=True)
    with guarded(folder):
        try:
            session._events = open_locked(folder / "events.jsonl", READ_AND_APPEND)
        except BlockingIOError:
            fail("CHT023", conversation=session_id)
        for name in ("events.jsonl", "metrics.jsonl"):
            cut_torn_line(folder / name)
        session._metrics = open_file(folder / "metrics.jsonl", APPEND)
        session._seq = max((event["seq"] for event in read_lines(folder / "events.jsonl")), default=0)
    return session


def _new_session(
    project: Project, name: str, scrubber: Callable[[], Scrubber], started: float | None = None
) -> Session:
    stamp = datetime.fromisoformat(now_text(started)).strftime(_STAMP)[:_STAMP_LENGTH]
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_ID_LENGTH]
    with hold_project(project):  # numbers are unique
        session_id = f"{stamp}-{plain}-{next_number(project):05}"
        folder = project.logs / session_id
        make_folder(folder, private=True)
    session = Session(session_id, folder, project.open_sessions / session_id, scrubber)
    with guarded(folder):
        session._events = open_locked(folder / "events.jsonl")
        session._metrics = open_file(folder / "metrics.jsonl", APPEND)
    return session


def end_session(
    session: Session, event: str, summary: Mapping[str, JsonValue], **fields: JsonValue
) -> dict[str, JsonValue]:
    """Write the session's last event and its summary, whose status must be that of the event; return the event.

    A complete session stays open until `Session.acknowledge`.
    """
    last = session.event(event, **fields)
    session.summary(summary)
    session._closes_on_exit = ENDS[event] != "complete"
    if session._closes_on_exit:
        session.acknowledge()
    return last


def update_step(step: dict[str, Any], event: Mapping[str, Any]) -> None:
    """Update a step's entry in run.json from the event of its start or end."""
    name = event["event"]
    step["status"] = "running" if name == "step_start" else name.removeprefix("step_")
    if name == "step_complete":
        step |= {key: event[key] for key in STEP_FIGURES if key in event}


def totals(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return a run's `rows_in`, read by its read steps, and `rows_out`, written by its write steps."""
    return {
        "rows_in": sum(step.get("rows_in", 0) for step in steps.values() if step["mode"] == "read"),
        "rows_out": sum(step.get("rows_out", 0) for step in steps.values() if step["mode"] == "write"),
    }
