"""Files of a session: lines are appended whole, a summary is old or new, and a lock tells whether its writer lives."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from osiris.durable import APPEND, open_file
from osiris.fault import fault
from osiris.session.stored import is_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.model import JsonValue

_CHUNK = 1 << 20


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
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise
    return fd


def line(value: JsonValue) -> bytes:
    """Return a value as a line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def now_text(seconds: float | None = None) -> str:
    """Return a time (now, if none is given) in UTC as ISO 8601 with microseconds."""
    return datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC).isoformat(timespec="microseconds")
