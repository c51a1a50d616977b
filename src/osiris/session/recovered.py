"""What a damaged session still tells of its run: enough to ask the ledgers before anything is repeated."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from osiris.session.disk import read_lines
from osiris.session.stored import is_time, problem_of
from osiris.session.writing import ENDS

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.model import JsonValue

_ID = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-(\d{3})-(.+)-[0-9a-f]+")


def read_recovered(folder: Path) -> dict[str, JsonValue] | None:
    """Return what events, plan and name of a damaged session tell, in the form of run.json; None if it is not damaged.

    `problem` says what is wrong with it, and nothing counts as delivered: whoever continues it asks each ledger. A
    fingerprint that is not known is empty.
    """
    problem = problem_of(folder)
    named = _ID.fullmatch(folder.name)
    if problem is None or named is None:
        return None
    *time, name = named.groups()
    year, month, day, hour, minute, second, part = time
    started = f"{year}-{month}-{day}T{hour}:{minute}:{second}.{part}000+00:00"
    if not is_time(started):
        return None
    events = read_lines(folder / "events.jsonl")
    start = next((event for event in events if event["event"] == "run_start"), {})
    end = next((event["event"] for event in events if event["event"] in ENDS), "run_lost")
    plan = _plan(folder)
    return {
        "session": folder.name,
        "kind": "replay" if "replays" in start else "run",
        "problem": problem,
        "pipeline": start.get("pipeline") or plan.get("pipeline") or name,
        "status": ENDS[end],
        "fingerprint": start.get("fingerprint") or plan.get("fingerprint") or "",
        "run_key": start.get("run_key") or folder.name,
        "run_started_at": start.get("run_started_at") or f"{started[:19]}Z",
        "started_at": started,
        "ended_at": None,
        "continues": start.get("continues"),
        "selected": None,
        "connections": None,
        **{key: {} for key in ("steps", "sources", "outputs", "deliveries", "spools")},
        "diagnostics": [],
    }


def _plan(folder: Path) -> dict[str, JsonValue]:
    """Return name of the pipeline and fingerprint that the plan of a session has, as far as it can be read."""
    try:
        found = read_plan(folder) or {}
        return {"pipeline": found["pipeline"]["name"], "fingerprint": found["fingerprint"]}
    except (LookupError, TypeError):
        return {}


def read_plan(folder: Path) -> dict[str, JsonValue] | None:
    """Return the plan of a session as JSON; None if it cannot be read."""
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
