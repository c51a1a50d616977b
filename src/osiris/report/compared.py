"""What is new in a run since an earlier one: the plan, what it read and wrote, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare import ABSENT, same_output
from osiris.history.changes import changes_of
from osiris.report.words import change_text, duration_text, number_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.history.changes import Change
    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue

MOST_CHANGES = 20
"""So many changes of a plan are shown; the rest is counted."""

_SOURCES = ("source_schema", "source_data")

_SLOWER, _NOTICED = 0.25, 0.1
"""A step took another time if it differs by that part, and by so many seconds: the rest is chance."""


class Fact(NamedTuple):
    """One figure of both runs, and by how much it changed; `changed` is False where it is the same."""

    what: str
    before: str
    now: str
    change: str
    changed: bool


class Output(NamedTuple):
    """What a step wrote, against what it wrote before: `same` is None where that cannot be told."""

    step: str
    same: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run against an earlier one of the same pipeline.

    `plan` are the changes of the plan, the first ones if there are many; None if one of the plans is gone. `outputs`
    are by write step; `steps` are those that gave other rows, or took another time. `sources` are read steps whose
    source is not what it was, and `found` says what the run itself found of its sources.
    """

    run: str
    status: str
    started_at: str
    facts: tuple[Fact, ...]
    plan: tuple[str, ...] | None
    plan_changes: int
    sources: tuple[str, ...]
    connections: tuple[str, ...]
    outputs: tuple[Output, ...]
    steps: tuple[Fact, ...]
    found: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Say in one line what is new."""
        outputs = [output.same for output in self.outputs]
        told = {
            "plan": not self.plan_changes,
            "sources": not (self.sources or self.found),
            "connections": not self.connections,
        }
        told |= {"output": False not in outputs} if outputs else {}
        new = [what for what, is_same in told.items() if not is_same]
        same = bool(outputs) and all(outputs)
        if new:
            verb = "differ" if len(new) > 1 or new[0].endswith("s") else "differs"
            return f"{_listed(new)} {verb}{', the output is the same' if same else ''}".capitalize()
        return "Same plan, sources and output" if same else "Same plan and sources"

    @property
    def figures(self) -> list[str]:
        """Say how the rows that were written and the time changed, as far as they did."""
        return [
            f"{fact.what} {fact.change}"
            for fact in self.facts
            if fact.changed and fact.what in ("rows out", "duration")
        ]


def compare_runs(run: RecordedRun, earlier: RecordedRun) -> Comparison:
    """Return what is new in a run since an earlier one."""
    changes = changes_of(run, earlier)
    known = run.plan is not None and earlier.plan is not None
    plan = [change.text for change in changes if change.in_plan]
    sources = [change for change in changes if change.area in _SOURCES and not change.in_plan]
    connections = [change.path for change in changes if change.path.startswith("connections/") and not change.in_plan]
    return Comparison(
        run=earlier.id,
        status=earlier.status,
        started_at=str(earlier.summary["started_at"]),
        facts=tuple(_facts(run.summary, earlier.summary)),
        plan=tuple(plan[:MOST_CHANGES]) if known else None,
        plan_changes=len(plan),
        sources=tuple(str(change.step) for change in sources if not _is_met(change)),
        connections=tuple(path.removeprefix("connections/") for path in connections),
        outputs=tuple(_outputs(run, earlier)),
        steps=tuple(_steps(run, earlier)),
        found=tuple(change.text for change in sources if _is_met(change)),
    )


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _is_met(change: Change) -> bool:
    """Tell whether the run met a change of a source by failing, rather than by its state."""
    return change.old is ABSENT


def _facts(now: Mapping[str, JsonValue], before: Mapping[str, JsonValue]) -> Iterator[Fact]:
    yield _words("status", before["status"], now["status"])
    for key, what in (("rows_in", "rows in"), ("rows_out", "rows out")):
        yield _rows(what, before[key], now[key])
    yield _times("duration", *(_seconds(each.get("duration_ms")) for each in (before, now)))
    yield _words("plan", str(before["fingerprint"])[:12], str(now["fingerprint"])[:12])
    yield _words("where it ran", before["adapter"], now["adapter"])


def _steps(run: RecordedRun, earlier: RecordedRun) -> Iterator[Fact]:
    """Yield the steps of both runs that gave other rows, then those that took another time."""
    before = {step.id: step.summary for step in earlier.steps}
    pairs = [(step.id, before[step.id], step.summary) for step in run.steps if step.id in before]
    for name, then, now in pairs:
        if "rows_out" in then and "rows_out" in now and then["rows_out"] != now["rows_out"]:
            yield _rows(f"{name}: rows", then["rows_out"], now["rows_out"])
    for name, then, now in pairs:
        fact = _times(f"{name}: time", *(_seconds(each.get("duration_ms")) for each in (then, now)))
        if fact.changed:
            yield fact


def _outputs(run: RecordedRun, earlier: RecordedRun) -> Iterator[Output]:
    before = {step.id: step.output for step in earlier.steps}
    for step in run.steps:
        then, now = before.get(step.id), step.output
        if step.mode != "write" or (then is None and now is None):
            continue
        if then is None or now is None:
            yield Output(step.id, None, "nothing was written before" if then is None else "nothing was written now")
        else:
            yield _output(step.id, then, now)


def _output(step: str, then: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Output:
    old, new = then.get("digest") or {}, now.get("digest") or {}
    same = same_output(then, now)
    if same is None:
        return Output(step, None, "the digests cannot be compared")
    if same:
        return Output(step, True, f"the same {number_text(now['rows'])} rows, value by value")
    rows = change_text(then["rows"], now["rows"])
    names = [name for name in old["columns"].keys() | new["columns"].keys() if _at(old, name) != _at(new, name)]
    columns = f"other values in {', '.join(sorted(names)[:8])}" if names else "other rows"
    return Output(step, False, f"{columns}; rows {rows}")


def _at(digest: Mapping[str, JsonValue], name: str) -> JsonValue:
    return digest["columns"].get(name)


def _words(what: str, before: JsonValue, now: JsonValue) -> Fact:
    return Fact(what, str(before), str(now), "same" if before == now else "changed", before != now)


def _rows(what: str, before: int, now: int) -> Fact:
    return Fact(what, number_text(before), number_text(now), change_text(before, now), before != now)


def _times(what: str, before: float | None, now: float | None) -> Fact:
    shown = duration_text(before), duration_text(now)
    if before is None or now is None:
        return Fact(what, *shown, "-", False)
    least = max(_NOTICED, _SLOWER * before)
    if abs(now - before) < least:
        return Fact(what, *shown, "about the same", False)
    word = "longer" if now > before else "shorter"
    return Fact(what, *shown, f"{duration_text(abs(now - before))} {word}", True)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
