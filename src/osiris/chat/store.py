"""What was said and found in conversations, row by row, in one SQLite file: a row is durable before it is acted upon.

Rows of a conversation form a chain: each has the SHA-256 of itself and of the row before. So a row that was changed,
lost or put elsewhere is noticed, and a file that is damaged is set aside under another name; what of it is whole goes
into a new one. Nothing is ever begun anew in silence.

Whoever has the file open holds a lock on a file beside it together with others; whoever mends it holds the lock alone.
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
"""One script a version of the file, in order; `user_version` says how many of them it has."""

_BUSY_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_SIDES = ("", "-wal", "-shm")
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG)
"""Codes of SQLite that tell of the file while it is read, and not of the disk or of others that use it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: what kind of thing was asked, the SHA-256 of what was, when (UTC, ISO 8601), and what came of it."""

    kind: str
    asked: str
    at: str
    result: JsonValue


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that is on record: its id (that of its session), when it began, and the options it began with."""

    id: str
    started_at: str
    options: dict[str, JsonValue]


class Damaged(Exception):
    """The file, or a row of it, is not what was written."""


class Store:
    """The conversations of a project; made by `open_store`. `notes` says what happened to the file."""

    def __init__(self, file: sqlite3.Connection, path: Path, notes: list[Diagnostic]) -> None:
        self.notes = notes
        self._file = file
        self._path = path

    def begin(self, conversation: Conversation) -> None:
        """Keep that a conversation has begun, or with which options it goes on; fails with CHT020."""
        row = (conversation.id, conversation.started_at, _text(conversation.options))
        with _own_errors(self._path), self._file:
            self._file.execute("INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?)", (*row, _sum(b"", row)))
            fault("chat.begin")

    def append(self, conversation: str, number: int, entry: Entry) -> None:
        """Keep one row, durably; `number` counts from 0 without a gap. Fails with CHT020."""
        row = (conversation, number, entry.kind, entry.asked, entry.at, _text(entry.result))
        with _own_errors(self._path), self._file:
            self._file.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _sum(self._last(conversation, number), row))
            )
            fault("chat.append")

    def conversations(self) -> list[Conversation]:
        """Return all conversations, the newest first."""
        with _own_errors(self._path):
            rows = self._file.execute("SELECT id, started_at, options FROM conversations ORDER BY id DESC").fetchall()
        return [Conversation(name, at, json.loads(options)) for name, at, options in rows]

    def find(self, name: str) -> Conversation:
        """Return a conversation by its id or the beginning of it, the newest for `last`; fails with CHT021."""
        known = {each.id: each for each in self.conversations()}
        if name == "last" and known:
            return next(iter(known.values()))
        begun = [name] if name in known else [each for each in known if each.startswith(name)]
        if len(begun) != 1:
            near = nearest(name, known)
            hint = f"did you mean '{near}'?" if near else "see 'osiris logs list'"
            fail("CHT021", wanted=f"'{name}'", hint=hint)
        return known[begun[0]]

    def forget(self, names: Iterable[str]) -> None:
        """Remove conversations, and give their room back; fails with CHT020."""
        rows = [(name,) for name in names]
        with _own_errors(self._path):
            with self._file:
                self._file.executemany("DELETE FROM entries WHERE conversation = ?", rows)
                self._file.executemany("DELETE FROM conversations WHERE id = ?", rows)
                fault("chat.forget")
            self._file.execute("VACUUM")

    def entries(self, conversation: str) -> list[Entry]:
        """Return the rows of a conversation in order."""
        query = "SELECT kind, asked, at, result FROM entries WHERE conversation = ? ORDER BY number"
        with _own_errors(self._path):
            rows = self._file.execute(query, (conversation,)).fetchall()
        return [Entry(kind, asked, at, json.loads(result)) for kind, asked, at, result in rows]

    def _last(self, conversation: str, number: int) -> bytes:
        """Return the sum of the row before; raises KeyError if it is not there."""
        found = self._file.execute(
            "SELECT sum FROM entries WHERE conversation = ? AND number = ?", (conversation, number - 1)
        ).fetchone()
        if number and not found:
            raise KeyError(number - 1)
        return bytes(found[0]) if found else b""


@contextmanager
def open_store(project: Project) -> Iterator[Store]:
    """Give the conversations of a project; fails with CHT020 if the file cannot be used, or is of a later version."""
    path = store_path(project)
    with ExitStack() as held:
        with _own_errors(path):
            path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            lock = open_file(path.with_suffix(".lock"), LOCKED)
            held.callback(os.close, lock)
            file, notes = _opened(path, lock)
            held.enter_context(closing(file))
        yield Store(file, path, notes)


def forget_conversations(project: Project, names: Iterable[str]) -> None:
    """Remove conversations whose sessions are gone; fails with CHT020 if the file cannot be used."""
    if store_path(project).exists():
        with open_store(project) as store:
            store.forget(names)


def store_path(project: Project) -> Path:
    """Return the file; unlike the rest of that folder it cannot be rebuilt."""
    return project.state / "conversations.sqlite"


@contextmanager
def _own_errors(path: Path) -> Iterator[None]:
    """Turn what the disk or SQLite says into CHT020."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        fail("CHT020", path=_shown(path), reason=getattr(error, "strerror", None) or str(error))


def _opened(path: Path, lock: int) -> tuple[sqlite3.Connection, list[Diagnostic]]:
    """Return the file, and what there is to say of it; from now on the lock is held together with others."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        take_lock(lock, shared=True, wait=True)
        with suppress(Damaged):
            return _connect(path), []
        if take_lock(lock):
            break
        if time.monotonic() > deadline:
            fail("CHT020", path=_shown(path), reason="it is damaged, and another process has it open")
        time.sleep(_LOOK_SECONDS)
    notes = _mended(path)
    file = _connect(path)
    take_lock(lock, shared=True, wait=True)
    return file, notes


def _make(name: Path, rows: Iterable[tuple[str, tuple[object, ...]]] = ()) -> None:
    """Make a file that has these rows."""
    remove(name)
    os.close(open_file(name, LOCKED | os.O_EXCL))
    with closing(sqlite3.connect(name)) as file:
        _migrate(file, _shown(name))
        with file:
            for table, row in rows:
                file.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
            fault("chat.make")


def _make_first(path: Path) -> None:
    """Make the file, which appears whole: so an empty one is never new, but damaged."""
    if _aside(path) or any(path.with_name(path.name + side).exists() for side in _SIDES):
        raise Damaged
    name = path.with_name(f"{path.name}.{os.getpid()}.new")
    _make(name)
    with suppress(FileExistsError):
        fault("chat.link")
        os.link(name, path)
    remove(name)


def _connect(path: Path) -> sqlite3.Connection:
    """Return the file at the newest version, checked; raises Damaged, or sqlite3.Error for what is not its fault."""
    if not path.exists():
        _make_first(path)
    if not path.stat().st_size:
        raise Damaged
    with ExitStack() as refused, _damage():
        file = refused.enter_context(closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)))
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        _migrate(file, _shown(path))
        _check(file)
        refused.pop_all()
    return file


@contextmanager
def _damage() -> Iterator[None]:
    """Turn what SQLite says of a damaged file into Damaged; a text that is not UTF-8 has no code at all."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGE:
            raise Damaged from error
        raise


def _migrate(file: sqlite3.Connection, name: str) -> None:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        fail("CHT020", path=name, reason="it was written by a later version of Osiris")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        # One transaction a version: a file is never between two of them.
        fault("chat.migrate")
        file.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


def _check(file: sqlite3.Connection) -> None:
    """Raise Damaged unless the file is sound, and every row is what was written."""
    with closing(sqlite3.connect(":memory:")) as model:
        _migrate(model, "")
        expected = _tables(model)
    # All of it in one transaction: another process may append meanwhile.
    file.execute("BEGIN")
    sound = _tables(file) == expected and file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    whole = sum(1 for _ in _whole(file))
    (count,) = file.execute("SELECT (SELECT count(*) FROM conversations) + (SELECT count(*) FROM entries)").fetchone()
    file.execute("ROLLBACK")
    if not sound or whole != count:
        raise Damaged


def _tables(file: sqlite3.Connection) -> list[tuple[str, str]]:
    return file.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def _whole(file: sqlite3.Connection) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Give each row that is whole, with its table: of a conversation all up to the first that is not."""
    for *row, told in file.execute("SELECT * FROM conversations ORDER BY id"):
        if _sum(b"", row) != told:
            continue
        yield "conversations", (*row, told)
        before = b""
        for number, (*entry, own) in enumerate(
            file.execute("SELECT * FROM entries WHERE conversation = ? ORDER BY number", (row[0],))
        ):
            if entry[1] != number or _sum(before, entry) != own:
                break
            yield "entries", (*entry, own)
            before = own


def _mended(path: Path) -> list[Diagnostic]:
    """Set a damaged file aside and put a new one in its place that has what was whole of it; the lock is held alone.

    The new one is complete before the old one goes, so that after a kill in between this goes on where it was.
    """
    new = path.with_name(f"{path.name}.mended")
    aside = _aside(path)
    if path.exists() or aside is None:
        # Another process may have mended it before the lock was ours.
        with suppress(Damaged), closing(_connect(path)):
            return []
        aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        _make(new, list(_salvaged(path)))
    elif not new.exists():
        _make(new, list(_salvaged(aside)))
    for side in _SIDES:
        with suppress(FileNotFoundError):
            move(path.with_name(path.name + side), aside.with_name(aside.name + side))
    with closing(sqlite3.connect(new)) as file:
        kept, rows = (
            file.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("conversations", "entries")
        )
    move(new, path)
    return [diagnostic("CHT022", path=_shown(path), aside=_shown(aside), kept=kept, rows=rows)]


def _aside(path: Path) -> Path | None:
    """Return the file that was set aside last."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return max((each for each in found if not each.name.endswith(_SIDES[1:])), default=None)


def _salvaged(path: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Give what can still be read of a file, and is whole."""
    with suppress(sqlite3.Error, OSError, TypeError, ValueError), closing(sqlite3.connect(path)) as file:
        yield from _whole(file)


def _text(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sum(before: bytes, row: Iterable[object]) -> bytes:
    return hashlib.sha256(before + repr(tuple(row)).encode("utf-8", "surrogatepass")).digest()


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
