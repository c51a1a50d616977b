"""Whether a replay gave what its run gave, and what has changed between them that may be why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.compare.diff import ABSENT, Difference
from osiris.compare.verify import digest_changes, output_changes
from osiris.history.differences import digest_of, environment_changes, planned_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from osiris.compare.verify import RowFinder
    from osiris.errors import Diagnostic
    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

Kind = Literal["source", "target", "engine", "code", "environment", "unknown"]

_UNKNOWN = "nothing that is on record changed"
_CHANCE = "a step may depend on chance, on the time, or on an order of rows"


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not what it was in the run: a source, an engine, our code, or what was around."""

    kind: Kind
    text: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return kind and text."""
        return {"kind": self.kind, "text": self.text}


def replay_changes(
    root: Path, run: RecordedRun, replay: RecordedRun, rows: RowFinder | None = None
) -> list[Difference]:
    """Return what differs between a run and its replay, as the plan orders the steps; empty if nothing does.

    How a run that was stopped or lost would have ended is not known: only what it wrote is compared. A step that a
    failure stops is at another place each time: of a run that failed only what both wrote is. `rows` is as for
    `verify`.
    """
    again = {step.id: step for step in replay.steps}
    found: list[Difference] = []
    for step in planned_steps(run):
        found += _failure(run, step, again[step.id])
        found += _data(root, run, step, again[step.id], rows)
    return found


def reasons(run: RecordedRun, replay: RecordedRun, changed: Iterable[Diagnostic]) -> list[Reason]:
    """Return what has changed since a run; `changed` are the components that have (RUN023).

    A read step that fails only in the replay tells of its source, a write step that failed only in the run of its
    target, which no replay touches unasked. Without anything else, what cannot be known is said.
    """
    found = [_reason(item) for item in environment_changes(run, replay)]
    found += [Reason("code", item.message) for item in changed]
    before = {step.id: step for step in run.steps}
    found += [
        Reason("source", f"the source of step '{step.id}' changed: {step.error.message}")
        for step in replay.steps
        if step.mode == "read" and step.error and not before[step.id].error
    ]
    if not (replay.summary.get("replays") or {}).get("to_targets"):
        found += [
            Reason("target", f"the target of step '{step.id}', which failed in the run, is not touched by the replay")
            for step in run.steps
            if step.mode == "write" and step.error
        ]
    return found or [Reason("unknown", _unknown(run, replay))]


def _failure(run: RecordedRun, old: RecordedStep, new: RecordedStep) -> Iterator[Difference]:
    before, after = (step.error.code if step.error else None for step in (old, new))
    if before == after or (before is None and run.status not in ("complete", "failed")):
        return
    left, right = (f"fails with {code}" if code else "does not fail" for code in (before, after))
    path = f"{old.id}/status"
    yield Difference(old.id, path, before, after, f"step '{old.id}' {left} in the run, and {right} in the replay")


def _data(
    root: Path, run: RecordedRun, old: RecordedStep, new: RecordedStep, rows: RowFinder | None
) -> list[Difference]:
    if old.output and new.output:
        return output_changes(root, old.id, old.output, new.output, rows)
    if old.output and not new.error and run.status != "failed":
        text = f"step '{old.id}' wrote in the run, and did not get so far in the replay"
        return [Difference(old.id, old.id, "written", ABSENT, text)]
    before, after = digest_of(old), digest_of(new)
    return digest_changes(old.id, before, after) if before and after else []


def _reason(item: Difference) -> Reason:
    first, _, rest = item.path.partition("/")
    if first == "sources":
        return Reason("source", str(item))
    if rest == "osiris":
        return Reason("code", f"Osiris was {item.old}, and is {item.new} now")
    if rest.startswith("engines/"):
        name = rest.removeprefix("engines/")
        return Reason("engine", f"{name} was {item.old}, and is {item.new} now")
    return Reason("environment", str(item))


def _unknown(run: RecordedRun, replay: RecordedRun) -> str:
    """Say what may be the reason although nothing that is known has changed."""
    told = (run.summary.get("sources") or {}).keys() & (replay.summary.get("sources") or {}).keys()
    blind = [f"'{step.id}'" for step in run.steps if step.mode == "read" and step.id not in told]
    causes = [f"the source of step {', '.join(blind)} does not tell whether it did"] if blind else []
    secret = run.plan.data["sensitive"] if run.plan else []
    causes += [f"of parameter {', '.join(secret)} no value is kept"] if secret else []
    return "; ".join([_UNKNOWN, *(causes or [_CHANCE])])
