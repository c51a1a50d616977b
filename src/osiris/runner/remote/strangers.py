"""Code of others: whether a job would load any. Where runs go into a sandbox, it is loaded in one only."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from osiris.family_spec import COMPONENTS, FAMILIES

if TYPE_CHECKING:
    from osiris.runner.protocol import Job

_OURS = "osiris."


def loads_strangers(job: Job) -> bool:
    """Tell whether a job loads a driver, or what belongs to a family, that does not come with Osiris."""
    references = [*(step["connection"] or "" for step in job.steps), *job.uses, str(job.discover.get("source", ""))]
    components = {str(step["component"]) for step in job.steps}
    families = {reference.removeprefix("@").partition(".")[0] for reference in references}
    families |= {name.partition(".")[0] for name in components}
    return bool(components & _strangers(COMPONENTS) or families & _strangers(FAMILIES))


def _strangers(group: str) -> set[str]:
    return {entry.name for entry in entry_points(group=group) if not entry.value.startswith(_OURS)}
