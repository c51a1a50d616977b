"""What steps say of themselves: the jobs describe (each from those before it) and confirm (sources and targets)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.errors import InvalidInput, diagnostic, has_errors, raise_all
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
    from osiris.runner.worker.job_context import Place, Ready


def describe_steps(place: Place) -> bool:
    """Tell what every step gives; steps below one that failed are passed over. Returns False if one failed.

    Steps that the job has an answer for are not asked, but for their checks.
    """
    known = {name: Described.from_json(answer) for name, answer in place.job.known.items()}
    failed = False
    asked = [each for each in place.job.steps if each["id"] not in known or "checks" in each["config"]]
    for step in asked:
        if not all(_is_known(known.get(parent)) for parent in step["inputs"].values()):
            continue

        def ask(step: Mapping[str, JsonValue] = step) -> Described:
            return _describe(place, step, known)

        answer, problems = attempt(place, step, ask)
        known.update({step["id"]: answer} if answer else {})
        _tell(place, step["id"], answer, problems)
        failed = failed or has_errors(problems)
    return not failed


def _tell(place: Place, step: str, answer: Described | None, problems: list[Diagnostic]) -> None:
    if answer:
        place.outbox.send("described", step=step, **answer.to_json())
    else:
        place.outbox.send("not_described", step=step, diagnostics=[item.to_json() for item in problems])


def _is_known(parent: Described | None) -> bool:
    return parent is not None and parent.schema is not None


def _describe(place: Place, step: Mapping[str, JsonValue], known: Mapping[str, Described]) -> Described:
    ready = make_ready(place, step)
    parents = {key: known[parent] for key, parent in step["inputs"].items()}
    answer = known.get(step["id"]) or _ask(ready, parents)
    if ready.checks:
        source = answer if step["mode"] != "write" else next(iter(parents.values()))
        bind_checks(place, ready, source.schema or ())
    return answer


def _ask(ready: Ready, parents: Mapping[str, Described]) -> Described:
    found = describe_ready(ready, {key: parent.schema or () for key, parent in parents.items()})
    return replace(
        found,
        schema=found.schema and cast_schema(found.schema, ready.casts, ready.data["id"]),
        order=resolve_order(found.order, [resolve_order(parent.order, ()) for parent in parents.values()]),
        native=None if ready.casts else found.native,
    )


def confirm_steps(place: Place) -> bool:
    """Ask every source whether it still is as planned, every target whether it takes its rows, and tell their states.

    A target's rows have the schema of the known answer of the step that it reads. Returns False if one is not well.
    """
    failed = False
    for step in place.job.steps:

        def ask(step: Mapping[str, JsonValue] = step) -> str | None:
            try:
                return _confirm(place, step)
            except InvalidInput as error:
                if step["mode"] == "write":
                    raise
                # When it was planned the step fitted its source.
                raise_all(diagnostic("DAT011", step=step["id"], problem=d.message) for d in error.diagnostics)

        state, problems = attempt(place, step, ask)
        place.outbox.send("confirmed", step=step["id"], state=state, diagnostics=[d.to_json() for d in problems])
        failed = failed or has_errors(problems)
    return not failed


def _confirm(place: Place, step: Mapping[str, JsonValue]) -> str | None:
    """Return the state of a source or target; a source fails with DAT011, once for each column not as planned."""
    ready = make_ready(place, step)
    if step["mode"] == "write":
        return _confirm_target(place, ready)
    planned = schema_from_json(step["schema"])
    if hasattr(ready.driver, "confirm") and not ready.casts:
        state: str | None = ready.driver.confirm(ready.config, planned, ready.context)
        return state
    found = _describe(place, step, {})
    changes = schema_changes(planned, found.schema or ())
    if changes:
        raise_all(diagnostic("DAT011", step=step["id"], problem=change) for change in changes)
    return found.state


def _confirm_target(place: Place, ready: Ready) -> str | None:
    (parent,) = ready.data["inputs"].values()
    given = Described.from_json(place.job.known[parent]).schema or ()
    schema = cast_schema(given, ready.casts, ready.data["id"])
    state: str | None = ready.driver.confirm(ready.config, schema, ready.context)
    return state


QUESTIONS: dict[str, Callable[[Place], bool]] = {"describe": describe_steps, "confirm": confirm_steps}
"""The jobs that move no rows; each tells whether all went well."""
