"""What failed first, and what that blocked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import Diagnostic
from osiris.history.failure_classes import step_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

    Ends = Mapping[str, Mapping[str, JsonValue]]


class Problem(NamedTuple):
    """A diagnostic of a run: its position in run.json, from 1, and the step that it is of; None if it is of the run."""

    number: int
    item: Diagnostic
    step: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """One step in the chain from the root to what it held up."""

    step: str
    state: str
    because: str


def first_cause(summary: Mapping[str, JsonValue]) -> tuple[int, Diagnostic] | None:
    """Return the error of a run.json that all else follows from, with its position from 1; None if there is none.

    Of a run that somebody stopped, or that is lost, it is what is said of the run, which comes last; of one that
    failed, what came first. A run that is complete or has not ended has none.
    """
    found = enumerate(summary.get("diagnostics") or (), 1)
    errors = [(number, Diagnostic.from_json(item)) for number, item in found if item.get("severity") == "error"]
    if not errors or summary["status"] in ("complete", "running"):
        return None
    return errors[-1] if summary["status"] in ("cancelled", "lost") else errors[0]


def cause_code(summary: Mapping[str, JsonValue]) -> str | None:
    """Return the code of the first cause of a run.json; None if there is none."""
    found = first_cause(summary)
    return found[1].code if found else None


def problems_of(run: RecordedRun, ends: Ends) -> list[Problem]:
    """Return all diagnostics of a run, each with its step: as recorded, as the message names it, or as a step ended."""
    told = run.summary.get("diagnostics") or ()
    pairs = enumerate(zip(run.diagnostics, told, strict=True), 1)
    return [Problem(number, item, _step(run, ends, item, data.get("step"))) for number, (item, data) in pairs]


def _step(run: RecordedRun, ends: Ends, item: Diagnostic, recorded: str | None) -> str | None:
    named = recorded or step_of(item)
    if named in run.summary["steps"]:
        return named
    said = (item.code, item.message)
    return next((step for step, end in ends.items() if (end.get("code"), end.get("message")) == said), None)


def broken_by(root: Problem, run: RecordedRun, ends: Ends) -> list[RecordedStep]:
    """Return the steps that ended by the root, in the order of the plan."""
    if run.status == "cancelled":
        return [step for step in run.steps if step.status in ("cancelled", "running")]
    said = (root.item.code, root.item.message)
    failed = ((step, ends.get(step.id)) for step in run.steps if step.status == "failed")
    return [step for step, end in failed if end and (end.get("code"), end.get("message")) == said]


def chain_of(run: RecordedRun, ends: Ends) -> list[Link]:
    """Return the whole chain: failed steps, those that never began, and those that were stopped.

    Each in the order of the plan. Where no step failed those that were stopped are what held up the others.
    """
    if run.status in ("complete", "running"):
        return []
    failed = [Link(step.id, "failed", str(ends.get(step.id, {}).get("code", ""))) for step in _in(run, "failed")]
    stopped = [Link(step.id, "cancelled", _why_stopped(ends, step)) for step in _in(run, "cancelled", "running")]
    broken = {link.step for link in (*failed, *stopped)}
    blocked = []
    for step in _in(run, "not_run"):
        above = next((name for name in step.needs if name in broken), None)
        if above:
            broken.add(step.id)
        blocked.append(Link(step.id, "not_run", above or "not reached"))
    return [*failed, *blocked, *stopped] if failed else [*stopped, *blocked]


def _in(run: RecordedRun, *statuses: str) -> list[RecordedStep]:
    return [step for step in run.steps if step.status in statuses]


def _why_stopped(ends: Ends, step: RecordedStep) -> str:
    told: Mapping[str, JsonValue] = ends.get(step.id, {})
    return str(told.get("because") or told.get("code") or "cancelled")


def event_ids(*events: Mapping[str, JsonValue] | None) -> list[str]:
    """Return the evidence ids of events."""
    return [f"ev.{event['seq']}" for event in events if event]


def clip(text: str, longest: int) -> str:
    """Return a text in one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
