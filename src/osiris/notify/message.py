"""The body of a notification: which events a run is, and what is said of it; never rows or values of data.

A body is JSON, as `notify.webhook` sends it (`VERSION`); other channels send `title_of` and `text_of` of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.history.changes import DRIFT
from osiris.history.failures import clip, first_cause, subject_of
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from osiris.history.reading import Reading
    from osiris.model import JsonValue

    Body = dict[str, JsonValue]

VERSION = 1
"""The version of the body; members may be added to one, and are never removed or changed."""

_WRITTEN = ("step", "target", "rows", "state")
_STATES = {
    "written": "{rows} written",
    "kept": "{rows} written, on record as delivered",
    "nothing": "nothing written",
    "unknown": "it is not certain whether rows were written",
}
_INVISIBLE = dict.fromkeys([*range(32), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)], " ")
_COMMANDS = 3
_LONGEST = 400


def is_failure(summary: Mapping[str, JsonValue]) -> bool:
    """Return whether a run.json is that of a run that failed, was lost, or was stopped otherwise than by Ctrl-C."""
    if summary["status"] != "cancelled":
        return summary["status"] in ("failed", "lost")
    cause = first_cause(summary)
    return cause is None or subject_of(cause[1]).get("signal") != "SIGINT"


def events_of(reading: Reading, before: Mapping[str, JsonValue] | None, rejected: int) -> list[str]:
    """Return the events that a run is: of failure, drift, recovery and rejected.

    `before` is the run.json of the run of the pipeline that ended before it, None if there is none.
    """
    is_failed = is_failure(reading.run.summary)
    applying = {
        "failure": is_failed,
        "drift": is_failed and reading.root is not None and reading.root.item.code == DRIFT,
        "recovery": reading.run.status == "complete" and before is not None and is_failure(before),
        "rejected": rejected > 0,
    }
    return [name for name, applies in applying.items() if applies]


def run_body(answer: Mapping[str, JsonValue], events: list[str], project: str) -> Body:
    """Return the body about a run, from the answer of its package."""
    run, failure = answer["run"], answer["failure"]
    return {
        **_head(run["session"], events, project, run["pipeline"]),
        "text": f"{'The pipeline works again. ' if 'recovery' in events else ''}{answer['verdict']['text']}",
        "status": answer["verdict"]["status"],
        "session": run["session"],
        "run_id": run["run_key"],
        "started_at": run["started_at"],
        "ended_at": run["ended_at"],
        "cause": {key: failure[key] for key in ("code", "step", "cause", "place", "remedy")} if failure else None,
        "rows_rejected": answer["rows"]["rejected"],
        "written": [{key: each[key] for key in _WRITTEN} for each in answer["written"]["writers"]],
        "safe_to_retry": answer["retry"]["safe"],
        "retry": answer["retry"]["why"],
        "next": [each["command"] for each in answer["next"][:_COMMANDS]],
    }


def late_body(pipeline: str, due: datetime, project: str) -> Body:
    """Return the body about a pipeline that did not run when it was due, a time with a zone."""
    return {
        **_head(f"{pipeline}@{due:%Y%m%dT%H%M%SZ}", ["late"], project, pipeline),
        "text": f"It was due at {due:%Y-%m-%d %H:%M} UTC and has not run since.",
        "due": f"{due:%Y-%m-%dT%H:%M:%SZ}",
        "next": ["osiris status"],
    }


def test_body(number: str, project: str) -> Body:
    """Return the body of a test message."""
    return {
        **_head(number, ["test"], project, None),
        "text": "This is a test message: notifications of this project arrive here.",
        "next": [],
    }


def _head(number: str, events: list[str], project: str, pipeline: str | None) -> Body:
    return {"version": VERSION, "id": number, "events": events, "project": project, "pipeline": pipeline}


_TITLES = {
    "drift": "failed: its source changed",
    "failure": "failed",
    "recovery": "works again",
    "rejected": "rejected rows",
    "late": "is late",
    "test": "test message",
}


def title_of(body: Body, longest: int = 150) -> str:
    """Return the title of a notification, in one line."""
    event = next(name for name in _TITLES if name in body["events"])
    return clip(_shown(f"{body['pipeline'] or 'osiris'} {_TITLES[event]} ({body['project']})"), longest)


def text_of(body: Body, longest: int) -> str:
    """Return the text of a notification in lines of plain text, cut to `longest` characters."""
    text = "\n".join(map(_shown, _lines(body)))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _shown(text: str) -> str:
    """Return a text without characters that control a terminal, a line or the direction of writing."""
    return text.encode("utf-8", "backslashreplace").decode().translate(_INVISIBLE)


def _lines(body: Body) -> Iterator[str]:
    cause = body.get("cause")
    yield body["text"]
    if cause and cause["remedy"]:
        yield f"Remedy: {cause['remedy']}"
    yield from map(_written_line, body.get("written") or ())
    if cause:
        yield body["retry"] if body["safe_to_retry"] else f"A retry may write rows twice. {body['retry']}"
    yield from ["Next:", *(f"  {command}" for command in body["next"])] if body["next"] else []


def _written_line(written: Mapping[str, JsonValue]) -> str:
    """Return what was written to one target."""
    number = written["rows"]
    rows = "rows" if number is None else count(number, "row")
    return clip(f"{written['target'] or written['step']}: {_STATES[written['state']].format(rows=rows)}", _LONGEST)
