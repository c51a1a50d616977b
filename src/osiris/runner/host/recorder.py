"""Records a worker's events in the session: events, metrics, and a summary that is valid at any time."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from osiris.errors import Diagnostic, diagnostic
from osiris.history.failures import first_cause
from osiris.project import PIPELINE_ENDINGS
from osiris.session.stored import now_text
from osiris.session.writing import ENDS, STEP_FIGURES, end_session, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.session.writing import Session

    Progress = Callable[[dict[str, JsonValue]], None]

_BATCH = 1.0
"""Seconds between two records of deliveries of pairs."""

UNITS = {"rows": "rows", "bytes": "bytes", "ms": "ms"}

_OURS = ("run_", "step_", "connection_", "heartbeat", "job_end", "diagnostic")
"""Prefixes of our own event names; a driver's event with such a name is recorded as `driver.<name>`."""


_KEPT = {
    "rows_quarantined": "quarantined",
    "new_table": "new_table",
    "read_since": "read_since",
    "rows_deleted": "deleted",
    "cut": "cut",
    "one_task": "one_task",
}
"""Driver events kept in the summary of a step, with their key there."""

_AGAIN, _DELIVERED, _MISSING = "delivery_again", "already_delivered", "target_missing"
"""Events of a writer that tries its delivery once more, of one whose target has it already, by its record, and of one
whose target has that record and not the table.
"""


def unit_of(metric: str) -> str:
    """Return the unit of a metric, derived from its name."""
    return next((unit for part, unit in UNITS.items() if part in metric.split("_")), "count")


class Recorder:
    """Writes one session; `summary` is the content of run.json. `progress` receives each event as it is written.

    Deliveries of `pairs` are recorded in batches: with many, the summary is large, and their ledgers and states say
    what was delivered if the last batch is lost.
    """

    def __init__(
        self, session: Session, summary: dict[str, JsonValue], progress: Progress, pairs: Collection[str] = ()
    ) -> None:
        self.summary = summary
        self._pairs = pairs
        self._recorded_at = 0.0
        self.diagnostics: list[Diagnostic] = []
        self._session = session
        self._progress = progress
        self._began = time.monotonic()
        self._open: dict[str, str] = {}
        self._most_memory = 0
        self._tried: set[str] = set()  # steps that may have delivered in this run already
        self._known: set[str] = set()  # steps whose target had their delivery before this run
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "step_start": self._step_start,
            "step_progress": self._plain,
            "step_retry": self._step_retry,
            "step_complete": self._step_complete,
            "step_failed": self._step_failed,
            "step_cancelled": self._step_ended,
            "step_skipped": self._step_ended,
            "driver_event": self._driver_event,
            "diagnostic": self._diagnostic,
        }

    @property
    def open_steps(self) -> str:
        """The running steps, as text."""
        return ", ".join(f"step '{step}'" for step in self._open) or "start-up"

    @property
    def has_failed(self) -> bool:
        """Whether a step has failed."""
        return any(step["status"] == "failed" for step in self.summary["steps"].values())

    def pulse(self, message: dict[str, Any]) -> None:
        """Record a heartbeat's figure: the worker's memory in use, in bytes."""
        if "memory_bytes" in message:
            self._most_memory = max(self._most_memory, message["memory_bytes"])
            self._session.metric("memory_bytes", message["memory_bytes"], "bytes")

    def peak(self, memory: int) -> None:
        """Record the worker's peak memory, in bytes.

        The system's peak and the sampled maximum both lag a little, so the greater of the two is recorded.
        """
        self._session.metric("peak_memory_bytes", max(memory, self._most_memory), "bytes")

    def record_figures(self, figures: Mapping[str, float]) -> None:
        """Record the figures of the transport, also in the summary; a local worker has none."""
        for name, value in figures.items():
            self._session.metric(name, value, unit_of(name))
        self.summary |= {"remote": dict(figures)} if figures else {}

    def start(self, **fields: JsonValue) -> None:
        """Write the summary durably, then record the start event."""
        self._session.summary(self.summary)
        self._event("run_start", **fields)

    def note(self, item: Diagnostic, step: str | None = None) -> None:
        """Record a diagnostic of the run, or of one of its steps."""
        self.diagnostics.append(item)
        self.summary["diagnostics"].append({**item.to_json(), **({"step": step} if step else {})})

    def tell(self, name: str, **fields: JsonValue) -> None:
        """Record an event of the host itself."""
        self._event(name, **fields)

    def take(self, message: dict[str, JsonValue]) -> None:
        """Record one event of the worker; unknown events are recorded as they are."""
        self._handlers.get(message["event"], self._plain)(message)

    def end(self, event: str, diagnostics: list[Diagnostic], **fields: JsonValue) -> None:
        """End every step that is still open, then the run."""
        for item in diagnostics:
            self.note(item)
        cause = {"code": diagnostics[0].code, "message": diagnostics[0].message} if diagnostics else {}
        name = "step_cancelled" if event == "run_cancelled" else "step_failed"
        for step in list(self._open):
            self._step_ended({"event": name, "step": step, **cause})
        duration = round((time.monotonic() - self._began) * 1000, 3)
        self.summary["status"] = ENDS[event]
        self._total(duration)
        first = first_cause(self.summary)
        error = {"code": first[1].code, "message": first[1].message} if first else {}
        totals = {"rows_in": self.summary["rows_in"], "rows_out": self.summary["rows_out"]}
        self._session.metric("run_duration_ms", duration, "ms")
        last = end_session(self._session, event, self.summary, duration_ms=duration, **totals, **error, **fields)
        self._show(last)

    def _total(self, duration: float) -> None:
        self.summary |= {"ended_at": now_text(), "duration_ms": duration, **totals(self.summary["steps"])}

    def _step_start(self, message: dict[str, Any]) -> None:
        self._open[message["step"]] = message["mode"]
        self.summary["steps"][message["step"]]["status"] = "running"
        self._plain(message)

    def _step_retry(self, message: dict[str, Any]) -> None:
        self._tried.add(message["step"])
        self._plain(message)

    def _step_complete(self, message: dict[str, Any]) -> None:
        step, counts, delivered = message["step"], message.pop("counts"), message
        message = self._skipped(message) if step in self._known else message
        self.summary["steps"][step] |= {key: message[key] for key in STEP_FIGURES if key in message}
        if message["mode"] == "write":
            self._deliver(step, delivered)
        elif "spool" in message:
            self._keep(step, message.pop("spool"))
        self._metrics(step, message, counts)
        self._step_ended(message)

    def _skipped(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the end of a step whose target had its delivery before: it has written nothing."""
        kept = {key: message[key] for key in ("step", "component", "mode", "duration_ms", "attempts")}
        why = f"its target has a delivery of run '{self.summary['run_key']}' already"
        return kept | {"event": "step_skipped", "reason": why, "rows_in": 0, "rows_out": 0, "rows_rejected": 0}

    def _deliver(self, step: str, message: dict[str, Any]) -> None:
        """Record a delivery durably before anything else: a continued run skips recorded deliveries."""
        output: dict[str, Any] = {key: message[key] for key in ("digest", "files", "ledger") if key in message}
        output["rows"] = message["rows_out"]
        self.summary["steps"][step]["status"] = "complete"
        if step not in self._known:
            self.summary["outputs"][step] = output
        if self.summary["kind"] == "run":
            self.summary["deliveries"][step] = {"session": self._session.id, **output}
        if step not in self._pairs or time.monotonic() - self._recorded_at > _BATCH:
            self._session.summary(self.summary)
            self._recorded_at = time.monotonic()

    def _keep(self, step: str, spool: dict[str, Any]) -> None:
        """Record durably that a step's output is on disk: a continued run may read it."""
        self.summary["steps"][step]["status"] = "complete"
        self.summary["spools"][step] = {"session": self._session.id, **spool}
        self._session.summary(self.summary)

    def _metrics(self, step: str, message: dict[str, Any], counts: dict[str, int]) -> None:
        values: dict[str, float] = dict(counts)
        names = {"read": "rows_read", "write": "rows_written"}
        if message["mode"] in names:
            values[names[message["mode"]]] = message["rows_in" if message["mode"] == "read" else "rows_out"]
        else:
            values |= {"rows_in": message["rows_in"], "rows_out": message["rows_out"]}
        if message["rows_rejected"]:
            values["rows_rejected"] = message["rows_rejected"]
        if "bytes_written" in message:
            values["bytes_written"] = message["bytes_written"]
        if message["attempts"] > 1:
            values["step_attempts"] = message["attempts"]
        values["step_duration_ms"] = message["duration_ms"]
        for name, value in values.items():
            self._session.metric(name, value, unit_of(name), step=step)

    def _step_failed(self, message: dict[str, Any]) -> None:
        diagnostics = [Diagnostic.from_json(d) for d in message.pop("diagnostics")]
        for item in diagnostics:
            self.note(item, message["step"])
        self._step_ended({**message, "code": diagnostics[0].code, "message": diagnostics[0].message})

    def _step_ended(self, message: dict[str, Any]) -> None:
        step = message["step"]
        self._open.pop(step, None)
        self.summary["steps"][step]["status"] = message["event"].removeprefix("step_")
        self._plain(message)

    def _driver_event(self, message: dict[str, Any]) -> None:
        name = message["name"]
        if name in _KEPT:
            self.summary["steps"][message["step"]][_KEPT[name]] = message["fields"]
        if name == _MISSING:
            self.note(diagnostic("RUN066", step=message["step"]), message["step"])
        if name == _AGAIN:
            self._tried.add(message["step"])
        if name == _DELIVERED and not self.summary["continues"] and message["step"] not in self._tried:
            fields = {"run_id": self.summary["run_key"], "rows": f"{message['fields']['rows']:,}"}
            self.note(diagnostic("RUN065", step=message["step"], **fields), message["step"])
            self._known.add(message["step"])
        self._event(
            f"driver.{name}" if name.startswith(_OURS) else name, step=message["step"], fields=message["fields"]
        )

    def _diagnostic(self, message: dict[str, Any]) -> None:
        self.note(Diagnostic.from_json({key: value for key, value in message.items() if key != "event"}))
        self._plain(message)

    def _plain(self, message: dict[str, Any]) -> None:
        self._event(message["event"], **{key: value for key, value in message.items() if key != "event"})

    def _event(self, name: str, **fields: JsonValue) -> None:
        self._show(self._session.event(name, **fields))

    def _show(self, event: dict[str, JsonValue]) -> None:
        """Pass an event to `progress`; a closed pipe does not end the run."""
        with suppress(BrokenPipeError):
            self._progress(event)


def find_oml(project: Project, pipeline: str) -> str | None:
    """Return the file below pipelines/ that declares a pipeline, relative to the project; None unless it is unique."""
    files = (path for path in project.pipelines.glob("**/*") if path.suffix in PIPELINE_ENDINGS and path.is_file())
    matches = [path.relative_to(project.root).as_posix() for path in files if _declares(path, pipeline)]
    return matches[0] if len(matches) == 1 else None


def _declares(path: Path, pipeline: str) -> bool:
    from osiris.oml.parse import name_in

    with suppress(OSError):
        return name_in(path.read_text(encoding="utf-8", errors="replace")) == pipeline
    return False
