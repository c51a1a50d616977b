"""A run at work: what its files say so far, and the parts of its page that have changed since the last look."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from osiris import api
from osiris.errors import OsirisError
from osiris.history.record import STEP_ENDINGS, load_run
from osiris.project_lock import is_held
from osiris.report.plan import size_text
from osiris.report.template import duration_text
from osiris.session.stored import complete_lines
from osiris.session.writing import ENDS
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

    Event = Mapping[str, JsonValue]

_CHUNK = 1 << 22
"""Bytes that are read of a file at a time: a page that is opened late does not wait for all events."""
_PROBLEMS = 20


@dataclass(slots=True)
class Tail:
    """Reads the lines that were added to a file since the last time."""

    path: Path
    _offset: int = 0
    _rest: bytes = b""

    def lines(self) -> list[dict[str, JsonValue]]:
        """Return complete new lines; none if the file is missing."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read(_CHUNK)
        except OSError:
            return []
        self._offset += len(content)
        *complete, self._rest = (self._rest + content).rsplit(b"\n", 1)
        return complete_lines(complete[0] + b"\n") if complete else []


@dataclass(slots=True)
class LiveStep:
    """A step so far. `read` are rows that it has read, `rate` rows per second, `seconds` None until it has ended."""

    name: str
    mode: str
    status: str = "waiting"
    rows: int = 0
    read: int = 0
    rejected: int = 0
    expected: int | None = None
    rate: int = 0
    began: datetime | None = None
    seconds: float | None = None

    def take(self, event: Event) -> None:
        """Record an event of the step."""
        name = str(event["event"])
        self.rows = event.get("rows", event.get("rows_out", self.rows)) or 0
        self.read, self.rate = event.get("rows_in") or self.read, event.get("rate", self.rate)
        self.rejected = event.get("rows_rejected") or self.rejected
        self.expected = event.get("rows_expected", self.expected)
        if name == "step_start":
            self.status, self.began, self.seconds = "running", datetime.fromisoformat(event["ts"]), None
        elif name in STEP_ENDINGS:
            self.status, self.rate = name.removeprefix("step_"), 0
            self.seconds = (event.get("duration_ms") or 0) / 1000

    def row(self, now: datetime) -> StepRow:
        """Return what the page shows of it."""
        rows = count(self.read, "row") + " read" if self.read and not self.rows else count(self.rows, "row")
        of = f" of {self.expected:,}" if self.expected and self.seconds is None else ""
        begun = self.began is not None
        rate = f"{self.rate:,} rows/s" if self.rate else ""
        passed = (now - self.began).total_seconds() if self.began and self.seconds is None else self.seconds
        took = "" if passed is None else duration_text(int(passed) if self.seconds is None else passed)
        return StepRow(self.name, self.mode, self.status, f"{rows}{of}" if begun else "", self.rejected, rate, took)


class StepRow(NamedTuple):
    """A step as the page shows it."""

    name: str
    mode: str
    status: str
    rows: str
    rejected: int
    rate: str
    took: str


class Head(NamedTuple):
    """What stands above the steps: the state, the time so far, rows, memory, and what went wrong, the cause first."""

    session: str
    status: str
    took: str
    done: str
    memory: str
    problems: Sequence[Diagnostic]
    note: str


@dataclass(slots=True)
class LiveRun:
    """A run whose files are followed until it ends. `summary` is its run.json."""

    workspace: Workspace
    session: str
    summary: Mapping[str, JsonValue]
    steps: dict[str, LiveStep] = field(default_factory=dict)
    status: str = "running"
    note: str = ""
    _is_over: bool = False
    _memory: float | None = None
    _problems: Sequence[Diagnostic] = ()
    _tails: tuple[Tail, Tail] = field(init=False)

    def __post_init__(self) -> None:
        """Begin before the first event."""
        self._tails = Tail(self._folder / "events.jsonl"), Tail(self._folder / "metrics.jsonl")
        self.steps = {name: LiveStep(name, str(step["mode"])) for name, step in self.summary["steps"].items()}

    @property
    def _folder(self) -> Path:
        return self.workspace.project.logs / self.session

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status != "running" or bool(self.note)

    def advance(self) -> bool:
        """Read what is new; return whether something was."""
        events, metrics = (tail.lines() for tail in self._tails)
        for event in events:
            name = event.get("step")
            if name in self.steps:
                self.steps[name].take(event)
            self._is_over = self._is_over or event["event"] in ENDS
        for metric in metrics:
            self._memory = metric["value"] if metric["metric"] == "memory_bytes" else self._memory
        if self._is_over and not self.has_ended:
            self._end()
        return bool(events or metrics)

    def check(self) -> None:
        """Notice that the run was deleted, or that its process no longer exists."""
        if not os.path.lexists(self._folder):
            self.note = "This run was deleted."
        elif self.status != "running" or is_held(self._folder / "events.jsonl"):
            return
        elif not self.advance() and not self._is_over:
            self.note = "The process of this run no longer exists; the next command in the project records it as lost."

    def _end(self) -> None:
        """Take what run.json says of the end; it is written a moment after the event."""
        with suppress(OSError, OsirisError):
            ended = api.show_session(self.workspace, self.session)
            self._problems = load_run(self._folder, outline=True).diagnostics[:_PROBLEMS]
            self.summary, self.status = ended, ended["status"]

    def parts(self) -> dict[str, tuple[str, object]]:
        """Return the parts of the page by id, each as a template and its value."""
        now = datetime.now(UTC)
        rows: dict[str, tuple[str, object]] = {
            f"step{number}": ("live_step.html.jinja", step.row(now)) for number, step in enumerate(self.steps.values())
        }
        return {"live-head": ("live_head.html.jinja", self._head(now)), **rows}

    def _head(self, now: datetime) -> Head:
        steps = list(self.steps.values())
        complete = sum(step.status == "complete" for step in steps)
        rows_in = sum(step.read or step.rows for step in steps if step.mode == "read")
        rows_out = sum(step.rows for step in steps if step.mode == "write" and step.status == "complete")
        began = datetime.fromisoformat(self.summary["started_at"])
        recorded = self.summary["duration_ms"]
        took = duration_text(int((now - began).total_seconds()) if recorded is None else recorded / 1000)
        done = f"{complete:,} of {count(len(steps), 'step')} complete, {rows_in:,} rows in, {rows_out:,} rows out"
        memory = size_text(int(self._memory)) if self._memory and not self.has_ended else ""
        return Head(self.session, self.status, took, done, memory, self._problems, self.note)
