"""What each write step did to its target, and whether a retry of the run is safe."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.history.failures import class_of, kind_of, may_pass
from osiris.history.record import REFUSED, resume_command, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.model import JsonValue, Manifest

_WHOLE = ("exactly_once", "atomic_replace")
_ORDER = ("unknown", "nothing", "written", "kept")
_UNSEEN_COMMIT = ("CON014", "CON015")
_REPEATABLE = ("replace", "upsert", None)
_BEFORE = ("schema", "auth", "config")
"""Classes of failures that occur before a target receives a row."""
_LONGEST = 500
"""Maximum characters of a suggested command."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a write step did; `rows` is None if unknown, and `whole` is False if a partial delivery is possible.

    `promise` is the delivery class recorded by the run, else that of the plan.
    """

    step: RecordedStep
    state: str
    whole: bool
    rows: int | None
    target: str | None
    promise: str | None

    @property
    def mode(self) -> str | None:
        """Write mode of the step; None if its component has none."""
        mode: str | None = (self.step.plan.get("config") or {}).get("write_mode")
        return mode

    def to_json(self) -> dict[str, JsonValue]:
        """Return the entry of answer.written.writers."""
        step = self.step
        return {
            "step": step.id,
            "state": self.state,
            "partial": False if self.whole else None,
            "rows": self.rows,
            "delivery": self.promise,
            "write_mode": self.mode,
            "target": self.target,
            "recorded": step.output is not None,
            "evidence": [f"out.{step.id}" if step.output is not None else f"step.{step.id}"],
        }


def deliveries_of(reading: Reading) -> list[Delivery]:
    """Return the deliveries of all write steps: unknown ones first, then by state, each in plan order."""
    promises = _promises(reading)
    writers = [_delivery(reading, step, promises[step.id]) for step in reading.run.steps if step.mode == "write"]
    return sorted(writers, key=lambda delivery: _ORDER.index(delivery.state))


def _delivery(reading: Reading, step: RecordedStep, promise: str | None) -> Delivery:
    target = written_to(reading, step)
    if step.output is not None:
        state = "written" if step.status == "complete" else "kept"
        return Delivery(step, state, True, step.output["rows"], target, promise)
    if step.status in ("not_run", "skipped"):
        return Delivery(step, "nothing", True, 0, target, promise)
    no_partial = promise in _WHOLE
    end = reading.ends.get(step.id, {})
    # Its end was not seen: the worker was killed or still runs, or the server did not confirm the commit.
    unseen = "duration_ms" not in end or end.get("code") in _UNSEEN_COMMIT
    # Some failures occur before the target receives a row.
    refused = class_of(str(end.get("code", ""))) in _BEFORE
    if unseen or not (no_partial or refused):
        return Delivery(step, "unknown", no_partial, None, target, promise)
    return Delivery(step, "nothing", no_partial, 0 if no_partial else None, target, promise)


def _promises(reading: Reading) -> dict[str, str | None]:
    """Return the delivery classes by step: a connection may guarantee more than its component does in general."""
    emitted = {event.get("step"): event for event in reading.run.events if event["event"] == "delivery"}
    fields = {step.id: emitted.get(step.id, {}).get("fields", {}) for step in reading.run.steps}
    return {step.id: fields[step.id].get("class") or step.plan.get("delivery") for step in reading.run.steps}


def written_to(reading: Reading, step: RecordedStep) -> str | None:
    """Return where a step wrote, considering that a replay writes elsewhere or only digests; None if unknown."""
    if reading.replays is None or reading.replays.get("to_targets"):
        return target_of(step.plan)
    files = (step.output or {}).get("files") or ()
    return str(files[0]["path"]) if files else None


def retry_of(reading: Reading, deliveries: list[Delivery]) -> dict[str, JsonValue]:
    """Return `answer.retry`."""
    partial = [delivery.step.id for delivery in deliveries if not delivery.whole]
    safe: bool | None = None if partial else True
    useful, command = False, None
    if reading.run.status == "running":
        safe, why = None, "The run has not ended; wait until it has."
    elif reading.replays is not None:
        why = f"This is a replay of run {reading.replays['session']}; it cannot be resumed."
    elif reading.run.status == "complete":
        safe, why = _new_run_safety(deliveries)
    else:
        useful = may_pass(reading.root.item.code) if reading.root else False
        prospect = _prospect(reading, deliveries, useful=useful, safe=not partial)
        why = f"{_continuation_text(deliveries, partial)} {prospect}"
        command = again(reading, deliveries, useful=useful)
    if reading.run.status != "running" and reading.replays is None:
        steps, fixed = [each.step for each in deliveries], useful or reading.run.status == "complete"
        why += "".join(f" {sentence}" for sentence in reading_on(steps, safe=bool(safe), fixed=fixed))
    return {"safe": safe, "useful": useful, "why": why, "command": command, "evidence": ["run"]}


def reading_on(writers: Iterable[RecordedStep], *, safe: bool, fixed: bool) -> list[str]:
    """Return the sentence on what the next run does for the writers behind a cursor, if there are any.

    `fixed`: nothing must be fixed before.
    """
    pairs = [step.id for step in writers if "state" in step.plan]
    retry = ("Safe to retry: the" if safe else "The") if fixed else "Once the cause is fixed, the"
    return [f"{retry} same command reads on from the recorded position of {_list_of(pairs)}."] if pairs else []


def _new_run_safety(deliveries: list[Delivery]) -> tuple[bool, str]:
    """Return whether a new run after a complete one is safe, and why."""
    writers = (delivery for delivery in deliveries if "state" not in delivery.step.plan)
    twice = [delivery.step.id for delivery in writers if delivery.mode not in _REPEATABLE]
    then = f"append the rows of {_list_of(twice)} again" if twice else "add no rows twice"
    return not twice, f"Nothing left to do. A new run would {then}."


def again(reading: Reading, deliveries: Iterable[Delivery], *, useful: bool) -> str | None:
    """Return the command to run the pipeline again: resume the same plan if that may succeed, else the fixed pipeline.

    After appended rows it always resumes, so that they are not appended twice. None if the command is too long.
    """
    summary = reading.run.summary
    if useful or not summary.get("oml") or _appended(deliveries) or summary.get("kind") == REFUSED:
        command = resume_command(summary)
    else:
        selected = summary.get("selected")
        only = ["--select", ",".join(selected)] if selected else []
        command = shlex.join(["osiris", "run", summary["oml"], *given_params(reading.run.plan), *only])
    return command if len(command) <= _LONGEST else None


def given_params(plan: Manifest | None) -> list[str]:
    """Return the command-line options for a plan's parameters, without sensitive ones."""
    from osiris.oml.params import param_text

    values = plan.data.get("params") or {} if plan else {}
    return [word for name, value in values.items() for word in ("--param", f"{name}={param_text(value)}")]


def _appended(deliveries: Iterable[Delivery]) -> list[str]:
    """Return the write steps that have appended rows, which another delivery would duplicate."""
    appended = (each for each in deliveries if each.state in ("written", "kept") and each.mode == "append")
    return [each.step.id for each in appended if "state" not in each.step.plan]


def _continuation_text(deliveries: list[Delivery], partial: list[str]) -> str:
    """Return why the run can be continued, or why not."""
    if partial:
        return f"Part of the rows of {_list_of(partial)} may already be written and would be sent again."
    done = [each.step.id for each in deliveries if each.state in ("written", "kept")]
    by_target, replaced = (
        [
            each.step.id
            for each in deliveries
            if each.state == "unknown" and (each.promise == "exactly_once") is by_ledger
        ]
        for by_ledger in (True, False)
    )
    parts = (
        (done, f"The output of {_list_of(done)} is on record as delivered and will be skipped"),
        (not done, "Nothing was delivered"),
        (by_target, f"whether {_list_of(by_target)} delivered is checked in its target before anything is sent"),
        (replaced, f"the output of {_list_of(replaced)} replaces the earlier one as a whole"),
    )
    return f"{'; '.join(text for is_so, text in parts if is_so)}."


def _prospect(reading: Reading, deliveries: list[Delivery], *, useful: bool, safe: bool) -> str:
    if not useful:
        twice = _appended(deliveries)
        restart = (
            f" A changed pipeline starts a new run and appends the rows of {_list_of(twice)} again." if twice else ""
        )
        return f"A retry {'is safe, but ' if safe else ''}fails until the cause is fixed.{restart}"
    retry = f"A retry {'is safe, and ' if safe else ''}may succeed"
    kind = kind_of(reading.root.item.code) if reading.root else ""
    if kind in ("disk_full", "out_of_memory"):
        return f"{retry} after freeing space or memory."
    return f"{retry} without any change."


def _list_of(steps: Iterable[str]) -> str:
    names = list(steps)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
