"""The job state: what targets have of the states of pairs, and changes of these states by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import exit_code, has_errors
from osiris.model import schema_from_json
from osiris.replication import StateChange
from osiris.runner.worker.job_context import make_ready
from osiris.runner.worker.steps import attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import JobContext

_OUT_OF_REACH = 3


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
        if exit_code(problems) == _OUT_OF_REACH:
            failed[connection] = problems
        job_ctx.outbox.send("state", step=name, answer=answer, diagnostics=[item.to_json() for item in problems])
        ok = ok and not has_errors(problems)
    return ok


def _ask(
    job_ctx: JobContext, steps: Mapping[str, Mapping[str, JsonValue]], name: str, change: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    ready = make_ready(job_ctx, steps[name])
    (parent,) = steps[name]["inputs"].values()
    step = (ready.config, schema_from_json(steps[parent]["schema"]), ready.context)
    if change:
        return {"again": ready.driver.change_state(*step, StateChange.from_json(change))}
    stored = ready.driver.inspect_state(*step)
    return {"version": stored.version, "state": stored.state and stored.state.to_text(), "kept": stored.kept}
