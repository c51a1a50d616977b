"""What is known of a pipeline while it is edited: nothing here asks a source or starts a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.api.lineage import check_plan, read_newest
from osiris.api.pipelines import validate_file
from osiris.api.schema_resolution import pinned_schemas
from osiris.errors import Diagnostic, OsirisError
from osiris.lock import load_lock
from osiris.model import schema_from_json
from osiris.oml.parse import name_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.model import Manifest, Schema


@dataclass(frozen=True, slots=True)
class StepColumns:
    """The columns of a step, where they come from, and why that is outdated; None if it is not."""

    columns: Schema
    origin: str
    outdated: str | None = None


def lock_problems(workspace: Workspace) -> tuple[Diagnostic, ...]:
    """Return what is wrong with osiris.lock."""
    try:
        load_lock(workspace.project)
    except OsirisError as error:
        return error.diagnostics
    return ()


def columns_by_step(workspace: Workspace, path: Path, text: str, valid: str | None) -> dict[str, StepColumns]:
    """Return the columns of the steps of a text, as if it were the file at `path`, by step.

    Those of sources are from osiris.lock if it can be read; while the text has errors, for its last `valid` state, by
    default the saved file. All others are from the newest plan.
    """
    name = name_in(text)
    plan = _newest_plan(workspace, name) if name else None
    checked, outdated = check_plan(workspace, path, {plan.name: plan} if plan else {}, text)
    columns = dict(_planned(plan, outdated)) if plan else {}
    prepared = checked.prepared or validate_file(workspace, path, params={}, text=valid).prepared
    if prepared and not lock_problems(workspace):
        pins = pinned_schemas(workspace, prepared).items()
        columns |= {step: StepColumns(pin.schema, f"osiris.lock, {pin.pinned_at[:10]}") for step, pin in pins}
    return columns


def _newest_plan(workspace: Workspace, name: str) -> Manifest | None:
    from osiris.compiler.manifest import newest_manifest

    file = newest_manifest(workspace.project, name)
    plan = read_newest(workspace, name, file) if file else None
    return None if isinstance(plan, Diagnostic) else plan


def _planned(plan: Manifest, outdated: str | None) -> Iterator[tuple[str, StepColumns]]:
    for step in plan.steps:
        if step["schema"] is not None:
            yield step["id"], StepColumns(schema_from_json(step["schema"]), f"plan {plan.short}", outdated)
