"""Pages that show runs: one file a run, and an index over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.files import fail_os, publish
from osiris.recorded import last_success, load_run, run_before
from osiris.session import list_sessions, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.project import Project
    from osiris.recorded import RecordedRun

REPORT, INDEX = "report.html", "index.html"


@dataclass(frozen=True, slots=True)
class Reports:
    """What was written: the page of the session that was asked for, those of other runs, and the page over all runs."""

    session: str
    report: Path
    others: tuple[Path, ...] = ()
    index: Path | None = None


def write_report(workspace: Workspace, session: str, file: Path) -> Reports:
    """Write the page of one run to a file; fails with RUN010, or as files do that cannot be written."""
    run = _find(workspace, session)
    _write(file, _page(workspace, run, None))
    return Reports(run.id, file)


def write_reports(workspace: Workspace, session: str, folder: Path | None = None, newest: int = 20) -> Reports:
    """Write the page of a run, those of the newest runs that have none yet, and the index that leads to them.

    They go to the sessions' own folders below logs/, or to folders of that name below `folder`. A run that is still
    going gets a page only if it is the one that was asked for. Fails with RUN010, or as files do that cannot be
    written.
    """
    from osiris.report.index_page import index_page

    base = workspace.project.logs if folder is None else folder
    run = _find(workspace, session)
    summaries = [each for each in list_sessions(workspace.project) if each.get("kind") == "run"]
    ended = [str(each["session"]) for each in summaries if each["status"] != "running"]
    names = [name for name in ended[:newest] if name != run.id and not (base / name / REPORT).is_file()]
    for name in (run.id, *names):
        page = _page(workspace, run if name == run.id else load_run(workspace.project.logs / name), f"../{INDEX}")
        _write(_made(base / name) / REPORT, page)
    reports = {name: f"{name}/{REPORT}" for each in summaries if (base / (name := each["session"]) / REPORT).is_file()}
    _write(base / INDEX, index_page(summaries, reports))
    return Reports(run.id, base / run.id / REPORT, tuple(base / name / REPORT for name in names), base / INDEX)


def write_index(project: Project) -> None:
    """Write the page over all runs in logs/ anew, if there is one: runs that it names may have been removed."""
    from osiris.report.index_page import index_page

    base = project.logs
    if not (base / INDEX).is_file():
        return
    summaries = [each for each in list_sessions(project) if each.get("kind") == "run"]
    reports = {name: f"{name}/{REPORT}" for each in summaries if (base / (name := each["session"]) / REPORT).is_file()}
    _write(base / INDEX, index_page(summaries, reports))


def _find(workspace: Workspace, session: str) -> RecordedRun:
    return load_run(workspace.project.logs / str(open_session(workspace.project, session)["session"]))


def _page(workspace: Workspace, run: RecordedRun, index: str | None) -> str:
    from osiris.report.run_page import run_page

    return run_page(run, last_success(workspace.project, run) or run_before(workspace.project, run), index)


def _made(folder: Path) -> Path:
    """Return a folder that is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail_os(error, folder)
    return folder


def _write(path: Path, page: str) -> None:
    """Write a page, whole or not at all."""
    with publish(path.absolute()) as file:
        file.write(page.encode("utf-8"))
