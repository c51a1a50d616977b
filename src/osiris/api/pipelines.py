"""From a file to a plan; and what a compile knows of its sources and need not ask again: osiris.lock and its cache."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from osiris.api.workspace import Workspace, find_file, load_plan, pipelines, shown
from osiris.cache import code_state
from osiris.compiler.build import plan_steps
from osiris.compiler.context import Question
from osiris.distribution import installed_version
from osiris.errors import (
    Diagnostic,
    OsirisError,
    diagnostic,
    did_you_mean,
    fail,
    has_errors,
    raise_all,
    sort_diagnostics,
)
from osiris.lock import load_lock, pin_changes, pin_of, save_lock, source_of
from osiris.model import Described
from osiris.sql import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.cache import Cache
    from osiris.compiler.context import Prepared, Verdicts
    from osiris.discovery.feed import Seen
    from osiris.document import Document
    from osiris.lock import Pin, Source
    from osiris.model import ComponentSpec, JsonValue, Manifest, Pipeline
    from osiris.report.plan import PlanView
    from osiris.runner.adapter import Worker
    from osiris.types import Change


@dataclass(frozen=True, slots=True)
class Validated:
    """What checking one file found; `prepared` is None if it has errors."""

    file: str
    diagnostics: tuple[Diagnostic, ...]
    prepared: Prepared | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the file may be compiled."""
        return self.prepared is not None

    @property
    def name(self) -> str | None:
        """Return the pipeline's name, if the file is good."""
        return self.prepared.pipeline.name if self.prepared else None

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the ids of the steps in the order in which they run."""
        return tuple(step.id for step in self.prepared.pipeline.steps) if self.prepared else ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A fresh plan, the file it was made from as it is shown, notes, and what its steps and sources said."""

    manifest: Manifest
    file: str
    diagnostics: tuple[Diagnostic, ...]
    described: Mapping[str, Described]
    sources: Sources
    prepared: Prepared

    @property
    def pipeline(self) -> Pipeline:
        """Return the pipeline that the plan was made of."""
        return self.prepared.pipeline

    def plain(self) -> Manifest:
        """Return the plan for looking at every step: no column is left out, and nothing is fused."""
        from osiris.compiler.compile import compile_pipeline

        return compile_pipeline(self.prepared, self.described, plain=True)


def validate_files(workspace: Workspace, files: Sequence[str], *, params: Mapping[str, str]) -> list[Validated]:
    """Check files, all of `pipelines/` if none is named, each on its own."""
    paths = [find_file(workspace, file) for file in files] or pipelines(workspace)
    return [validate_file(workspace, path, params=params) for path in paths]


def validate_file(
    workspace: Workspace,
    path: Path,
    *,
    params: Mapping[str, str],
    verdicts: Verdicts | None = None,
    text: str | None = None,
) -> Validated:
    """Check one file as far as that goes without asking a source; problems are returned, not raised.

    `verdicts` has what is known of SQL texts, and is told what was found. A `text` is checked as the file that it would
    be at `path`; nothing is written.
    """
    from osiris.compiler.compile import prepare
    from osiris.oml.parse import load_document, parse
    from osiris.oml.validate import validate

    name = shown(workspace, path)
    try:
        document = load_document(path, workspace.root) if text is None else parse(text, name)
        pipeline, notes = validate(
            document,
            workspace.registry,
            params=params,
            env=workspace.environ,
            profile=_profile_of(workspace, document),
            defaults=workspace.config.step_defaults(),
        )
        namesakes = _namesakes(workspace, path, pipeline.name)
        prepared, more = prepare(
            pipeline,
            workspace.registry,
            workspace.connections(),
            workspace.root,
            namesakes=namesakes,
            verdicts=verdicts,
            allowed=workspace.config.paths(),
        )
    except OsirisError as error:
        return Validated(name, error.diagnostics)
    diagnostics = tuple(sort_diagnostics([*notes, *more]))
    return Validated(name, diagnostics, None if has_errors(more) else prepared)


def _profile_of(workspace: Workspace, document: Document) -> str | None:
    """Return the profile that the file must declare; one of osiris.yaml alone asks nothing of it.

    Fails with OML023 for one that neither has.
    """
    chosen = workspace.config.profile
    declared = document.data.get("profiles")
    if chosen and not declared and chosen not in workspace.config.profiles:
        none = "no profile is declared: declare it under 'profiles' in the pipeline or in osiris.yaml, or name none"
        known = workspace.config.profiles
        fail("OML023", name=chosen, hint=did_you_mean(chosen, known) if known else none)
    own = isinstance(declared, dict) and chosen in declared
    return chosen if own or chosen not in workspace.config.profiles else None


def compile_file(
    workspace: Workspace,
    file: str | Path,
    *,
    params: Mapping[str, str],
    strict: bool = False,
    refresh: bool = False,
    plain: bool = False,
    worker: Worker | None = None,
    text: str | None = None,
) -> Compiled:
    """Return the plan of a file without saving anything; with `refresh` sources are asked whose schema is pinned too.

    With `plain` it is a plan for looking at every step, as `compile_pipeline` makes it. A worker, this one if given,
    asks the other sources for their schemas, and binds SQL. A `text` is compiled as the file that it would be.
    """
    from osiris.cache import open_cache
    from osiris.compiler.compile import compile_pipeline, lint

    path = find_file(workspace, file) if text is None else Path(file)
    # A text that is refused may hold a secret; so nothing is kept of a compile that fails.
    with open_cache(workspace.project.cache) as cache:
        checked = validate_file(workspace, path, params=params, verdicts=KnownVerdicts(cache), text=text)
        if checked.prepared is None:
            raise_all(checked.diagnostics)
        described, notes, sources = describe(workspace, checked.prepared, worker, cache, refresh=refresh)
        manifest = compile_pipeline(checked.prepared, described, plain=plain)
    lints = lint(checked.prepared, described, workspace.root)
    diagnostics = [*workspace.config.diagnostics, *checked.diagnostics, *notes, *lints]
    if strict:
        refuse_warnings(diagnostics)
    return Compiled(manifest, checked.file, tuple(sort_diagnostics(diagnostics)), described, sources, checked.prepared)


def refuse_warnings(diagnostics: Sequence[Diagnostic]) -> None:
    """Fail with PRJ013 and the warnings themselves if there are any."""
    warnings = [item for item in diagnostics if item.severity == "warning"]
    if warnings:
        raise_all([*diagnostics, diagnostic("PRJ013", count=len(warnings))])


def save(workspace: Workspace, compiled: Compiled, out: Path | None = None) -> str:
    """Write the plan (to `out` instead of build/), note it as the last compiled, and pin its sources in osiris.lock.

    Returns the file of the plan as shown.
    """
    from osiris.compiler.manifest import save_manifest

    sources = compiled.sources
    save_lock(workspace.project, compiled.manifest.name, list(sources.pins.values()), refreshed=sources.refreshed)
    return shown(workspace, save_manifest(workspace.project, compiled.manifest, out and out.absolute()))


def changes_on_disk(workspace: Workspace, compiled: Compiled) -> list[Diagnostic]:
    """Return CMP026 if build/ does not have this plan, naming the first difference to the pipeline's newest one."""
    from osiris.compare.differences import first_change
    from osiris.compiler.manifest import PlanFile, holds, newest_manifest, plan_folder

    own = plan_folder(workspace.project, compiled.manifest) / "manifest.json"
    if holds(own, compiled.manifest):
        return []
    if own.exists():
        load_plan(workspace, PlanFile(own, compiled.manifest.fingerprint))
    saved = newest_manifest(workspace.project, compiled.manifest.name)
    before = load_plan(workspace, saved, allow_drift=True)[0] if saved else None
    change = first_change(before, compiled.manifest)
    return [diagnostic("CMP026", file=compiled.file, change=str(change))]


def _namesakes(workspace: Workspace, path: Path, name: str) -> list[str]:
    """Return the other files of pipelines/ whose name line is the same; the file itself may lie elsewhere."""
    own = path.resolve()
    if not own.is_relative_to(workspace.project.pipelines):
        return []
    others = (other for other in pipelines(workspace, strict=False) if other.resolve() != own)
    return [shown(workspace, other) for other in others if _declares(other, name)]


def _declares(path: Path, name: str) -> bool:
    """Tell whether a file has that name at its top; files that are no pipelines have any shape, so lines are read."""
    line = re.compile(rf"""(["']?)name\1\s*:\s*(["']?){re.escape(name)}\2\s*(#.*)?""")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.fullmatch(each) for each in lines)


def validated_data(results: Sequence[Validated]) -> dict[str, JsonValue]:
    """Return what checking files found, but for the diagnostics."""
    return {"files": [{"file": r.file, "ok": r.ok, "name": r.name, "steps": list(r.steps)} for r in results]}


def plan_data(manifest: Manifest) -> dict[str, JsonValue]:
    """Return what a plan is."""
    steps = [
        {"id": s["id"], "component": s["component"], "needs": s["needs"], "schema": s["schema"], "order": s["order"]}
        for s in manifest.steps
    ]
    return {"name": manifest.name, "fingerprint": manifest.fingerprint, "short": manifest.short, "steps": steps}


def compiled_data(compiled: Compiled, view: PlanView) -> dict[str, JsonValue]:
    """Return a plan that was just made, what it will do, and per read step whether its source was asked and changed."""
    sources = compiled.sources
    told = {
        step: {
            "from": "source" if step in sources.asked else "lock",
            "changes": [change.to_json() for change in sources.changes.get(step, ())],
        }
        for step in sources.pins
    }
    return {**plan_data(compiled.manifest), "plan": view.to_json(), "sources": told}


T = TypeVar("T")
_OURS = "osiris.components."
"""Only of components of our own is it known when their code is another one."""


class KnownVerdicts(dict[Question, Verdict]):
    """Verdicts by question, those of earlier compiles among them; good ones are kept for later ones."""

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
        named = None if relations is None else sorted(relations)
        return [*self._code, text, dialect, named, sorted(parameters), sorted(functions)]


def recall_answers(cache: Cache, prepared: Prepared, sources: Mapping[str, Described]) -> dict[str, Described]:
    """Return what is known of all steps, by id: what the sources said, and the answers that follow from it."""
    known = dict(sources)
    for step, key in _keys(prepared, known):
        answer = cache.get(key)
        described = None if answer is None else _read(Described.from_json, answer)
        if described is not None:
            known[step] = described
    return known


def _read(form: Callable[[JsonValue], T], answer: JsonValue) -> T | None:
    """Return an answer in its form; None if it has another one, whoever wrote it."""
    try:
        return form(answer)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def keep_answers(
    cache: Cache, prepared: Prepared, described: Mapping[str, Described], known: Mapping[str, Described]
) -> None:
    """Keep the answers of the steps that were not known."""
    for step, key in _keys(prepared, described):
        if step not in known:
            cache.put(key, described[step].to_json())


def _keys(prepared: Prepared, described: Mapping[str, Described]) -> Iterator[tuple[str, JsonValue]]:
    """Yield each transform and writer all of whose inputs are described, with everything that its answer depends on."""
    code = [code_state(), dict(prepared.engines), sorted(prepared.pipeline.sensitive)]
    for step in plan_steps(prepared):
        spec = prepared.specs[step["component"]]
        if step["mode"] == "read" or not spec.module.startswith(_OURS):
            continue
        inputs = {name: described.get(source) for name, source in step["inputs"].items()}
        if all(inputs.values()):
            yield step["id"], [*code, *_own(step, spec, prepared), [_input_key(each) for each in inputs.items()]]


def _own(step: Mapping[str, JsonValue], spec: ComponentSpec, prepared: Prepared) -> list[JsonValue]:
    fields = prepared.connections.get(step["connection"]) if step["connection"] else None
    return [spec.digest, step["id"], step["config"], step["inputs"], step["connection"], fields]


def _input_key(item: tuple[str, Described | None]) -> list[JsonValue]:
    name, source = item
    schema = source.schema if source else None
    return [name, source and source.order, [[c.name, c.type, c.nullable] for c in schema or ()]]


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
    sources = _sources(prepared)
    pinned = _locked(workspace, sources)
    discovered = {} if refresh else _discovered(workspace, sources, pinned)
    pinned |= {step: pin_of(sources[step], each.described) for step, each in discovered.items()}
    trusted = {} if refresh else {step: pin.described for step, pin in pinned.items()}
    known = recall_answers(cache, prepared, trusted)
    described, notes = known, list[Diagnostic]()
    if _is_worker_needed(prepared, known, trusted):
        from osiris.runner.host.describe import describe as ask

        described, notes = ask(workspace.project, prepared, workspace.config, worker, known=known)
        keep_answers(cache, prepared, described, known)
    asked = {step: described[step] for step in sources if step not in known}
    pins = {**pinned, **{step: pin_of(sources[step], answer) for step, answer in asked.items()}}
    changes = _changes(pinned, pins)
    notes = [*notes, *_notes(prepared, sources, changes, discovered)]
    return described, notes, Sources(pins, asked, changes, refresh)


def _notes(
    prepared: Prepared,
    sources: Mapping[str, Source],
    changes: Mapping[str, tuple[Change, ...]],
    discovered: Mapping[str, Seen],
) -> Iterator[Diagnostic]:
    """Yield LCK006 for each change of a source, and DSC007 for each step whose source only discovery has seen."""
    places = {step.id: prepared.pipeline.where(step.pointer) for step in prepared.pipeline.steps}
    for step, found in changes.items():
        for change in found:
            yield diagnostic("LCK006", at=places[step], step=step, source=sources[step], change=change)
    for step, seen in discovered.items():
        yield diagnostic("DSC007", at=places[step], step=step, source=sources[step], when=seen.seen_at)


def _locked(workspace: Workspace, sources: Mapping[str, Source]) -> dict[str, Pin]:
    """Return the pins of osiris.lock, by step."""
    lock = load_lock(workspace.project)
    return {step: lock[source.key] for step, source in sources.items() if source.key in lock}


def _discovered(workspace: Workspace, sources: Mapping[str, Source], pinned: Mapping[str, Pin]) -> dict[str, Seen]:
    """Return what discovery has seen of the sources that are not pinned, by step."""
    unknown = {step: source.key for step, source in sources.items() if step not in pinned}
    if not unknown:
        return {}
    from osiris.discovery.feed import recall

    seen = recall(workspace.project, set(unknown.values()))
    return {step: seen[key] for step, key in unknown.items() if key in seen}


def _is_worker_needed(prepared: Prepared, known: Mapping[str, Described], trusted: Mapping[str, Described]) -> bool:
    """Tell whether a step is not known, or is trusted and its rows are checked: no pin knows whether checks fit."""
    steps = prepared.pipeline.steps
    return len(known) < len(steps) or any(step.id in trusted for step in steps if "checks" in step.config)


def _changes(before: Mapping[str, Pin], now: Mapping[str, Pin]) -> dict[str, tuple[Change, ...]]:
    compared = {step: tuple(pin_changes(pin, now[step])) for step, pin in before.items()}
    return {step: found for step, found in compared.items() if found}


def _sources(prepared: Prepared) -> dict[str, Source]:
    from osiris.compiler.build import plan_steps

    reads = (step for step in plan_steps(prepared) if step["mode"] == "read")
    return {
        step["id"]: source_of(step, prepared.specs[step["component"]], prepared.connections.get(step["connection"]))
        for step in reads
    }
