"""What sessions keep on disk, read through one schema: a file that is not as we write it is damaged, never trusted."""

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
"""The `kind` of a conversation's run.json, and what its id says in place of a pipeline; `last` never means one."""

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
    """Tell whether a value is a time as we write it: ISO 8601, with its zone."""
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
    """Check for an object that has these keys, and maybe others."""
    return lambda value: isinstance(value, dict) and all(k in value and check(value[k]) for k, check in keys.items())


def _maybe(value: Check, **keys: Check) -> Check:
    """Check for an object that passes `value`, and in which these keys, where it has them, are as they must be."""
    return lambda given: value(given) and all(check(given[key]) for key, check in keys.items() if key in given)


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

_KNOWN: dict[str, tuple[Check, JsonValue]] = {
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
"""Keys of a run's run.json that may be missing, each with what it is then."""

_OPTIONAL: dict[str, Check] = {
    "environment": _maybe(
        _with(), **dict.fromkeys(("osiris", "python", "system", "machine"), _text), engines=_by_name(_text)
    ),
    "settings": _by_name(_with(origin=_text)),
    "limits": _by_name(_number),
    "oml": _or_none(_text),
    "replays": _maybe(_with(), session=_text, run_id=_text),
}
"""Keys that readers do without where they are missing."""


def read_summary(folder: Path) -> dict[str, JsonValue] | None:
    """Return run.json of a session's folder; None if it is missing or damaged (`problem_of` says in which way)."""
    found = _loaded(folder)
    return None if isinstance(found, str) else found


def problem_of(folder: Path) -> str | None:
    """Say what is wrong with a session's run.json; None if nothing is, or if nothing had begun in it."""
    found = _loaded(folder)
    return found if isinstance(found, str) and _has_begun(folder) else None


def _has_begun(folder: Path) -> bool:
    """Tell whether there ever was a run.json: it is written before the first event."""
    events = folder / "events.jsonl"
    return (folder / "run.json").exists() or (events.is_file() and events.stat().st_size > 0)


def _loaded(folder: Path) -> dict[str, JsonValue] | str:
    """Return run.json with all its keys, or what is wrong with it."""
    try:
        found = json.loads((folder / "run.json").read_bytes())
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(found, dict) or found.get("session") != folder.name:
        return "it is not of this session"
    if found.get("kind") == CONVERSATION:
        return found
    wrong = next(_wrong(found), None)
    return wrong or {**{key: default for key, (_, default) in _KNOWN.items()}, "run_key": folder.name, **_whole(found)}


def _whole(found: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"run_started_at": found["started_at"], **found}


def _wrong(found: Mapping[str, JsonValue]) -> Any:  # noqa: ANN401 - a generator of texts
    yield from (f"'{key}' is missing" for key in _NEEDED if key not in found)
    checks = {**_NEEDED, **_OPTIONAL, **{key: check for key, (check, _) in _KNOWN.items()}}
    bad = (key for key, check in checks.items() if key in found and not check(found[key]))
    yield from (f"'{key}' is not what it must be" for key in bad)


def is_event(line: object) -> bool:
    """Tell whether a line of events.jsonl or metrics.jsonl is one that we write."""
    if not isinstance(line, dict):
        return False
    if "event" not in line:
        return isinstance(line.get("metric"), str) and _number(line.get("value"))
    name = line["event"]
    if not isinstance(name, str) or (name.startswith("step_") and "step" not in line):
        return False
    return all(check(line[key]) for key, check in _OF_EVENTS if key in line)


def read_lines(path: Path) -> list[dict[str, JsonValue]]:
    """Return the whole lines of events.jsonl or metrics.jsonl, as far as it is there; torn ones are left out."""
    return list(iter_lines(path))


def iter_lines(path: Path) -> Iterator[dict[str, JsonValue]]:
    """Give the lines that `read_lines` returns, with few of them in memory at a time."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            *whole, rest = (rest + chunk).rsplit(b"\n", 1)
            yield from whole_lines(whole[0] + b"\n" if whole else b"")


def whole_lines(content: bytes) -> list[dict[str, Any]]:
    """Return the lines that are events or metrics; a kill or a full disk may have torn one.

    All together are read three times as fast; one by one only if that fails.
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
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if is_event(found) else None


def cut_torn_line(path: Path) -> None:
    """Cut what a kill or a full disk left behind the last whole line."""
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
