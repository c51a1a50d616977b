"""What to do after a run: commands that can be typed in the project's folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.history.deliveries import again, deliveries_of, given_params
from osiris.history.failure_classes import class_of, may_pass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.history.reading import Reading
    from osiris.model import JsonValue

_MOST = 5
_AT_ONCE = ("killed", "cancelled", "resource")
"""Failures after which the same command goes on: nothing in the project is to be mended."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, what it is for, and whether it may change targets or files of the project."""

    command: str
    why: str
    changes: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as it stands in answer.next."""
        return {"command": self.command, "why": self.why, "changes": self.changes}


def next_commands(reading: Reading) -> list[Command]:
    """Return what makes sense to do now, in this order."""
    status = reading.run.status
    if status == "running":
        return [Command(f"osiris logs show {reading.run.id}", "see how far it is")]
    found = _after_success(reading) if status == "complete" else _after_failure(reading)
    return list(found)[:_MOST]


def _after_success(reading: Reading) -> Iterator[Command]:
    yield Command(f"osiris logs show {reading.run.id}", "rows, files and digests of this run")
    if reading.base is not None:
        command = f"osiris verify {reading.base.id} {reading.run.id}"
        yield Command(command, "whether it wrote the same as the last success")


def _after_failure(reading: Reading) -> Iterator[Command]:
    if reading.root is None:
        yield Command(f"osiris logs show {reading.run.id}", "all that is on record")
        return
    code = reading.root.item.code
    kind = class_of(code)
    yield from _looking(reading, kind)
    meaning = [Command(f"osiris explain {code}", "what the code means")]
    running = list(_running(reading, code))
    yield from (*running, *meaning) if kind in _AT_ONCE else (*meaning, *running)
    yield Command(f"osiris logs show {reading.run.id} --events", "everything that happened, in order")


def _running(reading: Reading, code: str) -> Iterator[Command]:
    """Give the command that runs it again; nothing repeats a replay."""
    if reading.replays is not None:
        return
    useful = may_pass(code)
    why = "continue: what was delivered is skipped" if useful else "run it again, once the cause is mended"
    if class_of(code) == "resource":
        why = "continue, once there is room: what was delivered is skipped"
    if command := again(reading, deliveries_of(reading), useful=useful):
        yield Command(command, why, changes=True)


def _looking(reading: Reading, kind: str) -> Iterator[Command]:
    """Give what shows, or mends, the cause."""
    step = reading.broken[0] if reading.broken else None
    connection = step.plan.get("connection") if step else None
    file = reading.run.summary.get("oml")
    if connection and kind in ("connection", "auth", "config"):
        yield Command(f"osiris connections doctor {connection}", "why the connection does not work")
    if file and kind == "schema" and not (step and step.mode == "write"):
        command = shlex.join(["osiris", "compile", file, "--refresh", *given_params(reading.run.plan)])
        yield Command(command, "plan again with what the sources are now", changes=True)
