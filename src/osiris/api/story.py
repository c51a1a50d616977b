"""Why a session is as it is: what was skipped, what failed, and the runs before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.api.runs import list_sessions, session_lines
from osiris.errors import Diagnostic

if TYPE_CHECKING:
    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue

    Run = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Story:
    """`skipped` has the reason by step, `failed` the steps that did, `cause` the first error of the run.

    `before` is the run that was continued and `after` the newest that continued this one, as far as they are there.
    """

    skipped: dict[str, str]
    failed: tuple[str, ...]
    cause: Diagnostic | None
    before: Run | None
    after: Run | None


def story(workspace: Workspace, run: Run) -> Story:
    """Return the story of a session, from its run.json, its events and the other sessions."""
    events = session_lines(workspace, run["session"], "events")
    found = (Diagnostic.from_json(item) for item in run["diagnostics"])
    sessions = list_sessions(workspace)
    return Story(
        skipped={e["step"]: e["reason"] for e in events if e["event"] == "step_skipped"},
        failed=tuple(step for step, told in run["steps"].items() if told["status"] == "failed"),
        cause=next((item for item in found if item.severity == "error"), None),
        before=next((s for s in sessions if s["session"] == run["continues"]), None),
        after=next((s for s in sessions if s.get("continues") == run["session"]), None),
    )
