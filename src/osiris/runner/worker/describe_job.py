"""The jobs describe (output schemas, each step from its parents) and confirm (sources and targets)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.errors import InvalidInput, diagnostic, fail, has_errors, raise_all
from osiris.model import Described, resolve_order, schema_from_json
from osiris.runner.worker.casts import cast_schema
from osiris.runner.worker.checks import bind_checks
from osiris.runner.worker.job_context import make_ready
from osiris.runner.worker.steps import attempt, describe_ready
from osiris.types import schema_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import JobContext, Ready

_OF_CURSORS = ("STA007", "STA008")
"""Codes of cursors: a new plan would not help."""


def describe_steps(job_ctx: JobContext) -> bool:
    """Describe the output of every step, skipping steps below a failed one. Returns False if one failed.

    Steps with an answer in the job are not described again, but their checks are bound.
    """
    answers = {name: Described.from_json(answer) for name, answer in job_ctx.job.known.items()}
    failed = False
    pending = [each for each in job_ctx.job.steps if each["id"] not in answers or "checks" in each["config"]]
    for step in pending:
        if not all(_has_schema(answers.get(parent)) for parent in step["inputs"].values()):
            continue

        def ask(step: Mapping[str, JsonValue] = step) -> Described:
            return _describe(job_ctx, step, answers)

        answer, problems = attempt(job_ctx, step, ask)
        answers.update({step["id"]: answer} if answer else {})
        _send_answer(job_ctx, step["id"], answer, problems)
        failed = failed or has_errors(problems)
    return not failed


def _send_answer(job_ctx: JobContext, step: str, answer: Described | None, problems: list[Diagnostic]) -> None:
    if answer:
        job_ctx.outbox.send("described", step=step, **answer.to_json())
    else:
        job_ctx.outbox.send("not_described", step=step, diagnostics=[item.to_json() for item in problems])


def _has_schema(parent: Described | None) -> bool:
    return parent is not None and parent.schema is not None


def _describe(job_ctx: JobContext, step: Mapping[str, JsonValue], answers: Mapping[str, Described]) -> Described:
    ready = make_ready(job_ctx, step)
    parents = {key: answers[parent] for key, parent in step["inputs"].items()}
    answer = answers.get(step["id"]) or _ask(ready, parents)
    if step["mode"] == "read":
        # A plan and the records of its runs have the names of columns.
        for number, column in enumerate(answer.schema or (), 1):
            if job_ctx.outbox.scrubber.is_in(f"{column.name} {column.type}"):
                fail("CON079", what=f"column {number} that step '{step['id']}' reads")
    if ready.checks:
        source = answer if step["mode"] != "write" else next(iter(parents.values()))
        bind_checks(job_ctx, ready, source.schema or ())
    return answer


def _ask(ready: Ready, parents: Mapping[str, Described]) -> Described:
    described = describe_ready(ready, {key: parent.schema or () for key, parent in parents.items()})
    return replace(
        described,
        schema=described.schema and cast_schema(described.schema, ready.casts, ready.data["id"]),
        order=resolve_order(described.order, [resolve_order(parent.order, ()) for parent in parents.values()]),
        native=None if ready.casts else described.native,
    )


def confirm_steps(job_ctx: JobContext) -> bool:
    """Check every source against the plan and every target against its rows, and send their states.

    The schema of a target's rows is that of its parent in `Job.known`. Returns False if one has errors.
    """
    failed = False
    for step in job_ctx.job.steps:

        def ask(step: Mapping[str, JsonValue] = step) -> str | None:
            try:
                return _confirm(job_ctx, step)
            except InvalidInput as error:
                if step["mode"] == "write" or any(each.code in _OF_CURSORS for each in error.diagnostics):
                    raise
                # The step matched its source when it was planned, so this is drift.
                raise_all(diagnostic("DAT011", step=step["id"], problem=d.message) for d in error.diagnostics)

        state, problems = attempt(job_ctx, step, ask)
        job_ctx.outbox.send("confirmed", step=step["id"], state=state, diagnostics=[d.to_json() for d in problems])
        failed = failed or has_errors(problems)
    return not failed


def _confirm(job_ctx: JobContext, step: Mapping[str, JsonValue]) -> str | None:
    """Return the state of a source or target; a source fails with DAT011 for each column that differs from the plan."""
    ready = make_ready(job_ctx, step)
    if step["mode"] == "write":
        return _confirm_target(job_ctx, ready)
    planned = schema_from_json(step["schema"])
    if hasattr(ready.driver, "confirm") and not ready.casts:
        state: str | None = ready.driver.confirm(ready.config, planned, ready.context)
        return state
    described = _describe(job_ctx, step, {})
    changes = schema_changes(planned, described.schema or ())
    if changes:
        raise_all(diagnostic("DAT011", step=step["id"], problem=change) for change in changes)
    return described.state


def _confirm_target(job_ctx: JobContext, ready: Ready) -> str | None:
    (parent,) = ready.data["inputs"].values()
    columns = Described.from_json(job_ctx.job.known[parent]).schema or ()
    schema = cast_schema(columns, ready.casts, ready.data["id"])
    state: str | None = ready.driver.confirm(ready.config, schema, ready.context)
    return state


QUESTIONS: dict[str, Callable[[JobContext], bool]] = {"describe": describe_steps, "confirm": confirm_steps}
"""The jobs that move no rows; each returns whether there were no errors."""
