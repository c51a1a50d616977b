"""Targets of other pipelines that a run has left older than they should be: made from what it did not renew."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare import read_plan, trace_impact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.compare import Plan
    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue, Manifest
    from osiris.project import Project

_NAMED = 5
"""Targets that a sentence names."""


class Stale(NamedTuple):
    """A target that is stale: the pipeline and the step that write it, and its path or `@family.alias.table`."""

    pipeline: str
    step: str
    target: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data."""
        return self._asdict()


def newest_manifests(project: Project) -> list[Manifest]:
    """Return the newest plan of each pipeline, as its file has it; those that cannot be read are passed over."""
    from osiris.compiler.manifest import find_manifests, newest_manifest, read_shaped

    names = sorted({file.path.parent.parent.name for file in find_manifests(project)})
    files = (newest_manifest(project, name) for name in names)
    return [manifest for file in files if file and (manifest := read_shaped(file.path))]


def not_renewed(run: RecordedRun) -> list[str]:
    """Return the write steps whose targets are as they were before a run; none of one that is at work or a replay."""
    if run.status == "running" or run.summary.get("replays"):
        return []
    return [step.id for step in run.steps if step.mode == "write" and not (step.output or step.status == "complete")]


def stale_of(run: RecordedRun, manifests: Iterable[Manifest]) -> list[Stale]:
    """Return what other pipelines, by their plans, make from targets that a run did not renew, also through others."""
    others = {manifest.name: manifest for manifest in manifests}
    own = run.plan or others.get(run.pipeline)
    if own is None:
        return []
    plans = [plan for manifest in {**others, own.name: own}.values() if (plan := _plan(manifest))]
    writes = next((plan.writes for plan in plans if plan.name == own.name), {})
    missed = dict.fromkeys(writes[step] for step in not_renewed(run) if step in writes)
    reached = (found for label in missed for found in trace_impact(plans, label, None) if found.name != own.name)
    told = (Stale(found.name, step.step, step.target) for found in reached for step in found.steps if step.target)
    return list(dict.fromkeys(told))


def stale_text(stale: list[Stale]) -> str:
    """Return the sentence that names what is stale."""
    named = ", ".join(f"{each.target} ({each.pipeline})" for each in stale[:_NAMED])
    more = f" and {len(stale) - _NAMED:,} more" if len(stale) > _NAMED else ""
    return f"Made from what this run did not renew, by other pipelines: {named}{more}."


def _plan(manifest: Manifest) -> Plan | None:
    with suppress(LookupError, TypeError, ValueError, AttributeError):
        return read_plan(manifest)
    return None
