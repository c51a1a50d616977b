"""The job doctor: checks all connections at once, each in its own thread with a timeout."""

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
    from osiris.runner.worker.job_context import JobContext

    Answers = queue.SimpleQueue[tuple[str, Health | None, list[Diagnostic]]]

AT_ONCE = 16
LONGEST = 10.0
"""Default timeout per connection, in seconds."""

_LAST_WORDS = 0.5
"""Extra seconds in which a family may report the timeout itself, with a better reason."""

_READS = frozenset(("read",))
_REMEDIES = {
    "CON014": "see the log of the server for why",
    "DRV000": "this is a mistake of the family's doctor; please report it",
}
"""Hints that replace those for steps of a run."""

_PLAIN_REMEDIES = {
    "DRV001": "correct the path in the connection, or make the file",
    "DRV003": "let the user who runs Osiris use it",
    "DRV005": "name a regular file in the connection",
    "DRV006": "see the log of the system for what is wrong with the disk",
    "DRV010": "name another file in the connection, or restore this one",
}
"""Hints for diagnostics without one."""


def examine_connections(job_ctx: JobContext) -> bool:
    """Check the connections in `Job.uses` and send a report of each; returns False if one has errors."""
    names = list(job_ctx.job.uses)
    groups = [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
    ok = [_examine(job_ctx, group) for group in groups]
    return all(ok)


def _examine(job_ctx: JobContext, names: Sequence[str]) -> bool:
    seconds = job_ctx.job.timeout or LONGEST
    answers: Answers = queue.SimpleQueue()
    overdue, waiting = threading.Event(), set(names)
    for name in names:
        ctx = _context(job_ctx, name, len(names), overdue)
        threading.Thread(target=_try, args=(job_ctx, ctx, seconds, answers), name=name, daemon=True).start()
    until, ok = time.monotonic() + seconds + _LAST_WORDS, True
    while waiting:
        try:
            with job_ctx.stopper.armed():
                name, health, problems = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        waiting.discard(name)
        ok = _send(job_ctx, name, health, problems) and ok
    overdue.set()
    for name in sorted(waiting):
        late = diagnostic("CON015", where=name, seconds=duration_text(seconds))
        ok = _send(job_ctx, name, None, [late]) and ok
    return ok


def _context(job_ctx: JobContext, name: str, share: int, overdue: threading.Event) -> StepContext:
    return replace(
        context_of(job_ctx, name, Path(job_ctx.job.scratch) / name.removeprefix("@")),
        threads=1,
        memory=job_ctx.job.limits.memory // share,
        cancelled=lambda: overdue.is_set() or job_ctx.stopper.requested(),
    )


def _try(job_ctx: JobContext, ctx: StepContext, seconds: float, answers: Answers) -> None:
    """Run the doctor of a connection's family, and put its answer into the queue."""
    name = ctx.step
    family = name.removeprefix("@").partition(".")[0]
    uses = frozenset(job_ctx.job.uses[name])

    def ask() -> Health | list[Diagnostic]:
        examine = family_function(family, "doctor", "examine")
        if examine is None:
            return [diagnostic("CON023", connection=name, reason=f"family '{family}' has no connection test")]
        health: Health = examine(ctx, uses, seconds)
        return health

    try:
        answer, problems = attempt(job_ctx, {"id": name, "component": family}, ask)
    except Stopped:
        return
    if isinstance(answer, list):
        answers.put((name, None, answer))
    elif answer is None:
        answers.put((name, None, [_with_remedy(item) for item in problems]))
    else:
        answers.put((name, answer, [*answer.diagnostics, *_privilege_problems(name, answer, uses)]))


def _privilege_problems(name: str, health: Health, uses: Collection[str]) -> list[Diagnostic]:
    """Return problems of a connection whose privileges exceed, or do not cover, what the project's pipelines need."""
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


def _send(job_ctx: JobContext, name: str, health: Health | None, problems: list[Diagnostic]) -> bool:
    fields = health.to_json() if health else {}
    job_ctx.outbox.send("examined", connection=name, fields=fields, diagnostics=[item.to_json() for item in problems])
    return not has_errors(problems)
