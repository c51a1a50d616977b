"""Sessions that are there: by name, or all of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from osiris.errors import fail, nearest
from osiris.session.disk import read_summary
from osiris.session.writing import CONVERSATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import JsonValue
    from osiris.project import Project

_RECENT = {"last": 0, "previous": 1}


def open_session(project: Project, name: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of the run that `find_session` finds; fails with RUN010 if it finds none.

    Fails with CHT029 if the name means a conversation.
    """
    return _no_talk(open_record(project, name))


def find_session(project: Project, name: str) -> dict[str, JsonValue] | None:
    """Return the run.json of one run; None if there is none of that name, or several.

    A name is `last`, `previous`, a session's id, a run key (its newest session counts), or what one id begins with.
    """
    if name in _RECENT:
        return next(islice(iter_sessions(project), _RECENT[name], None), None)
    found = find_record(project, name)
    return None if found is None or found.get("kind") == CONVERSATION else found


def iter_sessions(project: Project) -> Iterator[dict[str, JsonValue]]:
    """Give the run.json of each run and replay, the newest first; folders without a readable one are passed over."""
    return (each for each in iter_records(project) if each.get("kind") != CONVERSATION)


def list_sessions(project: Project) -> list[dict[str, JsonValue]]:
    """Return the run.json of all runs and replays, the newest first."""
    return list(iter_sessions(project))


def open_record(project: Project, name: str = "last") -> dict[str, JsonValue]:
    """Return the run.json of a run or a conversation; fails with RUN010 as `open_session` does."""
    found = find_session(project, name) if name in _RECENT else find_record(project, name)
    if found is None:
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
    folders = sorted(project.logs.iterdir(), reverse=True) if project.logs.is_dir() else []
    return (found for folder in folders if (found := read_summary(folder)))


def _no_talk(found: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if found.get("kind") == CONVERSATION:
        fail("CHT029", session=found["session"])
    return found


def _near_sessions(project: Project, name: str) -> str:
    names = [session["session"] for session in iter_records(project)]
    begun = sum(each.startswith(name) for each in names)
    if begun > 1:
        return f"{begun} sessions begin so: see 'osiris logs list'"
    near = nearest(name, names)
    return f"did you mean '{near}'?" if near else "see 'osiris logs list'"
