"""What differs between two runs: how they ended, their plans, what was around them, their rows, and their data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.compare.diff import ABSENT, Difference, diff
from osiris.compare.verify import INCOMPARABLE, digest_changes, written_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

SECTIONS = ("outcome", "plan", "environment", "schemas", "rows", "digests")
"""In the order in which causes come before what follows from them; what a run took is told, and differs always."""

_COUNTS = ("rows_in", "rows_out", "rows_rejected")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took in two runs, in ms; None where it did not end, or is not part of the run.

    `what` is a step, or empty for the whole run.
    """

    what: str
    old: float | None
    new: float | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return step (None for the run) and both times."""
        return {"step": self.what or None, "old_ms": self.old, "new_ms": self.new}


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Two runs compared: the differences by section, of which all are there, and the times."""

    sections: Mapping[str, tuple[Difference, ...]]
    times: tuple[Timing, ...]

    @property
    def differences(self) -> list[Difference]:
        """Return all differences, the first cause first."""
        return [item for section in SECTIONS for item in self.sections[section]]


def diff_runs(a: RecordedRun, b: RecordedRun) -> RunDiff:
    """Compare two runs as their sessions record them; a plan that is gone counts as one without steps."""
    plan = diff(a.plan, b.plan) if a.plan and b.plan else []
    sections = {
        "outcome": tuple(_outcome(a, b)),
        "plan": tuple(item for item in plan if not item.leaf.endswith("/schema")),
        "environment": tuple(environment_changes(a, b)),
        "schemas": tuple(_schemas(a, b)),
        "rows": tuple(_rows(a, b)),
        "digests": tuple(run_digest_changes(a, b)),
    }
    return RunDiff(sections, tuple(_times(a, b)))


def environment_changes(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    """Yield what differs around two runs: versions and machine, limits, connections, sources, selected steps.

    Of a connection the fields that are not secret are compared by digest, of a source what it told of its state; what
    only one of the runs has recorded is left out, but for an engine, which only one of them may have used.
    """
    old, new = a.summary, b.summary
    versions = _leaves("environment", _versions(a), _versions(b))
    yield from (item for item in versions if ABSENT not in (item.old, item.new) or "/engines/" in item.path)
    yield from _leaves("environment", _pick(old, "adapter", "selected"), _pick(new, "adapter", "selected"))
    yield from _leaves("limits", old.get("limits") or {}, new.get("limits") or {})
    for kind, what in (("connections", "the fields of {} that are not secret"), ("sources", "the source of step '{}'")):
        before, after = old.get(kind) or {}, new.get(kind) or {}
        for name in (name for name in before if name in after and before[name] != after[name]):
            text = f"{what.format(name)} changed"
            yield Difference(kind, f"{kind}/{name}", before[name], after[name], text)


def run_digest_changes(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    """Yield what differs in the data of two runs by step, as its plan orders them, and column.

    Only steps are compared of which both runs have a digest.
    """
    other = {step.id: step for step in b.steps}
    for step in (step for step in planned_steps(a) if step.id in other):
        found = _data_changes(step, other[step.id])
        yield from (item for item in found if item.code == INCOMPARABLE or not item.path.endswith("/rows"))


def _data_changes(old: RecordedStep, new: RecordedStep) -> list[Difference]:
    before, after = digest_of(old), digest_of(new)
    if not before or not after:
        return []
    if old.output and new.output:
        return written_changes(old.id, old.output, new.output)
    return digest_changes(old.id, before, after)


def digest_of(step: RecordedStep) -> Mapping[str, Any] | None:
    """Return the digest of what a step gave or wrote; None if none was made."""
    found = (step.output or step.summary).get("digest")
    return found if isinstance(found, dict) else None


def planned_steps(run: RecordedRun) -> list[RecordedStep]:
    """Return the steps of a run in the order of its plan."""
    if run.plan is None:
        return list(run.steps)
    place = {step["id"]: number for number, step in enumerate(run.plan.steps)}
    return sorted(run.steps, key=lambda step: place.get(step.id, len(place)))


def _outcome(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    if a.status != b.status:
        yield Difference("outcome", "status", a.status, b.status)
    left, right = ({step.id: step for step in run.steps} for run in (a, b))
    for name in (name for name in left if name in right):
        yield from _step_outcome(left[name], right[name])


def _step_outcome(old: RecordedStep, new: RecordedStep) -> Iterator[Difference]:
    before, after = (step.error.code if step.error else step.status for step in (old, new))
    if before != after:
        yield Difference("outcome", f"steps/{old.id}/status", before, after)


def _versions(run: RecordedRun) -> Mapping[str, Any]:
    """Return the versions of a run; of one that did not record them those of its plan."""
    found: Mapping[str, Any] = run.summary.get("environment") or {"engines": run.summary["engines"]}
    return found


def _schemas(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    old, new = ({step.id: step.plan.get("schema") for step in run.steps} for run in (a, b))
    for name in (name for name in old if name in new):
        yield from _columns(f"steps/{name}/schema", old[name] or [], new[name] or [])


def _columns(path: str, old: list[Mapping[str, Any]], new: list[Mapping[str, Any]]) -> Iterator[Difference]:
    left, right = ({column["name"]: column for column in columns} for columns in (old, new))
    for name in dict.fromkeys((*left, *right)):
        before, after = (_spelled(side.get(name)) for side in (left, right))
        if before != after:
            yield Difference(path, f"{path}/{name}", before, after)
    shared = [name for name in left if name in right]
    if shared != [name for name in right if name in left]:
        yield Difference(path, path, list(left), list(right), f"{path}: the columns stand in another order")


def _spelled(column: Mapping[str, Any] | None) -> JsonValue:
    if column is None:
        return ABSENT
    return f"{column['type']}{'' if column['nullable'] else ' not null'}"


def _rows(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    left, right = ({step.id: step.summary for step in run.steps} for run in (a, b))
    for name in (name for name in left if name in right):
        for count in _COUNTS:
            before, after = (side[name].get(count) for side in (left, right))
            if None not in (before, after) and before != after:
                yield Difference("rows", f"steps/{name}/{count}", before, after)


def _times(a: RecordedRun, b: RecordedRun) -> Iterator[Timing]:
    yield Timing("", a.summary["duration_ms"], b.summary["duration_ms"])
    left, right = ({step.id: step.summary.get("duration_ms") for step in run.steps} for run in (a, b))
    yield from (Timing(name, left.get(name), right.get(name)) for name in dict.fromkeys((*left, *right)))


def _leaves(root: str, old: JsonValue, new: JsonValue) -> Iterator[Difference]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield Difference(root.partition("/")[0], root, old, new)
        return
    for key in dict.fromkeys((*old, *new)):
        yield from _leaves(f"{root}/{key}", old.get(key, ABSENT), new.get(key, ABSENT))


def _pick(values: Mapping[str, Any], *keys: str) -> dict[str, JsonValue]:
    return {key: values.get(key) for key in keys}
