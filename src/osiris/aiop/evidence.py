"""What statements rest on: the session's own words, each with an id that says where it stands in it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from osiris.compare import was_refused
from osiris.history.causes import Problem, clip
from osiris.history.deliveries import deliveries_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.model import JsonValue

    Item = dict[str, JsonValue]

_FILES = {
    "run": ("run.json", "summary: status, steps, outputs, diagnostics"),
    "plan": ("manifest.json", "the plan that ran"),
    "events": ("events.jsonl", "what happened, one line each"),
    "metrics": ("metrics.jsonl", "how much, one line each"),
}
_SPARSE = frozenset(("run_start", "run_complete", "run_failed", "run_cancelled", "run_lost", "step_start"))
_ENDS = frozenset(("step_complete", "step_failed", "step_cancelled", "step_skipped", "step_retry"))
_FREQUENT = frozenset(("step_progress", "sampled"))
_TOLD = frozenset(
    (
        *("ts", "seq", "session", "event", "step", "component", "mode", "rows_in", "rows_out", "rows_rejected"),
        *("digest", "files", "ledger", "bytes_written", "read_to_end", "checks", "duration_ms", "attempts", "pipeline"),
        *("run_key", "run_started_at", "fingerprint", "adapter", "file", "line", "column", "pointer", "hint"),
    )
)
"""Fields of events that are told elsewhere."""

_MESSAGE, _FIELD = 300, 200
_CHUNK = 1 << 20


def files_of(reading: Reading) -> list[Item]:
    """Return the files of the session that are there."""
    found = [
        {"id": name, "path": f"{reading.path}/{file}", "what": what}
        for name, (file, what) in _FILES.items()
        if (reading.run.folder / file).is_file()
    ]
    if reading.base is not None:
        found.append({"id": "base", "path": f"logs/{reading.base.id}/run.json", "what": "summary of the last success"})
    return found


def errors_of(reading: Reading) -> list[Item]:
    """Return the diagnostics of the run; of those that say the same code of the same step the first, with a count."""
    groups: dict[tuple[str, str | None], list[Problem]] = {}
    for problem in reading.problems:
        groups.setdefault((problem.item.code, problem.step), []).append(problem)
    firsts = ((reading.root if reading.root in group else group[0], len(group)) for group in groups.values())
    return [_error(reading, first, count) for first, count in firsts if first]


def _error(reading: Reading, problem: Problem, count: int) -> Item:
    number, item, step = problem
    return {
        "id": f"err.{number}",
        "severity": item.severity,
        "count": count,
        "step": step,
        "code": item.code,
        "message": clip(reading.clean(item.message), _MESSAGE),
        "place": str(item.location) or None,
        "hint": clip(reading.clean(item.hint), _MESSAGE) if item.hint else None,
    }


def outputs_of(reading: Reading) -> list[Item]:
    """Return the deliveries on record."""
    told = reading.run.summary.get("deliveries") or {}
    return [
        _output(step.id, step.output, str(told.get(step.id, {}).get("session", reading.run.id)))
        for step in reading.run.steps
        if step.output is not None
    ]


def _output(step: str, output: Mapping[str, JsonValue], session: str) -> Item:
    digest = None if was_refused(output) else output.get("digest")
    ledger = output.get("ledger")
    files = [
        {"path": file["path"], "size": file.get("size"), "sha256": str(file.get("sha256", ""))[:16] or None}
        for file in output.get("files") or ()
    ]
    return {
        "id": f"out.{step}",
        "step": step,
        "session": session,
        "rows": output["rows"],
        "digest": f"{digest['kind']}:{digest['algorithm']}:{digest['value'][:16]}" if digest else None,
        "files": files,
        "ledger": str(ledger.get("path") or ledger.get("table") or "in the target") if ledger else None,
    }


def steps_of(reading: Reading) -> list[Item]:
    """Return every step with its rows."""
    because = {link.step: link.because for link in reading.chain}
    writing = {each.step.id: each.state for each in deliveries_of(reading)}
    return [
        _step(reading, step) | _known(because=because.get(step.id), written=writing.get(step.id))
        for step in reading.run.steps
    ]


def _known(**fields: JsonValue) -> Item:
    return {key: value for key, value in fields.items() if value is not None}


def _step(reading: Reading, step: RecordedStep) -> Item:
    end = reading.ends.get(step.id, {})
    return {"id": f"step.{step.id}", "step": step.id, "mode": step.mode, "status": step.status} | _known(
        component=step.component or None,
        attempts=step.summary.get("attempts", end.get("attempts")),
        duration_ms=step.summary.get("duration_ms", end.get("duration_ms")),
        began_ms=None if step.began is None else round(step.began * 1000, 3),
        reason=step.reason,
        **reading.ledger[step.id].numbers(),
    )


def artifacts_of(reading: Reading) -> list[Item]:
    """Return the files below artifacts/, by path."""
    root = reading.run.folder / "artifacts"
    paths = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []
    return [_artifact(reading, path, path.relative_to(root).as_posix()) for path in paths]


def _artifact(reading: Reading, path: Path, name: str) -> Item:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    where = f"{reading.path}/artifacts/{name}"
    return {"id": f"art.{name}", "path": where, "size": path.stat().st_size, "sha256": digest.hexdigest()[:16]}


def timeline_of(reading: Reading, density: str) -> Iterator[Item]:
    """Give the events, by seq: of `low` density the starts and ends, of `medium` all but signs of progress."""
    for event in reading.run.events:
        name = event["event"]
        if name in _SPARSE or name in _ENDS or "code" in event or _is_told(name, density):
            yield _event(event, reading.clean)


def left_of_timeline(reading: Reading, density: str) -> int:
    """Return how many events of the timeline are not in memory."""
    return sum(count for name, count in reading.run.left_out.items() if _is_told(name, density))


def _is_told(name: str, density: str) -> bool:
    return density == "high" or (density == "medium" and name not in _FREQUENT)


def _event(event: Mapping[str, JsonValue], clean: Callable[[str], str]) -> Item:
    item: Item = {"id": f"ev.{event['seq']}", "ts": event["ts"], "event": event["event"]}
    if "step" in event:
        item["step"] = event["step"]
    data = {key: _field(value, clean) for key, value in event.items() if key not in _TOLD}
    return item | {"data": data} if data else item


def _field(value: JsonValue, clean: Callable[[str], str]) -> JsonValue:
    if isinstance(value, str):
        return clip(clean(value), _FIELD)
    if isinstance(value, dict):
        return {key: _field(item, clean) for key, item in list(value.items())[:20]}
    return [_field(item, clean) for item in value[:20]] if isinstance(value, list) else value


def event_weight(item: Item) -> int:
    """Return what sorts events by how much they tell; the ends of the run and what went wrong come first."""
    name = item["event"]
    if name.startswith("run_") or name in ("step_failed", "step_cancelled", "step_retry"):
        return 0
    return 1 if name in _ENDS or "code" in item.get("data", ()) else 2 if name in _SPARSE else 3


def metrics_of(reading: Reading, most: int) -> list[Item]:
    """Return the metrics, the `most` heaviest: durations first, each metric of a step by its largest value."""
    largest: dict[tuple[str, str | None], tuple[float, str, int]] = {}
    for line in reading.run.metrics:
        key = (str(line["metric"]), (line.get("tags") or {}).get("step"))
        value, unit, count = largest.get(key, (line["value"], line["unit"], 0))
        largest[key] = (max(value, line["value"]), unit, count + 1)
    items = [
        {
            "id": f"met.{metric}.{step}" if step else f"met.{metric}",
            "metric": metric,
            "step": step,
            "value": value,
            "count": count,
            "unit": unit,
        }
        for (metric, step), (value, unit, count) in largest.items()
    ]
    items.sort(key=lambda item: (item["step"] is not None, item["metric"] != "step_duration_ms", *_by_size(item)))
    return items[:most]


def _by_size(item: Item) -> tuple[float, str]:
    return (-item["value"] if item["metric"] == "step_duration_ms" else 0.0, str(item["id"]))
