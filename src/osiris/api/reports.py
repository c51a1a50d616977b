"""Pages that show runs: one file a run, and an index over all of them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.aiop import package_path
from osiris.api.packages import package
from osiris.api.run_explanations import reading_of
from osiris.durable import make_folder, write_file
from osiris.errors import OsirisError, fail
from osiris.files import refuse_foreign
from osiris.history.record import REFUSED, load_run, run_before
from osiris.session import CONVERSATION, find_record, iter_records, list_sessions, open_session, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.report.run_page import Repeat

REPORT, INDEX = "report.html", "index.html"


@dataclass(frozen=True, slots=True)
class Reports:
    """What was written: the page of the session that was asked for, those of other runs, and the page over all runs."""

    session: str
    report: Path
    others: tuple[Path, ...] = ()
    index: Path | None = None


def write_report(workspace: Workspace, session: str, file: Path) -> Reports:
    """Write the page of one run to a file; fails with RUN010, PRJ014, or as files do that cannot be written."""
    from osiris.report.template import is_page

    refuse_foreign(file, is_page)
    if talk := _find_talk(workspace, session):
        _write(workspace.project, file, _talk(workspace, talk, {}, None))
        return Reports(str(talk["session"]), file)
    name = _find(workspace, session)
    _write(workspace.project, file, _page(workspace, name, None))
    return Reports(name, file)


def write_reports(workspace: Workspace, session: str, folder: Path | None = None, newest: int = 20) -> Reports:
    """Write the page of a run, those of the newest runs that have none yet, and the index that leads to them.

    They go to the sessions' own folders below logs/, or to folders of that name below `folder`. A run that is still
    going gets a page only if it is the one that was asked for. Fails with RUN010, or as files do that cannot be
    written.
    """
    if folder is not None and folder.suffix and not folder.is_dir():
        fail("PRJ008", problem=f"--output {folder} is neither a folder nor a .html file", hint="end FILE in .html")
    base = workspace.project.logs if folder is None else folder
    summaries = _runs(workspace.project)
    if talk := _find_talk(workspace, session):
        page = _talk(workspace, talk, _reports(base, summaries, "../"), f"../{INDEX}")
        _write(workspace.project, base / str(talk["session"]) / REPORT, page)
        _write_index(workspace.project, base)
        return Reports(str(talk["session"]), base / str(talk["session"]) / REPORT, (), base / INDEX)
    asked = _find(workspace, session)
    ended = [str(each["session"]) for each in summaries if each["status"] != "running"]
    names = [name for name in ended[:newest] if name != asked and not (base / name / REPORT).is_file()]
    for name in (asked, *names):
        _write(workspace.project, base / name / REPORT, _page(workspace, name, f"../{INDEX}"))
    _write_index(workspace.project, base)
    return Reports(asked, base / asked / REPORT, tuple(base / name / REPORT for name in names), base / INDEX)


def write_index(project: Project) -> None:
    """Write the page over all runs in logs/ anew, if there is one: runs that it names may have been removed."""
    if (project.logs / INDEX).is_file():
        _write_index(project, project.logs)


def _runs(project: Project) -> list[dict[str, JsonValue]]:
    return [each for each in list_sessions(project) if each.get("kind") in ("run", REFUSED)]


def _write_index(project: Project, base: Path) -> None:
    from osiris.report.index_page import index_page

    runs = _runs(project)
    talks = [each for each in iter_records(project) if each.get("kind") == CONVERSATION]
    _write(project, base / INDEX, index_page(runs, _reports(base, [*runs, *talks]), talks))


def _reports(base: Path, runs: list[dict[str, JsonValue]], before: str = "") -> dict[str, str]:
    """Return the addresses of the pages of runs, by session."""
    names = [str(each["session"]) for each in runs]
    return {name: f"{before}{name}/{REPORT}" for name in names if (base / name / REPORT).is_file()}


def _find_talk(workspace: Workspace, session: str) -> dict[str, JsonValue] | None:
    """Return the run.json of a conversation; None if the name means a run, or nothing."""
    found = find_record(workspace.project, session)
    return found if found and found["kind"] == CONVERSATION else None


def _talk(workspace: Workspace, summary: dict[str, JsonValue], reports: dict[str, str], index: str | None) -> str:
    from osiris.report.talk_page import talk_page

    folder = workspace.project.logs / str(summary["session"])
    files = (folder / "artifacts").glob("draft-*.yaml")
    drafts = {int(file.stem.removeprefix("draft-")): file.read_text(encoding="utf-8") for file in files}
    return talk_page(summary, read_lines(folder / "events.jsonl"), drafts, reports, index)


def _find(workspace: Workspace, session: str) -> str:
    return str(open_session(workspace.project, session)["session"])


def _page(workspace: Workspace, session: str, index: str | None) -> str:
    from osiris.report.run_page import run_page

    reading = reading_of(workspace, session)
    run, origin = reading.run, _origin(workspace, reading.run)
    earlier = origin or reading.base or run_before(workspace.project, run)
    return run_page(reading, earlier, index, answer=_answer(workspace, run), repeat=_repeat(workspace, run, origin))


def _answer(workspace: Workspace, run: RecordedRun) -> dict[str, JsonValue] | None:
    """Return what the run's package answers, which is made if it is not there; None for a record that is damaged."""
    broken = (OSError, OsirisError, LookupError, TypeError, ValueError)
    with suppress(*broken):
        answer: dict[str, JsonValue] = json.loads(package_path(run.folder).read_bytes())["answer"]
        return answer
    with suppress(*broken):
        return dict(package(workspace, run.id, {}).document["answer"])
    return None


def _origin(workspace: Workspace, run: RecordedRun) -> RecordedRun | None:
    """Return the run that a replay repeats; None if it is gone, or if this is none."""
    with suppress(OSError, LookupError, TypeError, ValueError):
        return load_run(workspace.project.logs / run.summary["replays"]["session"])
    return None


def _repeat(workspace: Workspace, run: RecordedRun, origin: RecordedRun | None) -> Repeat | None:
    from osiris.history.replayed import replay_changes
    from osiris.report.run_page import Repeat

    told = run.summary.get("replays")
    if not told:
        return None
    same, first = None, None
    if origin is not None and run.status in ("complete", "failed"):
        found = replay_changes(workspace.root, origin, run)
        same, first = not found, str(found[0]) if found else None
    return Repeat(told["session"], bool(told.get("to_targets")), same, first)


def _write(project: Project, path: Path, page: str) -> None:
    """Write a page, whole or not at all; among the sessions it is for its owner only, as all that lies there."""
    private = path.absolute().is_relative_to(project.logs)
    make_folder(path.absolute().parent, private=private)
    write_file(path.absolute(), page.encode("utf-8"), private=private)
