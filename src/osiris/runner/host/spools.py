"""The spools of sessions: those that a run takes over, hands to its caller, or removes."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from osiris.delivery import is_still_there
from osiris.durable import guarded, move, remove, remove_folder
from osiris.errors import diagnostic
from osiris.project_lock import hold_project, is_running
from osiris.runner.protocol import KEPT, KEPT_PART
from osiris.session.lost import pipeline_of
from osiris.session.stored import read_summary

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project


def find_kept_spools(
    project: Project, last: Mapping[str, JsonValue], needless: Collection[str]
) -> tuple[dict[str, JsonValue], list[Diagnostic]]:
    """Return the intact spools of run `last` that are still needed, by step, and a note for each damaged one.

    A spool that all its readers had finished with was removed, and gets no note.
    """
    folder = project.spools / last["session"]
    candidates = {step: spool for step, spool in (last.get("spools") or {}).items() if step not in needless}
    present = {step: spool for step, spool in candidates.items() if (folder / spool["file"]["path"]).exists()}
    intact = {step: spool for step, spool in present.items() if is_still_there(folder, [spool["file"]])}
    return intact, [diagnostic("RUN019", step=step, session=last["session"]) for step in present if step not in intact]


def adopt_spools(project: Project, spools: Mapping[str, JsonValue], last: str | None, session: str) -> None:
    """Move the spools kept by run `last` to a session, and remove the rest of its folder."""
    if last is None:
        return
    names = {spool["file"]["path"] for spool in spools.values()}
    with guarded(project.spools / last):
        for path in (project.spools / last).glob("*"):
            if path.name not in names:
                remove(path)
        if spools:
            move(project.spools / last, project.spools / session)
            return
    remove_folder(project.spools / last)


def take_rows(spools: Path, steps: Collection[str], folder: Path | None) -> None:
    """Move the complete rows of `Job.keep` to a folder on the same file system, as `STEP.arrow`, and remove others."""
    if folder is None:
        return
    for step in steps:
        with suppress(OSError):  # then the caller has no rows of that step
            (spools / f"{step}{KEPT}").rename(folder / f"{step}.arrow")
        for suffix in (KEPT, KEPT_PART):
            with suppress(OSError):
                remove(spools / f"{step}{suffix}")


def remove_unused_spools(project: Project, session: str, *, ended_well: bool) -> None:
    """Remove the spools of a session that will not be continued, or its folder if it is empty."""
    folder = project.spools / session
    if ended_well or (folder.is_dir() and not any(folder.iterdir())):
        remove_folder(folder)


def sweep_spools(project: Project, pipeline: str, keep: str | None, now: float, within: float) -> None:
    """Remove the spools of sessions that are complete, missing or too old to continue, except those of `keep`.

    Those of other pipelines that run now are left: `pipeline` is the one of this run. `now` is in seconds since the
    epoch, `within` the seconds in which a run may be continued.
    """
    for folder in project.spools.glob("*"):
        with hold_project(project):
            run = read_summary(project.logs / folder.name)
            owner = str(run["pipeline"]) if run else pipeline_of(folder.name)
            is_needed = folder.name == keep or (owner != pipeline and is_running(project, owner))
            if not (is_needed or _may_be_continued(run, now, within)):
                remove_folder(folder)


def _may_be_continued(run: Mapping[str, JsonValue] | None, now: float, within: float) -> bool:
    if run is None or run["status"] == "complete":
        return False
    return now - datetime.fromisoformat(run["started_at"]).timestamp() <= within
