"""What was found before and would be found again: answers by what they depend on, in one small SQLite file.

It only saves time. A file that is broken, busy or out of reach is as good as an empty one, an entry that was damaged is
as good as none, and what an answer depends on always includes the code that gave it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import LOCKED, make_folder, open_file, remove
from osiris.errors import OsirisError
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import JsonValue

MAX_ENTRIES = 50_000
"""Beyond it the oldest entries go."""

_FAILURES = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError)
"""What reading a damaged file ends in: its sizes may be any number, and the names in a message no text."""

_WELL = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
"""Errors that say where the file is, or that others use it: it may be good at another time."""
_TABLE = "CREATE TABLE IF NOT EXISTS found (key BLOB PRIMARY KEY, sum BLOB NOT NULL, answer BLOB NOT NULL)"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_PUT = "INSERT OR REPLACE INTO found VALUES (?, ?, ?)"
_TRIM = "DELETE FROM found WHERE rowid <= (SELECT max(rowid) FROM found) - ?"


class Cache:
    """Answers by key, a JSON value; made by `open_cache`. What is put is written when it is closed."""

    def __init__(self, file: sqlite3.Connection | None) -> None:
        self.broken = False
        self._file = file
        self._new: dict[bytes, bytes] = {}

    def get(self, key: JsonValue) -> JsonValue | None:
        """Return the answer, None if there is none."""
        name = _name(key)
        if name in self._new:
            return json.loads(self._new[name])
        row = None
        with self._tried() as file:
            row = file and file.execute("SELECT sum, answer FROM found WHERE key = ?", (name,)).fetchone()
        return json.loads(row[1]) if row and isinstance(row[1], bytes) and _sum(name, row[1]) == row[0] else None

    def put(self, key: JsonValue, answer: JsonValue) -> None:
        """Keep an answer."""
        self._new[_name(key)] = _bytes(answer)

    def write(self) -> None:
        """Write what was put, as far as that goes."""
        with self._tried() as file:
            if file is not None and self._new:
                file.executemany(_PUT, [(name, _sum(name, text), text) for name, text in self._new.items()])
                file.execute(_TRIM, (MAX_ENTRIES,))
                fault("cache.commit")
                file.commit()

    @contextmanager
    def _tried(self) -> Iterator[sqlite3.Connection | None]:
        try:
            yield self._file
        except OSError:
            return
        except _FAILURES as error:
            self.broken = self.broken or _is_broken(error)


@contextmanager
def open_cache(path: Path) -> Iterator[Cache]:
    """Give the cache of a file, which is made if it is not there, and made anew if it is none."""
    file = _open(path)
    found = Cache(file)
    try:
        yield found
        found.write()
    finally:
        if file is not None:
            file.close()
        if found.broken:
            _remove(path)


def _open(path: Path, *, anew: bool = False) -> sqlite3.Connection | None:
    """Return the file, made anew once if it is broken; None if it cannot be used now."""
    try:
        make_folder(path.parent, private=True)
        os.close(open_file(path, LOCKED))
        file = sqlite3.connect(path, timeout=1.0)
    except (OSError, OsirisError, sqlite3.Error):
        return None
    try:
        file.execute("PRAGMA synchronous = OFF")
        file.execute(_TABLE)
        file.execute("SELECT key, sum, answer FROM found LIMIT 1").fetchone()
    except _FAILURES as error:
        file.close()
        if anew or not _is_broken(error):
            return None
        _remove(path)
        return _open(path, anew=True)
    return file


def _is_broken(error: Exception) -> bool:
    """Tell whether an error says what the file is, rather than that it is busy, or that there is no space."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _WELL


def _remove(path: Path) -> None:
    with suppress(OSError):
        remove(path)


@cache
def code_state() -> str:
    """Return a text that is another one whenever code of ours is, be it released or only edited."""
    root = Path(__file__).parent
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in sorted(root.rglob("*.py")))
    return hashlib.sha256(repr([(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]).encode()).hexdigest()


def _name(key: JsonValue) -> bytes:
    return hashlib.sha256(_bytes(key)).digest()


def _sum(name: bytes, answer: bytes) -> bytes:
    return hashlib.sha256(name + answer).digest()


def _bytes(value: JsonValue) -> bytes:
    return _ENCODER.encode(value).encode()
