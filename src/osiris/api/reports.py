"""AIOP packages and HTML reports of runs, created after every run or on demand."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.aiop.package import package_path
from osiris.api.sessions import reading_of
from osiris.durable import make_folder, write_file
from osiris.errors import OsirisError, diagnostic, fail
from osiris.files import refuse_foreign
from osiris.history.record import REFUSED, load_run, run_before
from osiris.project_lock import hold_project, is_held
from osiris.session.finding import find_record, iter_records, iter_sessions, open_session, session_folders
from osiris.session.stored import CONVERSATION, read_lines, read_summary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.aiop.package import Package
    from osiris.aiop.sections import Options
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.report.pages import Repeat

_RECENT = 20
"""Number of newest sessions checked for missing packages."""

REPORT, INDEX = "report.html", "index.html"


@dataclass(frozen=True, slots=True)
class Packaged:
    """A package: the session, the document, its bytes, the run card, and diagnostics.

    `losses` are the diagnostics that matter to readers of the answer only.
    """

    session: str
    document: Mapping[str, JsonValue]
    content: bytes
    card: str
    diagnostics: tuple[Diagnostic, ...]
    losses: tuple[Diagnostic, ...]


def package(
    workspace: Workspace, session: str, overrides: Mapping[str, JsonValue], *, strict: bool = False
) -> Packaged:
    """Build the package of a session; it is also saved if the session has ended and has none yet.

    `overrides` are `aiop.*` settings, without that prefix; an annex is written if enabled. Fails with RUN010 for an
    unknown session, and with AIO003 if `strict` and something is left out.
    """
    from osiris.aiop.package import build_package, write_annex
    from osiris.aiop.sections import options_of

    name = str(open_session(workspace.project, session)["session"])
    options = options_of(workspace.config, overrides)
    facts = _read(workspace, name, options)
    built = build_package(facts, options, workspace.registry.find)
    if strict and built.diagnostics:
        fail("AIO003", problem="; ".join(item.message for item in built.diagnostics))
    running = facts.run.status == "running"
    if not (running or package_path(facts.run.folder).exists()):
        package_sessions(workspace, [name])
    write_annex(facts.run.folder, built)
    notes = [diagnostic("AIO005", session=name)] if running else []
    diagnostics, losses = (*built.diagnostics, *notes), (*built.losses, *notes)
    return Packaged(name, built.document, built.content, built.card, diagnostics, losses)


def package_missing(workspace: Workspace, own: Collection[str] = ()) -> list[Diagnostic]:
    """Package the newest ended sessions without a package; returns warnings.

    Those whose process is alive, and will do so, are left out, except the caller's `own`.
    """
    with hold_project(workspace.project):
        missing = list(_sessions_without(workspace.project, own))
    return package_sessions(workspace, reversed(missing))


def package_sessions(workspace: Workspace, sessions: Iterable[str]) -> list[Diagnostic]:
    """Package sessions according to the settings; problems are warnings (AIO001) and never affect the run.

    Details that do not fit into a package are no problem: a run of many tables would report them each night.
    """
    if not workspace.config.get("aiop.enabled"):
        return []
    return [item for session in sessions for item in _package_quietly(workspace, session)]


def _package_quietly(workspace: Workspace, session: str) -> Iterator[Diagnostic]:
    from osiris.aiop.package import build_package, write_package
    from osiris.aiop.sections import options_of

    try:
        options = options_of(workspace.config, {})
        built = build_package(_read(workspace, session, options), options, workspace.registry.find)
        card, index = (workspace.config.get(f"aiop.{key}") for key in ("run_card", "index.enabled"))
        with hold_project(workspace.project):
            if not package_path(workspace.project.logs / session).exists():
                write_package(workspace.project, built, card=card, catalogue=index)
    except (OSError, OsirisError, LookupError, TypeError, ValueError) as error:
        yield diagnostic("AIO001", session=session, reason=str(error) or type(error).__name__)
    else:
        yield from built.losses


def _sessions_without(project: Project, own: Collection[str]) -> Iterator[str]:
    """Yield the newest ended sessions without a package; conversations never have one."""
    for folder in session_folders(project)[:_RECENT]:
        summary = None if package_path(folder).exists() else read_summary(folder)
        has_ended = summary and summary["status"] != "running" and summary.get("kind") != CONVERSATION
        if has_ended and (folder.name in own or not is_held(folder / "events.jsonl")):
            yield folder.name


def _read(workspace: Workspace, session: str, options: Options) -> Reading:
    return reading_of(workspace, session, max_events=options.max_events, compare=options.compare)


@dataclass(frozen=True, slots=True)
class Reports:
    """The pages written: that of the requested session, those of other runs, and the index of all runs."""

    session: str
    report: Path
    others: tuple[Path, ...] = ()
    index: Path | None = None


def write_report(workspace: Workspace, session: str, file: Path) -> Reports:
    """Write the page of one run to a file; fails with RUN010, PRJ014, or if the file cannot be written."""
    from osiris.report.template import is_page

    refuse_foreign(file, is_page)
    if conversation := _find_talk(workspace, session):
        _write(workspace.project, file, _talk(workspace, conversation, {}, None))
        return Reports(str(conversation["session"]), file)
    name = _find(workspace, session)
    _write(workspace.project, file, _page(workspace, name, {}))
    return Reports(name, file)


def run_report(workspace: Workspace, session: str, site: object, files: str | None, links: Mapping[str, str]) -> str:
    """Return the page of one run as a server shows it; fails with RUN010. The rest is as for `run_page`."""
    return _page(workspace, _find(workspace, session), links, files=files, site=site)


def rejected_file(workspace: Workspace, session: str, step: str) -> Path:
    """Return the file with the rejected rows of a step; fails with RUN010 if there is none."""
    summary = open_session(workspace.project, session)
    quarantined = summary["steps"].get(step, {}).get("quarantined")
    path: Path = (
        workspace.project.logs / str(summary["session"]) / "artifacts" / step / str((quarantined or {}).get("file"))
    )
    if quarantined is None or not path.is_file():
        fail("RUN010", session=f"{session}, {step}", hint="it has no rejected rows")
    return path


def write_reports(workspace: Workspace, session: str, folder: Path | None = None, newest: int = 20) -> Reports:
    """Write the page of a run, those of the newest runs without one, and the index.

    They are written to the sessions' folders below logs/, or to folders of that name below `folder`. A running run gets
    a page only if it is the requested one. Fails with RUN010, or if a file cannot be written.
    """
    if folder is not None and folder.suffix and not folder.is_dir():
        fail("PRJ008", problem=f"--output {folder} is neither a folder nor a .html file", hint="end FILE in .html")
    project, base = workspace.project, workspace.project.logs if folder is None else folder
    summaries = _runs(project)
    if conversation := _find_talk(workspace, session):
        name, names = str(conversation["session"]), list[str]()
        page = _talk(workspace, conversation, _reports(base, summaries, "../"), f"../{INDEX}")
        _write(project, base / name / REPORT, page)
    else:
        name = _find(workspace, session)
        names = _unrendered(summaries, base, newest, name)
        for each in (name, *names):
            page = _page(workspace, each, {"all runs": f"../{INDEX}"}, files="" if folder is None else None)
            _write(project, base / each / REPORT, page)
    _write_index(project, base)
    return Reports(name, base / name / REPORT, tuple(base / each / REPORT for each in names), base / INDEX)


def _unrendered(summaries: list[dict[str, JsonValue]], base: Path, newest: int, requested: str) -> list[str]:
    """Return the newest ended runs without a page, except the requested one."""
    ended = [str(each["session"]) for each in summaries if each["status"] != "running"]
    return [name for name in ended[:newest] if name != requested and not (base / name / REPORT).is_file()]


def write_index(project: Project) -> None:
    """Rewrite the index of all runs in logs/, if it exists: runs that it lists may have been removed."""
    if (project.logs / INDEX).is_file():
        _write_index(project, project.logs)


def _runs(project: Project) -> list[dict[str, JsonValue]]:
    return [each for each in iter_sessions(project) if each.get("kind") in ("run", REFUSED)]


def _write_index(project: Project, base: Path) -> None:
    from osiris.report.pages import index_page

    runs = _runs(project)
    talks = [each for each in iter_records(project) if each.get("kind") == CONVERSATION]
    _write(project, base / INDEX, index_page(runs, _reports(base, [*runs, *talks]), talks))


def _reports(base: Path, runs: list[dict[str, JsonValue]], before: str = "") -> dict[str, str]:
    """Return the relative URLs of existing pages, by session."""
    names = [str(each["session"]) for each in runs]
    return {name: f"{before}{name}/{REPORT}" for name in names if (base / name / REPORT).is_file()}


def _find_talk(workspace: Workspace, session: str) -> dict[str, JsonValue] | None:
    """Return the run.json of a conversation; None if the name is not that of a conversation."""
    record = find_record(workspace.project, session)
    return record if record and record["kind"] == CONVERSATION else None


def _talk(workspace: Workspace, summary: dict[str, JsonValue], reports: dict[str, str], index: str | None) -> str:
    from osiris.report.pages import talk_page

    folder = workspace.project.logs / str(summary["session"])
    files = (folder / "artifacts").glob("draft-*.yaml")
    drafts = {int(file.stem.removeprefix("draft-")): file.read_text(encoding="utf-8") for file in files}
    return talk_page(summary, read_lines(folder / "events.jsonl"), drafts, reports, index)


def _find(workspace: Workspace, session: str) -> str:
    return str(open_session(workspace.project, session)["session"])


def _page(
    workspace: Workspace, session: str, links: Mapping[str, str], *, files: str | None = None, site: object = None
) -> str:
    from osiris.report.pages import run_page

    reading = reading_of(workspace, session)
    run, origin = reading.run, _origin(workspace, reading.run)
    earlier = origin or reading.base or run_before(workspace.project, run)
    answer, repeat = _answer(workspace, run), _repeat(workspace, run, origin)
    return run_page(reading, earlier, links, answer=answer, repeat=repeat, files=files, site=site)


def _answer(workspace: Workspace, run: RecordedRun) -> dict[str, JsonValue] | None:
    """Return the answer section of the run's package, built if missing; None for a damaged record."""
    broken = (OSError, OsirisError, LookupError, TypeError, ValueError)
    with suppress(*broken):
        answer: dict[str, JsonValue] = json.loads(package_path(run.folder).read_bytes())["answer"]
        return answer
    with suppress(*broken):
        return dict(_build(workspace, run.id).document["answer"])
    return None


def _build(workspace: Workspace, session: str) -> Package:
    """Return the package of a session, and save nothing."""
    from osiris.aiop.package import build_package
    from osiris.aiop.sections import options_of

    options = options_of(workspace.config, {})
    return build_package(_read(workspace, session, options), options, workspace.registry.find)


def _origin(workspace: Workspace, run: RecordedRun) -> RecordedRun | None:
    """Return the run that a replay repeats; None if it is missing, or if this is not a replay."""
    with suppress(OSError, LookupError, TypeError, ValueError):
        return load_run(workspace.project.logs / run.summary["replays"]["session"])
    return None


def _repeat(workspace: Workspace, run: RecordedRun, origin: RecordedRun | None) -> Repeat | None:
    from osiris.history.changes import replay_changes
    from osiris.report.pages import Repeat

    replayed = run.summary.get("replays")
    if not replayed:
        return None
    same, first = None, None
    if origin is not None and run.status in ("complete", "failed"):
        changes = replay_changes(workspace.root, origin, run)
        same, first = not changes, str(changes[0]) if changes else None
    return Repeat(replayed["session"], bool(replayed.get("to_targets")), same, first)


def _write(project: Project, path: Path, page: str) -> None:
    """Write a page atomically; below logs/ only its owner can read it, like all files there."""
    private = path.absolute().is_relative_to(project.logs)
    make_folder(path.absolute().parent, private=private)
    write_file(path.absolute(), page.encode("utf-8"), private=private)
