"""Find sessions: by name, or all of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic, diagnostic, fail, nearest
from osiris.session.stored import CONVERSATION, problem_of, read_summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

RECENT = ("last", "previous")
"""Names of recent runs: the newest one, and the one of the same pipeline before it."""

_NUMBER = re.compile(r"-(\d{5,})\Z", re.ASCII)
"""The end of a session's id; in those of earlier versions it is four hexadecimal digits, and they are older."""


_ID = re.compile(r"\d{8}-\d{6}-\d{3}-.*-(?:\d{5,}|[0-9a-f]{4})", re.ASCII | re.DOTALL)


def is_session_id(text: str) -> bool:
    """Whether a text has the form of a session's id, of this version or an earlier one."""
    return _ID.fullmatch(text) is not None


def order_of(session_id: str) -> tuple[int, str]:
    """Return the sort key of sessions: the number in the id (0 if it has none), then the id."""
    match = _NUMBER.search(session_id)
    return (int(match[1]) if match else 0, session_id)


def next_number(project: Project) -> int:
    """Return a number greater than that of any existing session."""
    folders = session_folders(project)
    return order_of(folders[0].name)[0] + 1 if folders else 1


def session_folders(project: Project) -> list[Path]:
    """Return the folders of all sessions, the newest first, damaged or not; empty if they cannot be listed."""
    try:
        return sorted(project.logs.iterdir(), key=lambda folder: order_of(folder.name), reverse=True)
    except OSError:
        return []


def open_session(project: Project, name: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of the run that `find_session` finds; fails with RUN010 if there is none, RUN030 if damaged.

    Fails with CHT029 if the name is that of a conversation.
    """
    return _expect_run(open_record(project, name))


def find_session(project: Project, name: str) -> dict[str, JsonValue] | None:
    """Return the run.json of one run; None if none, or more than one, has that name.

    A name is `last`, `previous`, a session's id, a run key (of its newest session), or a unique prefix of an id.
    """
    if name in RECENT:
        runs = iter_sessions(project)
        last = next(runs, None)
        same = (run for run in runs if last and run.get("pipeline") == last.get("pipeline"))
        return last if name == "last" else next(same, None)
    record = find_record(project, name)
    return None if record is None or record.get("kind") == CONVERSATION else record


def iter_sessions(project: Project) -> Iterator[dict[str, JsonValue]]:
    """Yield the run.json of each run and replay, the newest first; folders without a readable one are skipped."""
    return (record for record in iter_records(project) if record.get("kind") != CONVERSATION)


def runs_before(project: Project, pipeline: str, session: str) -> Iterator[dict[str, JsonValue]]:
    """Yield the run.json of each ended run of a pipeline before a session, the newest first."""
    for run in iter_sessions(project):
        is_own = run.get("kind") == "run" and run.get("pipeline") == pipeline
        if is_own and run["status"] != "running" and order_of(str(run["session"])) < order_of(session):
            yield run


def open_record(project: Project, name: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of a run or a conversation; fails as `open_session` does."""
    record = find_session(project, name) if name in RECENT else find_record(project, name)
    if record is None:
        _fail_damaged(project, name)
        fail("RUN010", session=name, hint=_near_sessions(project, name))
    return record


def find_record(project: Project, name: str) -> dict[str, JsonValue] | None:
    """Return the run.json of one run or conversation by its id, run key, or a unique prefix of its id; else None."""
    if not name or "/" in name:
        return None
    if record := read_summary(project.logs / name):
        return record
    records = list(iter_records(project))
    by_key = [record for record in records if record.get("run_key") == name]
    by_prefix = [record for record in records if record["session"].startswith(name)]
    return by_key[0] if by_key else by_prefix[0] if len(by_prefix) == 1 else None


def iter_records(project: Project) -> Iterator[dict[str, JsonValue]]:
    """Yield the run.json of each session, conversations too, the newest first."""
    return (record for folder in session_folders(project) if (record := read_summary(folder)))


def _fail_damaged(project: Project, name: str) -> None:
    """Fail with RUN030 if a name is a unique prefix of a damaged session's id."""
    matches = [folder for folder in session_folders(project) if name and folder.name.startswith(name)]
    if len(matches) == 1 and (problem := problem_of(matches[0])):
        fail("RUN030", session=matches[0].name, problem=problem)


def damaged_sessions(project: Project) -> list[Diagnostic]:
    """Return a warning for each session whose run.json is damaged, the newest first."""
    problems = ((folder.name, problem_of(folder)) for folder in session_folders(project))
    return [diagnostic("RUN033", session=name, problem=problem) for name, problem in problems if problem]


def _expect_run(record: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if record.get("kind") == CONVERSATION:
        fail("CHT029", session=record["session"])
    return record


def _near_sessions(project: Project, name: str) -> str:
    if name in RECENT:
        last = next(iter_sessions(project), None)
        return f"there is only one run of '{last.get('pipeline')}' yet" if last else "there is no run here yet"
    names = [session["session"] for session in iter_records(project)]
    if not names:
        return "there is no run here yet"
    begun = sum(each.startswith(name) for each in names)
    if begun > 1:
        return f"{begun} sessions begin so: see 'osiris logs list'"
    near = nearest(name, names)
    return f"did you mean '{near}'?" if near else "see 'osiris logs list'"
