"""What was found in sources before, in one SQLite file: each answer with the state of the source that it is true of.

The file has no secrets, and no rows as they are. One that is damaged is set aside, and it is said; one that is busy or
out of reach is as good as an empty one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from osiris.cache import code_state
from osiris.durable import LOCKED, make_folder, move, open_file
from osiris.errors import OsirisError, diagnostic
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project

T = TypeVar("T")

MAX_ENTRIES = 10_000
"""Beyond it the oldest entries go."""

_TABLE = """
CREATE TABLE IF NOT EXISTS found (
    key BLOB PRIMARY KEY, fingerprint TEXT NOT NULL, made_at TEXT NOT NULL, sum BLOB NOT NULL, answer TEXT NOT NULL)"""
_GET = "SELECT fingerprint, made_at, answer, sum FROM found WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO found (key, fingerprint, made_at, answer, sum) VALUES (?, ?, ?, ?, ?)"
_TRIM = "DELETE FROM found WHERE rowid <= (SELECT max(rowid) FROM found) - ?"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class _Damaged(Exception):
    """The file, or an entry in it, is not what was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer, when it was given (UTC, ISO 8601), and the state of the source that it is true of."""

    fingerprint: str
    made_at: str
    answer: JsonValue


class Store:
    """Entries by key, a JSON value; made by `open_store`. `notes` says what happened to the file."""

    def __init__(self, path: Path) -> None:
        self.notes: list[Diagnostic] = []
        self._path = path

    def get(self, key: JsonValue) -> Entry | None:
        """Return an entry, None if there is none."""
        name = self._name(key)

        def read(file: sqlite3.Connection) -> Entry | None:
            row = file.execute(_GET, (name,)).fetchone()
            if row and _sum(name, row[:3]) != row[3]:
                raise _Damaged
            return Entry(row[0], row[1], json.loads(row[2])) if row else None

        return self._try(read)

    def put(self, key: JsonValue, fingerprint: str, answer: JsonValue) -> str:
        """Keep an answer; returns the moment, which is now."""
        name, moment = self._name(key), now()
        told = [fingerprint, moment, json.dumps(answer, separators=(",", ":"))]

        def write(file: sqlite3.Connection) -> None:
            with file:
                file.execute(_PUT, (name, *told, _sum(name, told)))
                file.execute(_TRIM, (MAX_ENTRIES,))
                fault("discovery.commit")

        self._try(write)
        return moment

    def close(self) -> None:
        """Close the file, if it was opened."""
        if file := self.__dict__.pop("_file", None):
            file.close()

    @cached_property
    def _file(self) -> sqlite3.Connection | None:
        try:
            make_folder(self._path.parent, private=True)
            os.close(open_file(self._path, LOCKED))
            file = sqlite3.connect(self._path, timeout=1.0)
        except (OSError, OsirisError, sqlite3.Error):
            return None
        return file

    def _try(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what an action with the file gives; what is wrong with the file is no reason to fail."""
        if self._file is None:
            return None
        try:
            self._file.execute(_TABLE)
            return action(self._file)
        except _Damaged:
            self._set_aside()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                self._set_aside()
        return None

    def _set_aside(self) -> None:
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        with suppress(OSError):
            move(self._path, aside)
            self.notes.append(diagnostic("DSC002", path=f"{aside.parent.parent.name}/{aside.parent.name}/{aside.name}"))

    def _name(self, key: JsonValue) -> bytes:
        text = json.dumps([code_state(), key], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


def now() -> str:
    """Return the time, in UTC and ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _sum(name: bytes, told: Sequence[str]) -> bytes:
    return hashlib.sha256(name + "\0".join(told).encode()).digest()


@contextmanager
def open_store(project: Project) -> Iterator[Store]:
    """Give what the project knows of sources."""
    store = Store(store_path(project))
    try:
        yield store
    finally:
        store.close()


def store_path(project: Project) -> Path:
    """Return the file; it may be removed at any time."""
    return project.cache.with_name("discovery.sqlite")
