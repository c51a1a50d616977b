"""What turns a checked pipeline into an explicit one: PASSES change and cannot fail."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.compiler.context import sql_fields, wanted_connection, with_config
from osiris.compiler.statements import verdict_of
from osiris.connections import resolve_ref
from osiris.registry import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from osiris.compiler.context import Context
    from osiris.model import ComponentSpec, Step


def name_connections(ctx: Context) -> Context:
    """Every connection is named with its alias, the default one too."""

    def named(step: Step, spec: ComponentSpec) -> Step:
        ref = wanted_connection(step, spec)
        return replace(step, connection=resolve_ref(ctx.connections, ref)) if ref else step

    return ctx.with_steps([named(step, spec) for step, spec in ctx.known()])


def canonical_sql(ctx: Context) -> Context:
    """Every statement is the text that was made from its checked tree."""

    def rewritten(step: Step, spec: ComponentSpec) -> Step:
        given = [name for name in sql_fields(spec) if name in step.config]
        return with_config(step, {name: verdict_of(ctx, step, spec, name).canonical for name in given})

    return ctx.with_steps([rewritten(step, spec) for step, spec in ctx.known()])


def carry_text(ctx: Context) -> Context:
    """A text source that is read by text sinks alone hands on its text, so that its characters stay as they are."""
    specs = {step.id: spec for step, spec in ctx.known()}
    readers: dict[str, list[str]] = defaultdict(list)
    for step in ctx.pipeline.steps:
        for source in step.inputs.values():
            readers[source].append(step.id)

    def textual(step: Step) -> bool:
        chain = [(step.id, "text_source"), *((reader, "text_sink") for reader in readers[step.id])]
        able = all(capability in specs[name].capabilities for name, capability in chain)
        typed = any(_looks_at_types(steps[name], specs[name]) for name, _ in chain) or "as_text" in step.config
        return len(chain) > 1 and able and not typed

    steps = {step.id: step for step in ctx.pipeline.steps}
    return ctx.with_steps([with_config(s, {"as_text": True}) if textual(s) else s for s in steps.values()])


def _looks_at_types(step: Step, spec: ComponentSpec) -> bool:
    """Tell whether a step's config has a key whose meaning depends on the types of columns."""
    properties = spec.config.get("properties", {})
    typed = [key for key, schema in properties.items() if "x-typed" in schema]
    return bool({"cast", "checks"}.intersection(step.config)) or any(
        step.config.get(key) in properties[key]["x-typed"] for key in typed
    )


def fill_defaults(ctx: Context) -> Context:
    """Every key that a component has a default for is written out, at any depth."""
    return ctx.with_steps([replace(step, config=filled(step.config, spec.config)) for step, spec in ctx.known()])


def sort_steps(ctx: Context) -> Context:
    """Steps stand in topological order, ties by id; what a step waits for is a sorted set."""
    steps = {step.id: step for step in ctx.pipeline.steps}
    explicit = {
        name: replace(step, needs=tuple(sorted({*step.needs, *step.inputs.values()}))) for name, step in steps.items()
    }
    return ctx.with_steps([explicit[name] for name in topological({n: s.needs for n, s in explicit.items()})])


def topological(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the keys so that each follows what it needs, the least first where several could be next.

    Keys on a circle, or after one, are left out.
    """
    followers: dict[str, list[str]] = defaultdict(list)
    waiting = {name: len(set(needed)) for name, needed in needs.items()}
    for name, needed in needs.items():
        for other in set(needed):
            followers[other].append(name)
    ready = [name for name, count in waiting.items() if not count]
    heapq.heapify(ready)
    done: list[str] = []
    while ready:
        done.append(heapq.heappop(ready))
        for name in followers[done[-1]]:
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, name)
    return done


PASSES: tuple[Callable[[Context], Context], ...] = (
    name_connections,
    canonical_sql,
    carry_text,
    fill_defaults,
    sort_steps,
)
