"""A run as spans and metrics of OpenTelemetry, in plain values that `telemetry_service` sends.

Names and texts only: no rows, no values of data, no SQL.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from osiris.history.row_counts import total

if TYPE_CHECKING:
    from osiris.errors import Diagnostic
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.model import JsonValue

    Span = dict[str, JsonValue]

_FAILED = ("failed", "lost")
_COUNTS = ("rows_in", "rows_out", "rows_rejected", "attempts")


def spans_of(reading: Reading) -> list[Span]:
    """Return the span of a run, then those of its steps that began; times are in nanoseconds since 1970."""
    run, summary = reading.run, reading.run.summary
    start = datetime.fromisoformat(str(summary["started_at"]))
    end = datetime.fromisoformat(str(summary["ended_at"] or summary["started_at"]))
    attributes = {
        "osiris.pipeline": run.pipeline,
        "osiris.session": run.id,
        "osiris.run_id": summary["run_key"],
        "osiris.fingerprint": summary["fingerprint"],
        "osiris.target": summary["adapter"],
        "osiris.status": run.status,
    }
    cause = reading.root.item if reading.root else None
    whole = _span(reading, f"run {run.pipeline}", (start, end), run.status, cause, attributes)
    return [whole, *(_step(reading, step, start, end) for step in run.steps if step.began is not None)]


def _step(reading: Reading, step: RecordedStep, start: datetime, end: datetime) -> Span:
    counts = {f"osiris.{name}": step.summary[name] for name in _COUNTS if name in step.summary}
    attributes = {
        "osiris.pipeline": reading.run.pipeline,
        "osiris.step": step.id,
        "osiris.component": step.component,
        "osiris.mode": step.mode,
        "osiris.status": step.status,
        **counts,
    }
    began = start + timedelta(seconds=step.began or 0)
    ended = end if step.ended is None else start + timedelta(seconds=step.ended)
    return _span(reading, f"step {step.id}", (began, ended), step.status, step.error, attributes)


def _span(
    reading: Reading,
    name: str,
    times: tuple[datetime, datetime],
    status: str,
    error: Diagnostic | None,
    attributes: dict[str, JsonValue],
) -> Span:
    failed = status in _FAILED
    problem = {"error.type": error.code} if failed and error else {}
    began, ended = (int(time.timestamp() * 1_000_000) * 1_000 for time in times)
    return {
        "name": name,
        "start": began,
        "end": max(began, ended),
        "failed": failed,
        "message": reading.clean(f"{error.code} {error.message}") if failed and error else None,
        "attributes": {key: value for key, value in (attributes | problem).items() if value is not None},
    }


def metrics_of(reading: Reading) -> list[dict[str, JsonValue]]:
    """Return the metrics of a run: name, unit, kind, value, attributes."""
    summary, counts = reading.run.summary, reading.row_counts
    pipeline = {"osiris.pipeline": reading.run.pipeline}
    ended = pipeline | {"osiris.status": reading.run.status}
    duration = summary["duration_ms"]
    metrics = [
        ("osiris.runs", "{run}", "counter", 1, ended),
        ("osiris.run.duration", "s", "histogram", None if duration is None else duration / 1000, ended),
        ("osiris.rows.read", "{row}", "counter", total(counts, "read", "taken"), pipeline),
        ("osiris.rows.written", "{row}", "counter", total(counts, "write", "given"), pipeline),
        ("osiris.rows.rejected", "{row}", "counter", total(counts, None, "rejected"), pipeline),
    ]
    keys = ("name", "unit", "kind", "value", "attributes")
    return [dict(zip(keys, each, strict=True)) for each in metrics if each[3] is not None]
