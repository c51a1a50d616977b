"""Conversations in one SQLite file, row by row: each row is durable before it is acted upon.

The rows of a conversation form a hash chain: each has the SHA-256 of itself and the previous row, so a changed, lost or
moved row is detected. A damaged file is renamed, and its valid rows go into a new one, with a warning.

Readers and writers share a lock on a file beside it; a repair holds the lock exclusively.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.durable import LOCKED, PRIVATE_FOLDER, move, open_file, remove
from osiris.errors import diagnostic, fail, nearest
from osiris.fault import fault
from osiris.files import take_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project

MIGRATIONS = (
    """
    CREATE TABLE conversations (
        id TEXT PRIMARY KEY, started_at TEXT NOT NULL, options TEXT NOT NULL, sum BLOB NOT NULL);
    CREATE TABLE entries (
        conversation TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, asked TEXT NOT NULL, at TEXT NOT NULL,
        result TEXT NOT NULL, sum BLOB NOT NULL, PRIMARY KEY (conversation, number)) WITHOUT ROWID
    """,
)
"""One script per version of the file, in order; `user_version` is the number applied."""

_BUSY_SECONDS = 10.0
_POLL_SECONDS = 0.05
_SIDES = ("", "-wal", "-shm")
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG)
"""SQLite codes that mean a damaged file, rather than a disk error or a busy file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: the kind of call, the SHA-256 of its arguments, its time (UTC, ISO 8601), and its result."""

    kind: str
    asked: str
    at: str
    result: JsonValue


@dataclass(frozen=True, slots=True)
class Conversation:
    """A recorded conversation: its id (that of its session), its start, and its options."""

    id: str
    started_at: str
    options: dict[str, JsonValue]


class Damaged(Exception):
    """The file, or a row of it, is not what was written."""


class Store:
    """The conversations of a project; made by `open_store`. `notes` are diagnostics about the file."""

    def __init__(self, file: sqlite3.Connection, path: Path, notes: list[Diagnostic]) -> None:
        self.notes = notes
        self._file = file
        self._path = path

    def begin(self, conversation: Conversation) -> None:
        """Record a new conversation, or new options of a resumed one; fails with CHT020."""
        row = (conversation.id, conversation.started_at, _text(conversation.options))
        with _translate_errors(self._path), self._file:
            self._file.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?)", (*row, _sum(b"", row)))
            fault("chat.begin")

    def append(self, conversation: str, number: int, entry: Entry) -> None:
        """Append one row durably; `number` counts from 0 without gaps. Fails with CHT020."""
        row = (conversation, number, entry.kind, entry.asked, entry.at, _text(entry.result))
        with _translate_errors(self._path), self._file:
            self._file.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _sum(self._last(conversation, number), row))
            )
            fault("chat.append")

    def conversations(self) -> list[Conversation]:
        """Return all conversations, the newest first."""
        with _translate_errors(self._path):
            rows = self._file.execute("SELECT id, started_at, options FROM conversations ORDER BY id DESC").fetchall()
        return [Conversation(name, at, json.loads(options)) for name, at, options in rows]

    def find(self, name: str) -> Conversation:
        """Return a conversation by its id or a prefix of it, or the newest for `last`; fails with CHT021."""
        conversations = {each.id: each for each in self.conversations()}
        if name == "last" and conversations:
            return next(iter(conversations.values()))
        matches = [name] if name in conversations else [each for each in conversations if each.startswith(name)]
        if len(matches) != 1:
            suggestion = nearest(name, conversations)
            hint = f"did you mean '{suggestion}'?" if suggestion else "see 'osiris logs list'"
            fail("CHT021", wanted=f"'{name}'", hint=hint)
        return conversations[matches[0]]

    def forget(self, names: Iterable[str]) -> None:
        """Delete conversations and reclaim their space; fails with CHT020."""
        rows = [(name,) for name in names]
        with _translate_errors(self._path):
            with self._file:
                self._file.executemany("DELETE FROM entries WHERE conversation = ?", rows)
                self._file.executemany("DELETE FROM conversations WHERE id = ?", rows)
                fault("chat.forget")
            self._file.execute("VACUUM")

    def entries(self, conversation: str) -> list[Entry]:
        """Return the rows of a conversation in order."""
        query = "SELECT kind, asked, at, result FROM entries WHERE conversation = ? ORDER BY number"
        with _translate_errors(self._path):
            rows = self._file.execute(query, (conversation,)).fetchall()
        return [Entry(kind, request, at, json.loads(result)) for kind, request, at, result in rows]

    def _last(self, conversation: str, number: int) -> bytes:
        """Return the checksum of the previous row; raises KeyError if it is missing."""
        row = self._file.execute(
            "SELECT sum FROM entries WHERE conversation = ? AND number = ?", (conversation, number - 1)
        ).fetchone()
        if number and not row:
            raise KeyError(number - 1)
        return bytes(row[0]) if row else b""


@contextmanager
def open_store(project: Project) -> Iterator[Store]:
    """Give the conversations of a project; fails with CHT020 if the file cannot be used, or is of a later version."""
    path = store_path(project)
    with ExitStack() as stack:
        with _translate_errors(path):
            path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            lock = open_file(path.with_suffix(".lock"), LOCKED)
            stack.callback(os.close, lock)
            file, notes = _open(path, lock)
            stack.enter_context(closing(file))
        yield Store(file, path, notes)


def forget_conversations(project: Project, names: Iterable[str]) -> None:
    """Delete the conversations of deleted sessions; fails with CHT020 if the file cannot be used."""
    if store_path(project).exists():
        with open_store(project) as store:
            store.forget(names)


def store_path(project: Project) -> Path:
    """Return the path of the file; unlike the rest of that folder it cannot be rebuilt."""
    return project.state / "conversations.sqlite"


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Translate errors of the disk or SQLite into CHT020."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        fail("CHT020", path=_display(path), reason=getattr(error, "strerror", None) or str(error))


def _open(path: Path, lock: int) -> tuple[sqlite3.Connection, list[Diagnostic]]:
    """Return the open file, and diagnostics; the lock is then held shared."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        take_lock(lock, shared=True, wait=True)
        with suppress(Damaged):
            return _connect(path), []
        if take_lock(lock):
            break
        if time.monotonic() > deadline:
            fail("CHT020", path=_display(path), reason="it is damaged, and another process has it open")
        time.sleep(_POLL_SECONDS)
    notes = _repair(path)
    file = _connect(path)
    take_lock(lock, shared=True, wait=True)
    return file, notes


def _make(name: Path, rows: Iterable[tuple[str, tuple[object, ...]]] = ()) -> None:
    """Create a file with these rows."""
    remove(name)
    os.close(open_file(name, LOCKED | os.O_EXCL))
    with closing(sqlite3.connect(name)) as file:
        _migrate(file, _display(name))
        with file:
            for table, row in rows:
                file.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
            fault("chat.make")


def _create(path: Path) -> None:
    """Create the file atomically: so an empty one is never new, but damaged."""
    if _damaged_copy(path) or any(path.with_name(path.name + side).exists() for side in _SIDES):
        raise Damaged
    name = path.with_name(f"{path.name}.{os.getpid()}.new")
    _make(name)
    with suppress(FileExistsError):
        fault("chat.link")
        os.link(name, path)
    remove(name)


def _connect(path: Path) -> sqlite3.Connection:
    """Return the file at the newest version, checked; raises Damaged, or sqlite3.Error for other causes."""
    if not path.exists():
        _create(path)
    if not path.stat().st_size:
        raise Damaged
    with ExitStack() as refused, _damage():
        file = refused.enter_context(closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)))
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        _migrate(file, _display(path))
        _check(file)
        refused.pop_all()
    return file


@contextmanager
def _damage() -> Iterator[None]:
    """Translate SQLite errors of a damaged file into Damaged; text that is not UTF-8 has no code."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise Damaged from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGE:
            raise Damaged from error
        raise


def _migrate(file: sqlite3.Connection, name: str) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        fail("CHT020", path=name, reason="it was written by a later version of Osiris")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        # One transaction per version: a file is never between two.
        fault("chat.migrate")
        file.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


def _check(file: sqlite3.Connection) -> None:
    """Raise Damaged unless the file is intact, and every row is as written."""
    with closing(sqlite3.connect(":memory:")) as model:
        _migrate(model, "")
        expected = _tables(model)
    # One transaction: another process may append meanwhile.
    file.execute("BEGIN")
    sound = _tables(file) == expected and file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    valid_count = sum(1 for _ in _valid_rows(file))
    (count,) = file.execute("SELECT (SELECT count(*) FROM conversations) + (SELECT count(*) FROM entries)").fetchone()
    file.execute("ROLLBACK")
    if not sound or valid_count != count:
        raise Damaged


def _tables(file: sqlite3.Connection) -> list[tuple[str, str]]:
    return file.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def _valid_rows(file: sqlite3.Connection) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield each valid row, with its table: of a conversation, all up to the first invalid one."""
    for *row, checksum in file.execute("SELECT * FROM conversations ORDER BY id"):
        if _sum(b"", row) != checksum:
            continue
        yield "conversations", (*row, checksum)
        previous = b""
        for number, (*entry, entry_sum) in enumerate(
            file.execute("SELECT * FROM entries WHERE conversation = ? ORDER BY number", (row[0],))
        ):
            if entry[1] != number or _sum(previous, entry) != entry_sum:
                break
            yield "entries", (*entry, entry_sum)
            previous = entry_sum


def _repair(path: Path) -> list[Diagnostic]:
    """Rename a damaged file and replace it by one with its valid rows; the lock is held exclusively.

    The new file is complete before the old one is moved, so a repair that was killed can continue.
    """
    new = path.with_name(f"{path.name}.mended")
    aside = _damaged_copy(path)
    if path.exists() or aside is None:
        # Another process may have repaired it before we got the lock.
        with suppress(Damaged), closing(_connect(path)):
            return []
        aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        _make(new, list(_salvage(path)))
    elif not new.exists():
        _make(new, list(_salvage(aside)))
    for side in _SIDES:
        with suppress(FileNotFoundError):
            move(path.with_name(path.name + side), aside.with_name(aside.name + side))
    with closing(sqlite3.connect(new)) as file:
        conversations, rows = (
            file.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("conversations", "entries")
        )
    move(new, path)
    return [diagnostic("CHT022", path=_display(path), aside=_display(aside), kept=conversations, rows=rows)]


def _damaged_copy(path: Path) -> Path | None:
    """Return the damaged file that was renamed last."""
    paths = path.parent.glob(f"{path.name}.corrupt-*")
    return max((each for each in paths if not each.name.endswith(_SIDES[1:])), default=None)


def _salvage(path: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the valid rows that can still be read from a file."""
    with suppress(sqlite3.Error, OSError, TypeError, ValueError), closing(sqlite3.connect(path)) as file:
        yield from _valid_rows(file)


def _text(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sum(before: bytes, row: Iterable[object]) -> bytes:
    return hashlib.sha256(before + repr(tuple(row)).encode("utf-8", "surrogatepass")).digest()


def _display(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
