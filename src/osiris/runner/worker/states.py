"""The jobs state (what targets have of the states of pairs, and changes of these by hand) and rehearse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import OUT_OF_REACH, exit_code, has_errors
from osiris.replication import Pair, StateChange
from osiris.runner.stages import plan_groups
from osiris.runner.worker.increments import load_fitting, schema_of, source_digest
from osiris.runner.worker.job_context import make_ready
from osiris.runner.worker.steps import attempt
from osiris.runner.worker.write_order import refusal, write_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import JobContext


def answer_states(job_ctx: JobContext) -> bool:
    """Send the answer of each writer in `Job.states`; returns False if one failed.

    A connection that does not work is not tried again for other writers.
    """
    steps = {step["id"]: step for step in job_ctx.job.steps}
    failed: dict[JsonValue, list[Diagnostic]] = {}
    ok = True
    for name, change in job_ctx.job.states.items():

        def ask(name: str = name, change: Mapping[str, JsonValue] = change) -> dict[str, JsonValue]:
            return _ask(job_ctx, steps, name, change)

        connection = steps[name]["connection"]
        problems = failed.get(connection)
        answer: JsonValue = None
        if problems is None:
            answer, problems = attempt(job_ctx, steps[name], ask)
        if exit_code(problems) == OUT_OF_REACH:
            failed[connection] = problems
        job_ctx.outbox.send("state", step=name, answer=answer, diagnostics=[item.to_json() for item in problems])
        ok = ok and not has_errors(problems)
    return ok


def _ask(
    job_ctx: JobContext, steps: Mapping[str, Mapping[str, JsonValue]], name: str, change: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    ready = make_ready(job_ctx, steps[name])
    step = (ready.config, schema_of(steps[name], steps), ready.context)
    if change:
        return {"again": ready.driver.change_state(*step, StateChange.from_json(change))}
    stored = ready.driver.inspect_state(*step)
    return {"version": stored.version, "state": stored.state and stored.state.to_text(), "kept": stored.kept}


def rehearse(job_ctx: JobContext) -> bool:
    """Send what a run would refuse before it reads a row; returns False if there is something.

    These are cycles of foreign keys, and states of the writers in `Job.states` that do not fit. Nothing is written.
    """
    steps = {step["id"]: step for step in job_ctx.job.steps}
    groups = plan_groups(job_ctx.job.steps, job_ctx.job.skip)
    order = write_order(job_ctx, groups, steps)
    refused = {groups[number].steps[-1]: refusal(order, number, groups, steps) for number in sorted(order.cycles)}
    for name, problem in refused.items():
        job_ctx.outbox.send("refused", step=name, diagnostics=[problem.to_json()])
    ok = not refused
    for name in (name for name in job_ctx.job.states if name not in refused):

        def load(name: str = name) -> None:
            _load(job_ctx, steps, name)

        reader = steps[steps[name]["state"]["reader"]]
        _, problems = attempt(job_ctx, reader, load)
        job_ctx.outbox.send("refused", step=reader["id"], diagnostics=[item.to_json() for item in problems])
        ok = ok and not has_errors(problems)
    return ok


def _load(job_ctx: JobContext, steps: Mapping[str, Mapping[str, JsonValue]], name: str) -> None:
    """Load the state of a writer's pair as a run does before the rows."""
    reader = steps[steps[name]["state"]["reader"]]
    connection = job_ctx.connections.get(reader["connection"] or "", {})
    pair, digest = Pair.of(steps[name], steps), source_digest(connection)
    load_fitting(make_ready(job_ctx, steps[name]), schema_of(steps[name], steps), pair, digest)
