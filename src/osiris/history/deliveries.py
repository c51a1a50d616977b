"""What each write step did to its target, and whether the run may be given again."""

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
_FIRST = ("unknown", "nothing", "written", "kept")
_LAST_WORD = ("CON014", "CON015")
_REPEATABLE = ("replace", "upsert", None)
_BEFORE = ("schema", "auth", "config")
"""Classes of failures that a target shows before it is given a row."""
_LONGEST = 500
"""Characters of a command: nobody wants to type more, and what tells of it has to stay small."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a write step did; `rows` is None and `whole` False where that is not known.

    `promise` is its class of delivery, as the run told it or else the plan.
    """

    step: RecordedStep
    state: str
    whole: bool
    rows: int | None
    target: str | None
    promise: str | None

    @property
    def mode(self) -> str | None:
        """Write mode of the step, None if its component has none."""
        found: str | None = (self.step.plan.get("config") or {}).get("write_mode")
        return found

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as it stands in answer.written.writers."""
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
    """Return what the write steps did: those first of which it is not known, then the rest in the order of the plan."""
    writers = [_delivery(reading, step) for step in reading.run.steps if step.mode == "write"]
    return sorted(writers, key=lambda delivery: _FIRST.index(delivery.state))


def _delivery(reading: Reading, step: RecordedStep) -> Delivery:
    target, promise = written_to(reading, step), _promise(reading, step)
    if step.output is not None:
        state = "written" if step.status == "complete" else "kept"
        return Delivery(step, state, True, step.output["rows"], target, promise)
    if step.status in ("not_run", "skipped"):
        return Delivery(step, "nothing", True, 0, target, promise)
    whole = promise in _WHOLE
    end = reading.ends.get(step.id, {})
    # Nobody saw it end: its worker was killed, or is still at it, or the server that had to commit fell silent.
    unseen = "duration_ms" not in end or end.get("code") in _LAST_WORD
    # A target shows some failures before it is given a row.
    refused = class_of(str(end.get("code", ""))) in _BEFORE
    if unseen or not (whole or refused):
        return Delivery(step, "unknown", whole, None, target, promise)
    return Delivery(step, "nothing", whole, 0 if whole else None, target, promise)


def _promise(reading: Reading, step: RecordedStep) -> str | None:
    """Return the class of delivery: a connection may give more than its component does in any case."""
    told = (event for event in reversed(reading.run.events) if event["event"] == "delivery")
    mine = next((event for event in told if event.get("step") == step.id), None)
    found: str | None = (mine or {}).get("fields", {}).get("class") or step.plan.get("delivery")
    return found


def written_to(reading: Reading, step: RecordedStep) -> str | None:
    """Return where a step wrote: a replay writes elsewhere, or only digests its rows; None if that is not known."""
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
        safe, why = None, "The run has not ended; wait for it."
    elif reading.replays is not None:
        why = f"It only repeats run {reading.replays['session']}, and nothing continues it."
    elif reading.run.status == "complete":
        safe, why = _anew(deliveries)
    else:
        useful = may_pass(reading.root.item.code) if reading.root else False
        why = f"{_continuing(deliveries, partial)} {_prospect(reading, deliveries, useful=useful)}"
        command = again(reading, deliveries, useful=useful)
    return {"safe": safe, "useful": useful, "why": why, "command": command, "evidence": ["run"]}


def _anew(deliveries: list[Delivery]) -> tuple[bool, str]:
    """Return whether a new run after a complete one is safe, and why."""
    twice = [delivery.step.id for delivery in deliveries if delivery.mode not in _REPEATABLE]
    then = f"append the rows of {_named(twice)} once more" if twice else "leave every target as one run does"
    return not twice, f"Nothing is left to do. A new run would {then}."


def again(reading: Reading, deliveries: Iterable[Delivery], *, useful: bool) -> str | None:
    """Return the command that runs the pipeline again: the same plan if that may do, else what may have been mended.

    Where rows were appended it is always the same plan, so that they are not appended once more. None if it is longer
    than anybody would type.
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
    """Return the options of a command line that give a plan's parameters; none for sensitive ones."""
    from osiris.oml.params import param_text

    values = plan.data.get("params") or {} if plan else {}
    return [word for name, value in values.items() for word in ("--param", f"{name}={param_text(value)}")]


def _appended(deliveries: Iterable[Delivery]) -> list[str]:
    """Return the writers whose rows stand in their targets, and would do so twice if they were written again."""
    return [each.step.id for each in deliveries if each.state in ("written", "kept") and each.mode == "append"]


def _continuing(deliveries: list[Delivery], partial: list[str]) -> str:
    """Say why the same run may be continued, or why not."""
    if partial:
        return f"A part of the rows of {_named(partial)} may be there already, and would be sent again."
    done = [each.step.id for each in deliveries if each.state in ("written", "kept")]
    asked, anew = (
        [
            each.step.id
            for each in deliveries
            if each.state == "unknown" and (each.promise == "exactly_once") is by_ledger
        ]
        for by_ledger in (True, False)
    )
    told = (
        (done, f"What {_named(done)} wrote is on record and will be skipped"),
        (not done, "Nothing was delivered"),
        (asked, f"whether {_named(asked)} delivered is settled by its target before anything is sent"),
        (anew, f"what {_named(anew)} writes takes its place as a whole"),
    )
    return f"{'; '.join(text for is_so, text in told if is_so)}."


def _prospect(reading: Reading, deliveries: list[Delivery], *, useful: bool) -> str:
    if not useful:
        twice = _appended(deliveries)
        anew = f" A changed pipeline starts anew, and appends the rows of {_named(twice)} once more." if twice else ""
        return f"It will end the same way until the cause is mended.{anew}"
    kind = kind_of(reading.root.item.code) if reading.root else ""
    if kind in ("disk_full", "out_of_memory"):
        return "It may end well once there is room."
    return "It may end well without any change."


def _named(steps: Iterable[str]) -> str:
    names = list(steps)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
