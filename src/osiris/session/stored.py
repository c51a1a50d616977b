"""The files of sessions, validated when read: a file that does not match the schema is damaged."""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from osiris.durable import APPEND, open_file
from osiris.fault import fault
from osiris.files import take_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue

    Check = Callable[[Any], bool]


CONVERSATION = "chat"
"""The `kind` of a conversation's run.json, in its id in place of a pipeline; `last` never refers to one."""

STATUSES = ("running", "complete", "failed", "cancelled", "lost")
_MODES = ("read", "write", "transform")

_CHUNK = 1 << 20


def _text(value: object) -> bool:
    return isinstance(value, str)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_time(value: object) -> bool:
    """Whether a value is a time in ISO 8601 with a zone."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _one_of(*words: str) -> Check:
    return lambda value: value in words


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _by_name(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _with(**keys: Check) -> Check:
    """Check for an object with at least these keys."""
    return lambda value: isinstance(value, dict) and all(k in value and check(value[k]) for k, check in keys.items())


def _maybe(value: Check, **keys: Check) -> Check:
    """Check for an object that passes `value`, and whose optional keys pass their checks."""
    return lambda item: value(item) and all(check(item[key]) for key, check in keys.items() if key in item)


_FILE = _with(path=_text, size=_count, sha256=_text)
_DIAGNOSTIC = _maybe(
    _with(code=_text, message=_text),
    severity=_one_of("error", "warning", "note"),
    **dict.fromkeys(("file", "pointer", "hint", "step"), _or_none(_text)),
    **dict.fromkeys(("line", "column"), _or_none(_count)),
    fix=_list_of(_with(op=_text, path=_text)),
)
_DIGEST = _maybe(_with(), kind=_text, algorithm=_text, rows=_count, columns=_by_name(_text))
_STEP = _maybe(
    _with(mode=_one_of(*_MODES), status=_text),
    **dict.fromkeys(("rows_in", "rows_out", "rows_rejected"), _count),
    duration_ms=_number,
    digest=_or_none(_DIGEST),
)
_OUTPUT = _maybe(
    _with(files=_list_of(_FILE), rows=_count), ledger=_or_none(_with(path=_text)), digest=_or_none(_DIGEST)
)

_OF_EVENTS: tuple[tuple[str, Check], ...] = (
    ("seq", _count),
    *((key, _text) for key in ("ts", "step", "code", "message", "run_key", "run_started_at", "fingerprint")),
)

_NEEDED: dict[str, Check] = {
    "session": _text,
    "status": _one_of(*STATUSES),
    "pipeline": _text,
    "started_at": is_time,
    "steps": _by_name(_STEP),
}

_DEFAULTED: dict[str, tuple[Check, JsonValue]] = {
    "kind": (_one_of("run", "replay", "refused"), "run"),
    "fingerprint": (_text, ""),
    "run_key": (_text, ""),
    "run_started_at": (is_time, None),
    "continues": (_or_none(_text), None),
    "selected": (_or_none(_list_of(_text)), None),
    "ended_at": (_or_none(is_time), None),
    "duration_ms": (_or_none(_number), None),
    "adapter": (_text, ""),
    "base": (_or_none(_with(success=_or_none(_text), previous=_or_none(_text))), None),
    "engines": (_by_name(_text), {}),
    "connections": (_by_name(_text), {}),
    "sources": (_by_name(_text), {}),
    "rows_in": (_count, 0),
    "rows_out": (_count, 0),
    "outputs": (_by_name(_OUTPUT), {}),
    "deliveries": (_by_name(_maybe(_OUTPUT, session=_text)), {}),
    "spools": (_by_name(_with(file=_FILE, rows=_count, session=_text)), {}),
    "diagnostics": (_list_of(_DIAGNOSTIC), []),
}
"""Keys of a run's run.json that may be missing, with their check and default."""

_OPTIONAL: dict[str, Check] = {
    "environment": _maybe(
        _with(), **dict.fromkeys(("osiris", "python", "system", "machine"), _text), engines=_by_name(_text)
    ),
    "settings": _by_name(_with(origin=_text)),
    "limits": _by_name(_number),
    "oml": _or_none(_text),
    "replays": _maybe(_with(), session=_text, run_id=_text),
}
"""Optional keys without a default."""


def read_summary(folder: Path) -> dict[str, JsonValue] | None:
    """Return run.json of a session's folder; None if it is missing or damaged (see `problem_of`)."""
    summary = _load(folder)
    return None if isinstance(summary, str) else summary


def problem_of(folder: Path) -> str | None:
    """Return what is wrong with a session's run.json; None if it is valid, or if the session never started."""
    problem = _load(folder)
    return problem if isinstance(problem, str) and _has_started(folder) else None


def _has_started(folder: Path) -> bool:
    """Whether there ever was a run.json: it is written before the first event."""
    events = folder / "events.jsonl"
    return (folder / "run.json").exists() or (events.is_file() and events.stat().st_size > 0)


def _load(folder: Path) -> dict[str, JsonValue] | str:
    """Return run.json with all its keys, or the problem with it."""
    try:
        summary = json.loads((folder / "run.json").read_bytes())
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(summary, dict) or summary.get("session") != folder.name:
        return "it is not of this session"
    if summary.get("kind") == CONVERSATION:
        return summary
    defaults = {key: default for key, (_, default) in _DEFAULTED.items()}
    defaults |= {"run_key": folder.name, "run_started_at": summary.get("started_at")}
    return next(_problems(summary), None) or {**defaults, **summary}


def _problems(summary: Mapping[str, JsonValue]) -> Any:  # noqa: ANN401 - a generator of texts
    yield from (f"'{key}' is missing" for key in _NEEDED if key not in summary)
    checks = {**_NEEDED, **_OPTIONAL, **{key: check for key, (check, _) in _DEFAULTED.items()}}
    bad = (key for key, check in checks.items() if key in summary and not check(summary[key]))
    yield from (f"'{key}' is not what it must be" for key in bad)


def is_event(line: object) -> bool:
    """Whether a parsed line of events.jsonl or metrics.jsonl is a valid event or metric."""
    if not isinstance(line, dict):
        return False
    if "event" not in line:
        return isinstance(line.get("metric"), str) and _number(line.get("value"))
    name = line["event"]
    if not isinstance(name, str) or (name.startswith("step_") and "step" not in line):
        return False
    return all(check(line[key]) for key, check in _OF_EVENTS if key in line)


def read_lines(path: Path) -> list[dict[str, JsonValue]]:
    """Return the complete lines of events.jsonl or metrics.jsonl; empty if the file is missing."""
    return list(iter_lines(path))


def iter_lines(path: Path) -> Iterator[dict[str, JsonValue]]:
    """Yield the lines that `read_lines` returns, with few of them in memory at a time."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            *complete, rest = (rest + chunk).rsplit(b"\n", 1)
            yield from complete_lines(complete[0] + b"\n" if complete else b"")


def complete_lines(content: bytes) -> list[dict[str, Any]]:
    """Return the lines that are valid events or metrics; a kill or a full disk may leave an incomplete one.

    Parsing all lines at once is three times as fast; they are parsed one by one only if that fails.
    """
    lines = content.split(b"\n")[:-1]
    with suppress(ValueError, RecursionError):
        together: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(together) == len(lines) and all(map(is_event, together)):
            return together
    parsed = (_parsed(line) for line in lines)
    return [line for line in parsed if line is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if is_event(event) else None


def cut_torn_line(path: Path) -> None:
    """Truncate an incomplete last line, which a kill or a full disk may leave."""
    with suppress(FileNotFoundError):
        fault("journal.truncate")
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def open_locked(path: Path, flags: int = APPEND) -> int:
    """Open and lock a file; raises BlockingIOError if another process has it locked."""
    fd = open_file(path, flags)
    if not take_lock(fd):
        os.close(fd)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fd


def line(value: JsonValue) -> bytes:
    """Return a value as a line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def now_text(seconds: float | None = None) -> str:
    """Return a time (now, if none is given) in UTC as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC).isoformat(timespec="microseconds")
