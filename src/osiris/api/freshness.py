"""The newest plan of each pipeline, and which of them their files have left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.api.pipelines import validate_file
from osiris.api.workspace import load_plan, pipelines, shown
from osiris.compare import diff, is_derived
from osiris.errors import OsirisError, diagnostic
from osiris.model import Described, schema_from_json
from osiris.oml.params import param_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.compiler.context import Prepared
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest

_BROKEN = "it has errors, so no plan can be compared with it"
_OF_THE_MACHINE = ("compiler", "engines")


def newest_plans(workspace: Workspace) -> tuple[list[Manifest], list[Diagnostic]]:
    """Return the newest plan of each pipeline, and CMP040 for each file that has none, or says something else by now.

    No source is asked: whether its schema is as it was is not looked at.
    """
    plans, notes = _load(workspace)
    for path in pipelines(workspace, strict=False):
        file = shown(workspace, path)
        if told := _problem(workspace, path, plans):
            hint = f"run 'osiris validate {file}'" if told == _BROKEN else None
            notes.append(diagnostic("CMP040", file=file, problem=told, hint=hint))
    return list(plans.values()), notes


def _load(workspace: Workspace) -> tuple[dict[str, Manifest], list[Diagnostic]]:
    """Return the newest plans that can be read, by pipeline, and a warning for each that cannot."""
    from osiris.compiler.manifest import find_manifests, newest_manifest

    plans: dict[str, Manifest] = {}
    notes: list[Diagnostic] = []
    for name in sorted({file.path.parent.parent.name for file in find_manifests(workspace.project)}):
        file = newest_manifest(workspace.project, name)
        try:
            if file:
                plans[name] = load_plan(workspace, file, allow_drift=True)[0]
        except OsirisError as error:
            problem = "; ".join(item.message for item in error.diagnostics)
            where = shown(workspace, file.path if file else workspace.project.build)
            hint = f"compile pipeline '{name}' again"
            notes.append(diagnostic("CMP040", file=where, problem=problem, hint=hint))
    return plans, notes


def _problem(workspace: Workspace, path: Path, plans: Mapping[str, Manifest]) -> str | None:
    """Say what keeps the plan of a file from being that of its text; None if nothing does."""
    checked = validate_file(workspace, path, params={})
    if checked.prepared is None:
        return _BROKEN
    plan = plans.get(checked.prepared.pipeline.name)
    if plan is None:
        return f"pipeline '{checked.name}' has no plan, so nothing is known of it"
    given = {name: param_text(value) for name, value in plan.data["params"].items()}
    checked = validate_file(workspace, path, params=given)
    change = next(_changes(plan, checked.prepared), None) if checked.prepared else "its params are others"
    return f"it was changed after its plan {plan.short} was compiled ({change})" if change else None


def _changes(plan: Manifest, prepared: Prepared) -> Iterator[str]:
    """Yield what is different in a plan that is made of a text by what an earlier plan knew of the schemas."""
    from osiris.compiler.compile import compile_pipeline

    steps = {step["id"]: step for step in plan.steps}
    if differing := sorted({step.id for step in prepared.pipeline.steps} ^ steps.keys()):
        yield f"only one has step '{differing[0]}'"
        return
    fresh = compile_pipeline(prepared, {name: _described(step) for name, step in steps.items()})
    # A plan knows only the columns that it reads: which those are, and what follows from it, cannot be told anew.
    pruned = {f"steps/{s.id}/config/columns" for s in prepared.pipeline.steps if "columns" not in s.config}
    told = (item for item in diff(plan, fresh) if item.leaf not in _OF_THE_MACHINE and item.path not in pruned)
    yield from (str(item) for item in told if not is_derived(item))


def _described(step: Mapping[str, JsonValue]) -> Described:
    return Described(None if step["schema"] is None else schema_from_json(step["schema"]), step["order"])
