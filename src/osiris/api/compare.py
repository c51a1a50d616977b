"""What differs between plans, and between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.history.record import find_run, require_plan

if TYPE_CHECKING:
    from osiris.api.workspace import Workspace
    from osiris.compare import Difference
    from osiris.history.differences import RunDiff


def diff_subjects(workspace: Workspace, old: str, new: str) -> list[Difference] | RunDiff:
    """Return what differs between two runs, if both names mean sessions, else between two plans.

    Fails with CMP027 or RUN010 for a name that means nothing, and if the plan of a run is gone.
    """
    from osiris.api.runs import diff
    from osiris.history.differences import diff_runs

    runs = [find_run(workspace.project, name) for name in (old, new)]
    if runs[0] is None or runs[1] is None:
        return diff(workspace, old, new)
    for run in (runs[0], runs[1]):
        require_plan(run)
    return diff_runs(runs[0], runs[1])
