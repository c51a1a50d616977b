"""What a compile knows of its sources: pinned in osiris.lock, or asked for just now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic, diagnostic
from osiris.lock import load_lock, pin_changes, pin_of, save_lock, source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.api.workspace import Workspace
    from osiris.cache import Cache
    from osiris.compiler.context import Prepared
    from osiris.discovery.feed import Seen
    from osiris.lock import Pin, Source
    from osiris.model import Described
    from osiris.runner.per_job_worker import Worker
    from osiris.types import Change


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a pipeline, by the step that reads them.

    `pins` has all of them, `asked` the answers of those that were looked at just now, and `changes` what differs from
    what was pinned before; only a `refreshed` compile looks at what is pinned.
    """

    pins: Mapping[str, Pin]
    asked: Mapping[str, Described]
    changes: Mapping[str, tuple[Change, ...]]
    refreshed: bool = False


def describe(
    workspace: Workspace, prepared: Prepared, worker: Worker | None, cache: Cache, *, refresh: bool
) -> tuple[dict[str, Described], list[Diagnostic], Sources]:
    """Return what every step says of itself, notes, and the sources; only those that nobody has looked at are asked.

    With `refresh` all are asked, and what changed is noted (LCK006). Fails as `load_lock`, and with the problems of
    every step. A worker is only needed for what neither osiris.lock nor `cache` nor discovery knows (DSC007 notes what
    only that does). Nothing is pinned yet.
    """
    from osiris.api.compile_cache import keep_answers, recall_answers

    sources, lock = _sources(prepared), load_lock(workspace.project)
    pinned = {step: lock[source.key] for step, source in sources.items() if source.key in lock}
    unknown = {} if refresh else {step: source for step, source in sources.items() if step not in pinned}
    seen = _seen(workspace, unknown)
    discovered = {step: seen[source.key] for step, source in unknown.items() if source.key in seen}
    pinned |= {step: pin_of(sources[step], each.described) for step, each in discovered.items()}
    trusted = {} if refresh else {step: pin.described for step, pin in pinned.items()}
    known = recall_answers(cache, prepared, trusted)
    described, notes = known, list[Diagnostic]()
    if len(known) < len(prepared.pipeline.steps) or any(step in trusted for step in _checked(prepared)):
        from osiris.runner.host.describe import describe as ask

        described, notes = ask(workspace.project, prepared, workspace.config, worker, known=known)
        keep_answers(cache, prepared, described, known)
    asked = {step: described[step] for step in sources if step not in known}
    pins = {**pinned, **{step: pin_of(sources[step], answer) for step, answer in asked.items()}}
    compared = {step: tuple(pin_changes(before, pins[step])) for step, before in pinned.items()}
    changes = {step: found for step, found in compared.items() if found}
    notes = [*notes, *_notes(prepared, pins, changes), *_not_looked_at(prepared, sources, discovered)]
    return described, notes, Sources(pins, asked, changes, refresh)


def _seen(workspace: Workspace, sources: Mapping[str, Source]) -> Mapping[str, Seen]:
    """Return what discovery has seen of sources, by their keys."""
    if not sources:
        return {}
    from osiris.discovery.feed import recall

    return recall(workspace.project, {source.key for source in sources.values()})


def _checked(prepared: Prepared) -> list[str]:
    """Return the steps whose rows are checked: no pin knows whether their checks fit."""
    return [step.id for step in prepared.pipeline.steps if "checks" in step.config]


def pin(workspace: Workspace, pipeline: str, sources: Sources) -> None:
    """Write what a compile learned of its sources into osiris.lock."""
    save_lock(workspace.project, pipeline, list(sources.pins.values()), refreshed=sources.refreshed)


def _sources(prepared: Prepared) -> dict[str, Source]:
    from osiris.compiler.build import plan_steps

    reads = (step for step in plan_steps(prepared) if step["mode"] == "read")
    return {
        step["id"]: source_of(step, prepared.specs[step["component"]], prepared.connections.get(step["connection"]))
        for step in reads
    }


def _notes(prepared: Prepared, pins: Mapping[str, Pin], changes: Mapping[str, tuple[Change, ...]]) -> list[Diagnostic]:
    places = {step.id: prepared.pipeline.where(step.pointer) for step in prepared.pipeline.steps}
    return [
        diagnostic("LCK006", at=places[step], step=step, source=pins[step].source, change=change)
        for step, found in changes.items()
        for change in found
    ]


def _not_looked_at(
    prepared: Prepared, sources: Mapping[str, Source], discovered: Mapping[str, Seen]
) -> list[Diagnostic]:
    """Return DSC007 for each step whose source only discovery has seen."""
    places = {step.id: prepared.pipeline.where(step.pointer) for step in prepared.pipeline.steps}
    return [
        diagnostic("DSC007", at=places[step], step=step, source=sources[step], when=seen.seen_at)
        for step, seen in discovered.items()
    ]
