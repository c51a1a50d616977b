"""Spools of runs that did not end well, kept for the run that continues them: found, taken over, swept."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from osiris.delivery import is_still_there
from osiris.durable import guarded, move, remove, remove_folder
from osiris.errors import Diagnostic, diagnostic
from osiris.session.stored import read_summary

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project


def find_kept(
    project: Project, last: Mapping[str, JsonValue], needless: Collection[str]
) -> tuple[dict[str, JsonValue], list[Diagnostic]]:
    """Return what run `last` kept of steps whose output is still needed, and a note for each that is damaged.

    A spool that all its readers were done with is not there any more, and nothing is said of it.
    """
    folder = project.spools / last["session"]
    candidates = {step: told for step, told in (last.get("spools") or {}).items() if step not in needless}
    present = {step: told for step, told in candidates.items() if (folder / told["file"]["path"]).exists()}
    intact = {step: told for step, told in present.items() if is_still_there(folder, [told["file"]])}
    return intact, [diagnostic("RUN019", step=step, session=last["session"]) for step in present if step not in intact]


def take_over(project: Project, kept: Mapping[str, JsonValue], last: str | None, session: str) -> None:
    """Make the spools that run `last` kept those of a session, and remove what else it left there."""
    if last is None:
        return
    wanted = {told["file"]["path"] for told in kept.values()}
    with guarded(project.spools / last):
        for path in (project.spools / last).glob("*"):
            if path.name not in wanted:
                remove(path)
        if kept:
            move(project.spools / last, project.spools / session)
            return
    remove_folder(project.spools / last)


def let_go(project: Project, session: str, *, ended_well: bool) -> None:
    """Remove the spools of a session that nobody will continue, or its folder if there is nothing in it."""
    folder = project.spools / session
    if ended_well or (folder.is_dir() and not any(folder.iterdir())):
        remove_folder(folder)


def sweep_kept(project: Project, wanted: str | None, now: float, within: float) -> None:
    """Remove what no run will use: of sessions that ended well, are gone, or began too long ago, but not of `wanted`.

    `now` is in seconds since the epoch, `within` the seconds in which a run may be continued.
    """
    for folder in project.spools.glob("*"):
        if folder.name != wanted and not _may_be_continued(project.logs / folder.name, now, within):
            remove_folder(folder)


def _may_be_continued(session: Path, now: float, within: float) -> bool:
    run = read_summary(session)
    if run is None or run["status"] == "complete":
        return False
    return now - datetime.fromisoformat(run["started_at"]).timestamp() <= within
