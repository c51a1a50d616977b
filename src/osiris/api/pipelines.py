"""Validates and compiles pipeline files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.api.workspace import Workspace, find_file, load_plan, pipelines, shown
from osiris.errors import OsirisError, diagnostic, fail, has_errors, raise_all, sort_diagnostics
from osiris.files import file_state
from osiris.oml.parse import name_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.api.replication import Replicated
    from osiris.api.schema_resolution import Sources
    from osiris.compiler.context import Prepared, Verdicts
    from osiris.document import Document
    from osiris.errors import Diagnostic
    from osiris.files import FileState
    from osiris.lock import PinnedEntry
    from osiris.model import Described, JsonValue, Manifest, Pipeline
    from osiris.report.plan import PlanView
    from osiris.runner.adapter import Worker

Purpose: TypeAlias = Literal["plan", "run", "inspect"]
"""What a plan is compiled for."""

Names: TypeAlias = "Mapping[str, Sequence[Path]]"
"""The files of pipelines/ by name."""

_NO_PARAMS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Validated:
    """The result of validating one file; `prepared` is None if it has errors."""

    file: str
    diagnostics: tuple[Diagnostic, ...]
    prepared: Prepared | None = None

    @property
    def ok(self) -> bool:
        """Whether the file is valid."""
        return self.prepared is not None

    @property
    def name(self) -> str | None:
        """The pipeline's name, if the file is valid."""
        return self.prepared.pipeline.name if self.prepared else None

    @property
    def steps(self) -> tuple[str, ...]:
        """The ids of the steps in execution order."""
        return tuple(step.id for step in self.prepared.pipeline.steps) if self.prepared else ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A fresh plan, its file as displayed, notes, and the descriptions of its steps and sources.

    `replicated` has the tables of each entry of `replicate`.
    """

    manifest: Manifest
    file: str
    diagnostics: tuple[Diagnostic, ...]
    described: Mapping[str, Described]
    sources: Sources
    prepared: Prepared
    replicated: Sequence[PinnedEntry] = ()

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that the plan was compiled from."""
        return self.prepared.pipeline

    def plain(self) -> Manifest:
        """Return a plan for inspecting every step: without column pruning and fusing."""
        from osiris.compiler.compile import compile_pipeline

        return compile_pipeline(self.prepared, self.described, plain=True)


def pipeline_files(workspace: Workspace) -> list[str]:
    """Return the files of pipelines/, relative to the project, sorted."""
    return [shown(workspace, path) for path in pipelines(workspace, strict=False)]


def validate_files(workspace: Workspace, files: Sequence[str], *, params: Mapping[str, str]) -> list[Validated]:
    """Validate files, by default all of `pipelines/`, each separately."""
    paths = [find_file(workspace, file) for file in files] or pipelines(workspace)
    names = declared_names(workspace)
    return [validate_file(workspace, path, params=params, names=names) for path in paths]


def validate_file(
    workspace: Workspace,
    path: Path,
    *,
    params: Mapping[str, str],
    verdicts: Verdicts | None = None,
    text: str | None = None,
    replicated: Replicated | None = None,
    names: Names | None = None,
) -> Validated:
    """Validate one file; problems are returned, not raised.

    `names` are those of `declared_names`, read now by default. `verdicts` is a cache of SQL verdicts, and is updated. A
    `text` is validated as if it were the file at `path`; nothing is written. No source is asked, unless `replicated`
    asks for the tables of entries of `replicate`; by default only pinned ones are checked.
    """
    from osiris.compiler.compile import prepare

    name = shown(workspace, path)
    try:
        _, pipeline, notes = read_pipeline(workspace, path, params=params, text=text, replicated=replicated)
        namesakes = _namesakes(workspace, path, pipeline.name, names)
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


def read_pipeline(
    workspace: Workspace,
    path: Path,
    *,
    params: Mapping[str, str] = _NO_PARAMS,
    text: str | None = None,
    replicated: Replicated | None = None,
) -> tuple[Document, Pipeline, list[Diagnostic]]:
    """Return a file, the pipeline in it, and notes; nothing that several files or sources must tell is checked.

    Fails with all problems of the file. `text` and `replicated` are as in `validate_file`.
    """
    from osiris.api.replication import Replicated
    from osiris.oml.parse import load_document, parse
    from osiris.oml.validate import validate

    document = load_document(path, workspace.root) if text is None else parse(text, shown(workspace, path))
    pipeline, notes = validate(
        document,
        workspace.registry,
        params=params,
        env=workspace.environ,
        profile=_profile_of(workspace, document),
        defaults=workspace.config.step_defaults(),
        catalogues=(replicated or Replicated(workspace, "never")).catalogues,
    )
    return document, pipeline, notes


def _profile_of(workspace: Workspace, document: Document) -> str | None:
    """Return the profile that the file must declare; None if only osiris.yaml declares it.

    Fails with OML023 if neither does.
    """
    chosen = workspace.config.profile
    declared = document.data.get("profiles")
    if chosen and not declared and chosen not in workspace.config.profiles:
        from osiris.oml.params import profile_hint

        fail("OML023", name=chosen, hint=profile_hint(chosen, workspace.config.profiles, workspace.environ))
    own = isinstance(declared, dict) and chosen in declared
    return chosen if own or chosen not in workspace.config.profiles else None


def compile_file(
    workspace: Workspace,
    file: str | Path,
    *,
    params: Mapping[str, str] = _NO_PARAMS,
    strict: bool = False,
    refresh: bool = False,
    purpose: Purpose = "plan",
    worker: Worker | None = None,
    text: str | None = None,
) -> Compiled:
    """Return the plan of a file without saving it; with `refresh`, sources with pinned schemas are queried too.

    To `run` it, sources of `replicate` are asked for new and missing tables; new ones that cannot be replicated are
    left out. To `inspect` every step, the plan is plain, as by `compile_pipeline`. `worker` queries the other sources
    and binds SQL; None starts one if needed. A `text` is compiled as if it were the file.
    """
    from osiris.api.replication import Replicated, confirm_targets, with_new_tables

    path = find_file(workspace, file) if text is None else Path(file)
    replicated = Replicated(workspace, "refresh" if refresh else "run" if purpose == "run" else "unpinned", worker)

    def compiled() -> Compiled:
        plan = _compiled(workspace, path, params, replicated, refresh=refresh, plain=purpose == "inspect", text=text)
        confirm_targets(replicated, plan.manifest, plan.pipeline)
        return plan

    plan = with_new_tables(replicated, compiled)
    plan = replace(plan, diagnostics=tuple(sort_diagnostics([*plan.diagnostics, *replicated.notes()])))
    if strict:
        refuse_warnings(plan.diagnostics)
    return plan


def _compiled(
    workspace: Workspace,
    path: Path,
    params: Mapping[str, str],
    replicated: Replicated,
    *,
    refresh: bool,
    plain: bool,
    text: str | None,
) -> Compiled:
    """Return the plan of a file, with the tables of `replicated`, whose notes are not among its own."""
    from osiris.api.schema_resolution import KnownVerdicts, describe
    from osiris.cache import open_cache
    from osiris.compiler.compile import compile_pipeline, lint

    # A rejected text may contain a secret, so nothing of a failed compile is cached.
    with open_cache(workspace.project.cache) as cache:
        checked = validate_file(
            workspace, path, params=params, verdicts=KnownVerdicts(cache), text=text, replicated=replicated
        )
        if checked.prepared is None:
            raise_all(checked.diagnostics)
        described, notes, sources = describe(workspace, checked.prepared, replicated.worker, cache, refresh=refresh)
        manifest = compile_pipeline(checked.prepared, described, plain=plain)
    lints = lint(checked.prepared, described, workspace.root)
    diagnostics = (*workspace.config.diagnostics, *checked.diagnostics, *notes, *lints)
    pins = tuple(replicated.pins.values())
    return Compiled(manifest, checked.file, diagnostics, described, sources, checked.prepared, pins)


def refuse_warnings(diagnostics: Sequence[Diagnostic]) -> None:
    """Fail with PRJ013 and the warnings if there are any."""
    warnings = [item for item in diagnostics if item.severity == "warning"]
    if warnings:
        raise_all([*diagnostics, diagnostic("PRJ013", count=len(warnings))])


def save(workspace: Workspace, compiled: Compiled, out: Path | None = None) -> str:
    """Write the plan (to `out` instead of build/), record it as the last compiled, and pin its sources in osiris.lock.

    Returns the file of the plan as displayed.
    """
    from osiris.compiler.manifest import save_manifest
    from osiris.lock import save_lock

    sources, name = compiled.sources, compiled.manifest.name
    pins, entries = list(sources.pins.values()), compiled.replicated
    save_lock(workspace.project, name, pins, refreshed=sources.refreshed, entries=entries)
    return shown(workspace, save_manifest(workspace.project, compiled.manifest, out and out.absolute()))


def changes_on_disk(workspace: Workspace, compiled: Compiled) -> list[Diagnostic]:
    """Return CMP026 if build/ does not have this plan, with the first difference from the pipeline's newest one."""
    from osiris.compare.differences import first_change
    from osiris.compiler.manifest import PlanFile, is_manifest, newest_manifest, plan_folder

    own = plan_folder(workspace.project, compiled.manifest) / "manifest.json"
    if is_manifest(own, compiled.manifest):
        return []
    if own.exists():
        load_plan(workspace, PlanFile(own, compiled.manifest.fingerprint))
    saved = newest_manifest(workspace.project, compiled.manifest.name)
    before = load_plan(workspace, saved, allow_drift=True)[0] if saved else None
    change = first_change(before, compiled.manifest)
    return [diagnostic("CMP026", file=compiled.file, change=str(change))]


def declared_names(workspace: Workspace) -> Names:
    """Return the files of pipelines/ by the name in their text, as files may not be valid pipelines."""
    names: dict[str, list[Path]] = {}
    for path in pipelines(workspace, strict=False):
        if name := _name_of(path, file_state(path)):
            names.setdefault(name, []).append(path)
    return names


@lru_cache(maxsize=100_000)
def _name_of(path: Path, _state: FileState) -> str | None:
    return name_in(path.read_text(encoding="utf-8", errors="replace"))


def _namesakes(workspace: Workspace, path: Path, name: str, names: Names | None) -> list[str]:
    """Return the other files of pipelines/ with the same name; empty for a file elsewhere."""
    own = path.resolve()
    if not own.is_relative_to(workspace.project.pipelines):
        return []
    files = (declared_names(workspace) if names is None else names).get(name, ())
    return [shown(workspace, other) for other in files if other.resolve() != own]


def validated_data(results: Sequence[Validated]) -> dict[str, JsonValue]:
    """Return the results of validation as JSON, without diagnostics."""
    return {"files": [{"file": r.file, "ok": r.ok, "name": r.name, "steps": list(r.steps)} for r in results]}


def plan_data(manifest: Manifest) -> dict[str, JsonValue]:
    """Return name, fingerprint and steps of a plan as JSON."""
    steps = [
        {"id": s["id"], "component": s["component"], "needs": s["needs"], "schema": s["schema"], "order": s["order"]}
        for s in manifest.steps
    ]
    return {"name": manifest.name, "fingerprint": manifest.fingerprint, "short": manifest.short, "steps": steps}


def compiled_data(compiled: Compiled, view: PlanView) -> dict[str, JsonValue]:
    """Return a fresh plan, its view, and per read step whether its source was queried and how it changed, as JSON."""
    sources = compiled.sources
    by_step = {
        step: {
            "from": "source" if step in sources.asked else "lock",
            "changes": [change.to_json() for change in sources.changes.get(step, ())],
        }
        for step in sources.pins
    }
    return {**plan_data(compiled.manifest), "plan": view.to_json(), "sources": by_step}
