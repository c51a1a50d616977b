"""Resolves the schemas of a compile's steps: from osiris.lock, the cache, discovery, or a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from osiris.cache import code_state
from osiris.compiler.build import plan_steps
from osiris.compiler.context import Question
from osiris.distribution import installed_version
from osiris.errors import Diagnostic, diagnostic
from osiris.lock import load_lock, pin_changes, pin_of, source_of
from osiris.model import Described
from osiris.sql import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.api.workspace import Workspace
    from osiris.cache import Cache
    from osiris.compiler.context import Prepared
    from osiris.discovery.schema_cache import KnownSchema
    from osiris.lock import Pin, Source
    from osiris.model import ComponentSpec, JsonValue
    from osiris.runner.adapter import Worker
    from osiris.types import Change

T = TypeVar("T")

_OURS = "osiris.components."
"""Prefix of our own components: only for them are code changes detected."""


class KnownVerdicts(dict[Question, Verdict]):
    """SQL verdicts by question, including those of earlier compiles; valid ones are cached."""

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self._cache = cache
        self._code = [code_state(), installed_version("sqlglot")]

    def __missing__(self, question: Question) -> Verdict:
        answer = self._cache.get(self._key(question))
        if answer is None:
            raise KeyError(question)
        verdict = _read(Verdict.from_json, answer)
        if verdict is None:
            raise KeyError(question)
        super().__setitem__(question, verdict)
        return verdict

    def __setitem__(self, question: Question, verdict: Verdict) -> None:
        super().__setitem__(question, verdict)
        if verdict.ok:
            self._cache.put(self._key(question), verdict.to_json())

    def _key(self, question: Question) -> JsonValue:
        text, dialect, relations, parameters, functions = question
        names = None if relations is None else sorted(relations)
        return [*self._code, text, dialect, names, sorted(parameters), sorted(functions)]


def recall_answers(cache: Cache, prepared: Prepared, sources: Mapping[str, Described]) -> dict[str, Described]:
    """Return the known descriptions of steps, by id: those of sources, and cached ones that depend on them."""
    answers = dict(sources)
    for step, key in _keys(prepared, answers):
        answer = cache.get(key)
        described = None if answer is None else _read(Described.from_json, answer)
        if described is not None:
            answers[step] = described
    return answers


def _read(form: Callable[[JsonValue], T], answer: JsonValue) -> T | None:
    """Return a parsed answer; None if it is malformed."""
    try:
        return form(answer)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def keep_answers(
    cache: Cache, prepared: Prepared, described: Mapping[str, Described], recalled: Mapping[str, Described]
) -> None:
    """Cache the descriptions of steps that were not recalled."""
    for step, key in _keys(prepared, described):
        if step not in recalled:
            cache.put(key, described[step].to_json())


def _keys(prepared: Prepared, described: Mapping[str, Described]) -> Iterator[tuple[str, JsonValue]]:
    """Yield each transform and writer whose inputs are all described, with a cache key of all dependencies."""
    code = [code_state(), dict(prepared.engines), sorted(prepared.pipeline.sensitive)]
    for step in plan_steps(prepared):
        spec = prepared.specs[step["component"]]
        if step["mode"] == "read" or not spec.module.startswith(_OURS):
            continue
        inputs = {name: described.get(source) for name, source in step["inputs"].items()}
        if all(inputs.values()):
            yield step["id"], [*code, *_step_key(step, spec, prepared), [_input_key(each) for each in inputs.items()]]


def _step_key(step: Mapping[str, JsonValue], spec: ComponentSpec, prepared: Prepared) -> list[JsonValue]:
    fields = prepared.connections.get(step["connection"]) if step["connection"] else None
    return [spec.digest, step["id"], step["config"], step["inputs"], step["connection"], fields]


def _input_key(item: tuple[str, Described | None]) -> list[JsonValue]:
    name, source = item
    schema = source.schema if source else None
    return [name, source and source.order, [[c.name, c.type, c.nullable] for c in schema or ()]]


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a pipeline, by read step.

    `pins` has all of them, `asked` the descriptions of those queried now, and `changes` the differences from earlier
    pins; only a `refreshed` compile queries pinned sources.
    """

    pins: Mapping[str, Pin]
    asked: Mapping[str, Described]
    changes: Mapping[str, tuple[Change, ...]]
    refreshed: bool = False


def describe(
    workspace: Workspace, prepared: Prepared, worker: Worker | None, cache: Cache, *, refresh: bool
) -> tuple[dict[str, Described], list[Diagnostic], Sources]:
    """Return the descriptions of all steps, notes, and the sources; queries only unknown sources.

    With `refresh` all are queried, and changes are noted (LCK006). A worker is used only for what is neither in
    osiris.lock, `cache` nor discovery (DSC007 notes what only discovery has). Fails as `load_lock`, and with the
    problems of every step. Does not save pins.
    """
    sources = _sources(prepared)
    pinned = _pins(workspace, sources)
    discovered = {} if refresh else _discovered(workspace, sources, pinned)
    pinned |= {step: pin_of(sources[step], each.described) for step, each in discovered.items()}
    trusted = {} if refresh else {step: pin.described for step, pin in pinned.items()}
    recalled = recall_answers(cache, prepared, trusted)
    described, notes = recalled, list[Diagnostic]()
    if _is_worker_needed(prepared, recalled, trusted):
        from osiris.runner.host.describe import describe as ask

        described, notes = ask(workspace.project, prepared, workspace.config, worker, recalled=recalled)
        keep_answers(cache, prepared, described, recalled)
    queried = {step: described[step] for step in sources if step not in recalled}
    pins = {**pinned, **{step: pin_of(sources[step], answer) for step, answer in queried.items()}}
    changes = _changes(pinned, pins)
    notes = [*notes, *_notes(prepared, sources, changes, discovered)]
    return described, notes, Sources(pins, queried, changes, refresh)


def _notes(
    prepared: Prepared,
    sources: Mapping[str, Source],
    changes: Mapping[str, tuple[Change, ...]],
    discovered: Mapping[str, KnownSchema],
) -> Iterator[Diagnostic]:
    """Yield LCK006 for each change of a source, and DSC007 for each step whose source is known only from discovery."""
    places = {step.id: prepared.pipeline.where(step.pointer) for step in prepared.pipeline.steps}
    for step, schema_changes in changes.items():
        for change in schema_changes:
            yield diagnostic("LCK006", at=places[step], step=step, source=sources[step], change=change)
    for step, entry in discovered.items():
        yield diagnostic("DSC007", at=places[step], step=step, source=sources[step], when=entry.seen_at)


def pinned_schemas(workspace: Workspace, prepared: Prepared) -> dict[str, Pin]:
    """Return the pins of osiris.lock for the read steps of a pipeline, by step."""
    return _pins(workspace, _sources(prepared))


def _pins(workspace: Workspace, sources: Mapping[str, Source]) -> dict[str, Pin]:
    lock = load_lock(workspace.project)
    return {step: lock[source.key] for step, source in sources.items() if source.key in lock}


def _discovered(
    workspace: Workspace, sources: Mapping[str, Source], pinned: Mapping[str, Pin]
) -> dict[str, KnownSchema]:
    """Return what discovery has cached of sources without a pin, by step."""
    unknown = {step: source.key for step, source in sources.items() if step not in pinned}
    if not unknown:
        return {}
    from osiris.discovery.schema_cache import recall

    entries = recall(workspace.project, set(unknown.values()))
    return {step: entries[key] for step, key in unknown.items() if key in entries}


def _is_worker_needed(prepared: Prepared, recalled: Mapping[str, Described], trusted: Mapping[str, Described]) -> bool:
    """Return whether a step is unknown, or is trusted but has checks, which must be bound to its schema."""
    steps = prepared.pipeline.steps
    return len(recalled) < len(steps) or any(step.id in trusted for step in steps if "checks" in step.config)


def _changes(before: Mapping[str, Pin], now: Mapping[str, Pin]) -> dict[str, tuple[Change, ...]]:
    compared = {step: tuple(pin_changes(pin, now[step])) for step, pin in before.items()}
    return {step: differences for step, differences in compared.items() if differences}


def _sources(prepared: Prepared) -> dict[str, Source]:
    from osiris.compiler.build import plan_steps

    reads = (step for step in plan_steps(prepared) if step["mode"] == "read")
    return {
        step["id"]: source_of(step, prepared.specs[step["component"]], prepared.connections.get(step["connection"]))
        for step in reads
    }
