"""What is asked before a run, or instead of one, where runs go into a sandbox: code of others is loaded in one only."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from osiris.registry import COMPONENTS, FAMILIES
from osiris.runner.local import start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.runner.adapter import Link
    from osiris.runner.protocol import Job, Secrets

_OURS = "osiris."


@contextmanager
def worker_for(job: Job, secrets: Secrets, *, root: Path, network: bool) -> Iterator[Link]:
    """Give a worker for one job: in a sandbox of this machine if the job loads code of others.

    Fails as `boxed_worker`; `network` is whether it may have that.
    """
    if not loads_strangers(job):
        with start_worker(root) as link:
            yield link
        return
    from osiris.runner.bwrap import boxed_worker

    with boxed_worker(job, secrets, network=network) as link:
        yield link


def loads_strangers(job: Job) -> bool:
    """Tell whether a job loads a driver, or what belongs to a family, that does not come with Osiris."""
    references = [*(step["connection"] or "" for step in job.steps), *job.uses, str(job.discover.get("source", ""))]
    components = {str(step["component"]) for step in job.steps}
    families = {reference.removeprefix("@").partition(".")[0] for reference in references}
    families |= {name.partition(".")[0] for name in components}
    return bool(components & _strangers(COMPONENTS) or families & _strangers(FAMILIES))


def _strangers(group: str) -> set[str]:
    return {entry.name for entry in entry_points(group=group) if not entry.value.startswith(_OURS)}
