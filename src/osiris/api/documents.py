"""What commands and tools answer as data: the same documents for `--json` and for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.api.pipelines import Compiled, Validated
    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue, Manifest
    from osiris.report.plan import PlanView
    from osiris.runner.host.run import RunResult

    Document = dict[str, JsonValue]


def validated_data(results: Sequence[Validated]) -> Document:
    """Return what checking files found, but for the diagnostics."""
    return {"files": [{"file": r.file, "ok": r.ok, "name": r.name, "steps": list(r.steps)} for r in results]}


def plan_data(manifest: Manifest) -> Document:
    """Return what a plan is."""
    steps = [
        {"id": s["id"], "component": s["component"], "needs": s["needs"], "schema": s["schema"], "order": s["order"]}
        for s in manifest.steps
    ]
    return {"name": manifest.name, "fingerprint": manifest.fingerprint, "short": manifest.short, "steps": steps}


def compiled_data(compiled: Compiled, view: PlanView) -> Document:
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


def run_data(workspace: Workspace, result: RunResult) -> Document:
    """Return how a run ended, what it wrote and where, and what looks wrong in it though nothing failed."""
    from osiris.api.run_explanations import remarks_on
    from osiris.api.runs import show_session

    remarks = remarks_on(workspace, result.session_id)
    return {
        "session": result.session_id,
        "status": result.status,
        "run_key": result.run_key,
        "steps": dict(result.steps),
        "outputs": show_session(workspace, result.session_id)["outputs"],
        "targets": remarks.targets,
        "findings": remarks.findings,
    }
