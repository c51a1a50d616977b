"""The describe job: the schema and order of every step's output, each from those of the steps before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.errors import has_errors
from osiris.model import Described, resolve_order
from osiris.runner.casts import cast_schema
from osiris.runner.place import make_ready
from osiris.runner.steps import attempt, describe_ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue, Order
    from osiris.runner.place import Place


def describe_steps(place: Place) -> bool:
    """Tell what every step gives; steps below one that failed are passed over. Returns False if one failed."""
    known: dict[str, Described] = {}
    failed = False
    for step in place.job.steps:
        parents = {key: known.get(parent) for key, parent in step["inputs"].items()}
        if not all(parent and parent.schema is not None for parent in parents.values()):
            continue

        def ask(step: Mapping[str, JsonValue] = step) -> Described:
            return _describe(place, step, known)

        answer, problems = attempt(place, step, ask)
        if answer:
            known[step["id"]] = answer
            place.outbox.send("described", step=step["id"], **answer.to_json())
        else:
            place.outbox.send("not_described", step=step["id"], diagnostics=[d.to_json() for d in problems])
        failed = failed or has_errors(problems)
    return not failed


def _describe(place: Place, step: Mapping[str, JsonValue], known: Mapping[str, Described]) -> Described:
    ready = make_ready(place, step)
    parents = {key: known[parent] for key, parent in step["inputs"].items()}
    found = describe_ready(ready, {key: parent.schema or () for key, parent in parents.items()})
    return replace(
        found,
        schema=found.schema and cast_schema(found.schema, ready.casts, step["id"]),
        order=resolve_order(found.order, [_resolved(parent) for parent in parents.values()]),
        native=None if ready.casts else found.native,
    )


def _resolved(parent: Described) -> Order:
    return resolve_order(parent.order, ())
