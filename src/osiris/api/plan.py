"""What a plan will do, told before it does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.api.workspace import load_plan
from osiris.compare import KINDS, label_of, read_lineage
from osiris.errors import OsirisError
from osiris.files import publish, resolve_path
from osiris.model import schema_from_json
from osiris.report.plan import FlowView, PlanView, StepView, TargetView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.model import Described, JsonValue, Manifest

    Flows = dict[tuple[str, str], dict[str, str]]

_VERBS = {"append": "appends to", "upsert": "upserts into", "replace": "replaces"}
"""By write mode, what happens to a table."""


def plan_view(
    root: Path, manifest: Manifest, described: Mapping[str, Described], previous: Manifest | None
) -> PlanView:
    """Return what there is to see of a plan.

    `described` has what the sources said of their rows, by step; of a step that is not in it, none are known.
    `previous` is the plan that this one takes the place of.
    """
    flows, before = data_flows(manifest), data_flows(previous) if previous else {}
    return PlanView(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        description=manifest.data["pipeline"].get("description"),
        previous=previous.fingerprint if previous else None,
        steps=tuple(_steps(manifest, described)),
        targets=tuple(_target(root, manifest, step) for step in manifest.steps if step["mode"] == "write"),
        flows=tuple(FlowView(source, target, columns) for (source, target), columns in flows.items()),
        new_flows=tuple(_new_flows(flows, before)),
    )


def previous_plan(workspace: Workspace, manifest: Manifest) -> Manifest | None:
    """Return the pipeline's plan that was written last, None if there is none that can be trusted."""
    from osiris.compiler.manifest import holds, newest_manifest

    path = newest_manifest(workspace.project, manifest.name)
    if path and holds(path, manifest):
        return manifest
    try:
        return load_plan(workspace, path, allow_drift=True)[0] if path else None
    except OsirisError:
        return None


def write_page(view: PlanView, path: Path) -> None:
    """Write the HTML page of a plan, whole or not at all; fails with DRV001, DRV003, DRV004 or DRV005."""
    from osiris.report.page import plan_page

    with publish(path.absolute()) as file:
        file.write(plan_page(view).encode("utf-8"))


def data_flows(manifest: Manifest) -> Flows:
    """Return which columns of which source go to which target, with the closest kind; by source and target."""
    lineage = read_lineage(manifest)
    labels = {step["id"]: label_of(step, manifest.data["connections"]) for step in manifest.steps}
    flows: Flows = {}
    for writer in (step["id"] for step in manifest.steps if step["mode"] == "write"):
        for source in sorted(name for name in lineage.above(writer) if not lineage.inputs[name]):
            flows.setdefault((labels[source], labels[writer]), {})
        for column in lineage.of(writer):
            for origin, kind in lineage.origins(column).items():
                columns = flows[labels[origin.step], labels[writer]]
                columns[origin.name] = min(kind, columns.get(origin.name, kind), key=KINDS.index)
    return flows


def _new_flows(flows: Flows, before: Flows) -> Iterator[FlowView]:
    """Yield what was not there before, or is now closer to a copy than it was."""
    for pair, columns in flows.items():
        known = before.get(pair)
        if known is None:
            yield FlowView(*pair, columns)
        elif new := {name: kind for name, kind in columns.items() if _is_closer(kind, known.get(name))}:
            yield FlowView(*pair, new, whole=False)


def _is_closer(kind: str, before: str | None) -> bool:
    return before is None or KINDS.index(kind) < KINDS.index(before)


def _steps(manifest: Manifest, described: Mapping[str, Described]) -> Iterator[StepView]:
    rows: dict[str, int | None] = {}
    for step in manifest.steps:
        name, inputs = step["id"], sorted(set(step["inputs"].values()))
        rows[name] = _rows(step, inputs, rows, described.get(name))
        yield StepView(
            id=name,
            component=step["component"],
            mode=step["mode"],
            inputs=tuple(inputs),
            after=tuple(need for need in step["needs"] if need not in inputs),
            label=None if step["mode"] == "transform" else label_of(step, manifest.data["connections"]),
            columns=schema_from_json(step["schema"] or []),
            order=step["order"] if step["schema"] else None,
            rows=rows[name],
            fused=tuple(step.get("fused") or ()),
        )


def _rows(
    step: Mapping[str, JsonValue], inputs: list[str], known: Mapping[str, int | None], answer: Described | None
) -> int | None:
    """Return how many rows a step gives, or writes: a source says it, and some steps keep those of their input."""
    if step["mode"] == "read":
        return answer.rows if answer else None
    if len(inputs) != 1 or known[inputs[0]] is None:
        return None
    return known[inputs[0]] if step["mode"] == "write" or _keeps_rows(step) else None


def _keeps_rows(step: Mapping[str, JsonValue]) -> bool:
    from osiris.sql.rows import keeps_row_count

    statements = list(step["sql"].items())
    return len(statements) == 1 and all(keeps_row_count(step["config"][key], name) for key, name in statements)


def _target(root: Path, manifest: Manifest, step: Mapping[str, JsonValue]) -> TargetView:
    label, config = label_of(step, manifest.data["connections"]), step["config"]
    if not isinstance(config.get("path"), str):
        return TargetView(step["id"], label, _VERBS.get(config.get("write_mode"), "writes"), step["delivery"])
    size = None if "${" in label else _size(root, label)
    return TargetView(step["id"], label, "creates" if size is None else "replaces", step["delivery"], size)


def _size(root: Path, label: str) -> int | None:
    """Return the size of a file, None if there is none."""
    try:
        return resolve_path(root, label).stat().st_size
    except (OSError, OsirisError):
        return None
