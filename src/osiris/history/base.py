"""Which runs a run is compared with: the last success, and the run before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.history.gone import gone_since
from osiris.history.ledger import counts_of
from osiris.session import iter_sessions, order_of, read_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue
    from osiris.project import Project

_NORMAL = 3
"""So many complete runs in a row of which rows are gone are no accident: from then on the newest is what is normal."""


def base_of(project: Project, pipeline: str, session: str) -> dict[str, JsonValue]:
    """Return the last success and the newest run of a pipeline before a session, by their ids; None if there is none.

    The last success is the newest complete run that lost no rows (`gone_since`): else whatever is small or empty would
    be normal from the second run on. If the newest `_NORMAL` all did, or there is no other, it is the newest of them.
    A run pins both in its run.json (`base`) when it starts.
    """
    found: dict[str, JsonValue] = {"success": None, "previous": None}
    complete: list[str] = []
    for each in iter_sessions(project):
        mine = (
            each.get("kind") == "run"
            and each.get("pipeline") == pipeline
            and order_of(str(each["session"])) < order_of(session)
        )
        if not mine or each["status"] == "running":
            continue
        found["previous"] = found["previous"] or each["session"]
        if each["status"] != "complete":
            continue
        if not _has_lost_rows(project, each):
            return found | {"success": each["session"]}
        complete.append(str(each["session"]))
        if len(complete) == _NORMAL:
            break
    return found | {"success": complete[0] if complete else None}


def _has_lost_rows(project: Project, run: Mapping[str, JsonValue]) -> bool:
    """Tell whether rows are gone in a run, against the last success that it had; False if that is not known."""
    base = (run.get("base") or {}).get("success")
    before = read_summary(project.logs / str(base)) if base else None
    return bool(before and gone_since(counts_of(before), counts_of(run)))
