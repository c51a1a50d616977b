"""Sessions that are there: by name, or all of them."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic, diagnostic, fail, nearest
from osiris.session.stored import CONVERSATION, problem_of, read_summary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

RECENT = {"last": 0, "previous": 1}
"""Names of runs by how many newer ones there are."""

_NUMBER = re.compile(r"-(\d{5,})\Z", re.ASCII)
"""How the id of a session ends; those of earlier versions have four hexadecimal digits there, and are older."""


_ID = re.compile(r"\d{8}-\d{6}-\d{3}-.*-(?:\d{5,}|[0-9a-f]{4})", re.ASCII | re.DOTALL)


def is_session_id(text: str) -> bool:
    """Tell whether a text is written like the id of a session, of this version or an earlier one."""
    return _ID.fullmatch(text) is not None


def order_of(session_id: str) -> tuple[int, str]:
    """Return what orders sessions: the number in the id, and for those that have none, or the same, the id."""
    found = _NUMBER.search(session_id)
    return (int(found[1]) if found else 0, session_id)


def next_number(project: Project) -> int:
    """Return a number that is greater than that of any session that is there."""
    folders = session_folders(project)
    return order_of(folders[0].name)[0] + 1 if folders else 1


def session_folders(project: Project) -> list[Path]:
    """Return the folders of all sessions, the newest first, whatever is in them; none where they cannot be listed."""
    try:
        return sorted(project.logs.iterdir(), key=lambda folder: order_of(folder.name), reverse=True)
    except OSError:
        return []


def open_session(project: Project, name: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of the run that `find_session` finds; fails with RUN010 if it finds none, RUN030 if damaged.

    Fails with CHT029 if the name means a conversation.
    """
    return _no_talk(open_record(project, name))


def find_session(project: Project, name: str) -> dict[str, JsonValue] | None:
    """Return the run.json of one run; None if there is none of that name, or several.

    A name is `last`, `previous`, a session's id, a run key (its newest session counts), or what one id begins with.
    """
    if name in RECENT:
        return next(islice(iter_sessions(project), RECENT[name], None), None)
    found = find_record(project, name)
    return None if found is None or found.get("kind") == CONVERSATION else found


def iter_sessions(project: Project) -> Iterator[dict[str, JsonValue]]:
    """Give the run.json of each run and replay, the newest first; folders without a readable one are passed over."""
    return (each for each in iter_records(project) if each.get("kind") != CONVERSATION)


def runs_before(project: Project, pipeline: str, session: str) -> Iterator[dict[str, JsonValue]]:
    """Give the run.json of each run of a pipeline before a session that has ended, the newest first."""
    for each in iter_sessions(project):
        is_own = each.get("kind") == "run" and each.get("pipeline") == pipeline
        if is_own and each["status"] != "running" and order_of(str(each["session"])) < order_of(session):
            yield each


def open_record(project: Project, name: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of a run or a conversation; fails as `open_session` does."""
    found = find_session(project, name) if name in RECENT else find_record(project, name)
    if found is None:
        _fail_damaged(project, name)
        fail("RUN010", session=name, hint=_near_sessions(project, name))
    return found


def find_record(project: Project, name: str) -> dict[str, JsonValue] | None:
    """Return the run.json of one run or conversation by its id, run key, or what its id begins with; None as above."""
    if not name or "/" in name:
        return None
    if found := read_summary(project.logs / name):
        return found
    sessions = list(iter_records(project))
    keyed = [session for session in sessions if session.get("run_key") == name]
    begun = [session for session in sessions if session["session"].startswith(name)]
    return keyed[0] if keyed else begun[0] if len(begun) == 1 else None


def iter_records(project: Project) -> Iterator[dict[str, JsonValue]]:
    """Give the run.json of each session, conversations too, the newest first."""
    return (found for folder in session_folders(project) if (found := read_summary(folder)))


def _fail_damaged(project: Project, name: str) -> None:
    """Fail with RUN030 if a name is that of the only session that begins so, and that is damaged."""
    begun = [folder for folder in session_folders(project) if name and folder.name.startswith(name)]
    if len(begun) == 1 and (problem := problem_of(begun[0])):
        fail("RUN030", session=begun[0].name, problem=problem)


def damaged_sessions(project: Project) -> list[Diagnostic]:
    """Return a warning for each session whose run.json is damaged, the newest first."""
    found = ((folder.name, problem_of(folder)) for folder in session_folders(project))
    return [diagnostic("RUN033", session=name, problem=problem) for name, problem in found if problem]


def _no_talk(found: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if found.get("kind") == CONVERSATION:
        fail("CHT029", session=found["session"])
    return found


def _near_sessions(project: Project, name: str) -> str:
    if name in RECENT:
        only = "only one run" if next(iter_sessions(project), None) else "no run"
        return f"there is {only} here yet"
    names = [session["session"] for session in iter_records(project)]
    if not names:
        return "there is no run here yet"
    begun = sum(each.startswith(name) for each in names)
    if begun > 1:
        return f"{begun} sessions begin so: see 'osiris logs list'"
    near = nearest(name, names)
    return f"did you mean '{near}'?" if near else "see 'osiris logs list'"
