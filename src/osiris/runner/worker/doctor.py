"""The job doctor: each connection is tried at once, in a thread of its own, and none is waited for too long."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic, diagnostic, has_errors
from osiris.family_spec import family_function
from osiris.runner.cancellation import Stopped
from osiris.runner.worker.job_context import context_of
from osiris.runner.worker.steps import attempt
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from osiris.driver import StepContext
    from osiris.families.doctor_report import Health
    from osiris.runner.worker.job_context import Place

    Answers = queue.SimpleQueue[tuple[str, Health | None, list[Diagnostic]]]

AT_ONCE = 16
LONGEST = 10.0
"""Seconds that a connection may take where the job says nothing else."""

_LAST_WORDS = 0.5
"""Seconds more in which a family may say by itself that its time is over; it knows better why."""

_READS = frozenset(("read",))
_REMEDIES = {
    "CON014": "see the log of the server for why",
    "DRV000": "this is a mistake of the family's doctor; please report it",
}
"""What to do instead of what is said to steps of a run."""

_PLAIN_REMEDIES = {
    "DRV001": "correct the path in the connection, or make the file",
    "DRV003": "let the user who runs Osiris use it",
    "DRV005": "name a regular file in the connection",
    "DRV006": "see the log of the system for what is wrong with the disk",
    "DRV010": "name another file in the connection, or restore this one",
}
"""What to do where nothing better is known."""


def examine_connections(place: Place) -> bool:
    """Try the connections that the job names, and tell of each; returns False if one does not work."""
    names = list(place.job.uses)
    groups = [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
    well = [_examine(place, group) for group in groups]
    return all(well)


def _examine(place: Place, names: Sequence[str]) -> bool:
    seconds = place.job.timeout or LONGEST
    answers: Answers = queue.SimpleQueue()
    overdue, waiting = threading.Event(), set(names)
    for name in names:
        ctx = _context(place, name, len(names), overdue)
        threading.Thread(target=_try, args=(place, ctx, seconds, answers), name=name, daemon=True).start()
    until, well = time.monotonic() + seconds + _LAST_WORDS, True
    while waiting:
        try:
            with place.stopper.armed():
                name, health, found = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        waiting.discard(name)
        well = _tell(place, name, health, found) and well
    overdue.set()
    for name in sorted(waiting):
        well = _tell(place, name, None, [diagnostic("CON015", where=name, seconds=duration_text(seconds))]) and well
    return well


def _context(place: Place, name: str, share: int, overdue: threading.Event) -> StepContext:
    return replace(
        context_of(place, name, Path(place.job.scratch) / name.removeprefix("@")),
        threads=1,
        memory=place.job.limits.memory // share,
        cancelled=lambda: overdue.is_set() or place.stopper.requested(),
    )


def _try(place: Place, ctx: StepContext, seconds: float, answers: Answers) -> None:
    """Ask the doctor of a connection's family, and put down what it says."""
    name = ctx.step
    family = name.removeprefix("@").partition(".")[0]
    uses = frozenset(place.job.uses[name])

    def ask() -> Health | list[Diagnostic]:
        examine = family_function(family, "doctor", "examine")
        if examine is None:
            return [diagnostic("CON023", connection=name, reason=f"family '{family}' has no connection test")]
        health: Health = examine(ctx, uses, seconds)
        return health

    try:
        said, found = attempt(place, {"id": name, "component": family}, ask)
    except Stopped:
        return
    if isinstance(said, list):
        answers.put((name, None, said))
    elif said is None:
        answers.put((name, None, [_with_remedy(item) for item in found]))
    else:
        answers.put((name, said, [*said.found, *_misused(name, said, uses)]))


def _misused(name: str, health: Health, uses: Collection[str]) -> list[Diagnostic]:
    """Return in what the rights of a connection are more or less than the pipelines of the project need."""
    reasons = ", and ".join(health.reasons)
    if health.grade == "too powerful":
        return [diagnostic("CON018", connection=name, user=health.user, reasons=reasons)]
    if health.grade == "writer" and uses == _READS and health.scripts:
        return [diagnostic("CON019", connection=name, user=health.user, reasons=reasons)]
    if health.grade == "reader" and "write" in uses:
        return [diagnostic("CON020", connection=name)]
    return []


def _with_remedy(item: Diagnostic) -> Diagnostic:
    plain = _PLAIN_REMEDIES.get(item.code, "check the connection in osiris_connections.yaml")
    return replace(item, hint=_REMEDIES.get(item.code) or item.hint or plain)


def _tell(place: Place, name: str, health: Health | None, found: list[Diagnostic]) -> bool:
    fields = health.to_json() if health else {}
    place.outbox.send("examined", connection=name, fields=fields, diagnostics=[item.to_json() for item in found])
    return not has_errors(found)
