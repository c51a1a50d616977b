"""The cache of discovery, in one SQLite file: answers with the state of the source at that time.

The file has no secrets and no raw rows. A damaged file is moved aside with a warning; a locked or unreadable one is
treated as empty.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from osiris.cache import AnswerFile, code_state, read_answer
from osiris.durable import move
from osiris.errors import diagnostic
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project

MAX_ENTRIES = 10_000
"""Beyond this number the oldest entries are deleted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer, when it was given (UTC, ISO 8601), and the state of the source at that time."""

    fingerprint: str
    made_at: str
    answer: JsonValue


class Store(AnswerFile):
    """Entries by key, a JSON value; made by `open_store`. `notes` are warnings about the file."""

    columns = MappingProxyType({"fingerprint": "TEXT", "made_at": "TEXT", "sum": "BLOB", "answer": "TEXT"})
    most = MAX_ENTRIES
    damage = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.notes: list[Diagnostic] = []

    def get(self, key: JsonValue) -> Entry | None:
        """Return an entry; None if there is none."""
        row = self.row([code_state(), key])
        return Entry(str(row[0]), str(row[1]), json.loads(row[2])) if row else None

    def put(self, key: JsonValue, fingerprint: str, answer: JsonValue) -> str:
        """Store an answer; returns the current time."""
        moment = now()
        self.keep([([code_state(), key], [fingerprint, moment, json.dumps(answer, separators=(",", ":"))])])
        return moment

    def make_durable(self, file: sqlite3.Connection) -> None:
        """Commit."""
        fault("discovery.commit")
        file.commit()

    def put_away(self, path: Path) -> None:
        """Move a damaged file aside, and add a warning to `notes`; raises OSError."""
        aside = path.with_name(f"{path.name}.damaged")
        move(path, aside)
        self.notes.append(diagnostic("DSC002", path=f"{aside.parent.parent.name}/{aside.parent.name}/{aside.name}"))


def now() -> str:
    """Return the time, in UTC and ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@contextmanager
def open_store(project: Project) -> Iterator[Store]:
    """Open the project's cache of discovery."""
    store = Store(store_path(project))
    try:
        yield store
    finally:
        store.close()


def store_path(project: Project) -> Path:
    """Return the file's path; it may be deleted at any time."""
    return project.cache.with_name("discovery.sqlite")


def store_tables(store: Store, connection: str, fingerprint: str, tables: Sequence[str]) -> None:
    """Store the names of all tables of a connection, in this state of it."""
    store.put(["names", connection], fingerprint, list(tables))


def cached_tables(project: Project, connection: str) -> list[str]:
    """Return the tables of a connection when it was last discovered; only reads the file.

    Raises sqlite3.Error if it does not exist or cannot be read at once.
    """
    return list(read_answer(store_path(project), ["names", connection]) or ())
