"""From a file to a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.api.workspace import Workspace, find_file, load_plan, pipelines, shown
from osiris.errors import OsirisError, diagnostic, fail, has_errors, raise_all, sort_diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.api.schema_resolution import Sources
    from osiris.compiler.context import Prepared, Verdicts
    from osiris.document import Document
    from osiris.errors import Diagnostic
    from osiris.model import Described, JsonValue, Manifest, Pipeline
    from osiris.report.plan import PlanView
    from osiris.runner.adapter import Worker


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
        from osiris.oml.params import profile_hint

        fail("OML023", name=chosen, hint=profile_hint(chosen, workspace.config.profiles, workspace.environ))
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
    from osiris.api.schema_resolution import KnownVerdicts, describe
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
    from osiris.lock import save_lock

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
