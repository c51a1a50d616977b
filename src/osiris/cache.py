"""A cache of answers, keyed by everything they depend on, in a small SQLite file.

It only saves time. A damaged, busy or unavailable file counts as empty, a damaged entry as missing, and the key of an
answer always includes the version of the code that computed it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing, contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, TypeVar

from osiris.durable import LOCKED, make_folder, open_file, remove
from osiris.errors import OsirisError
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

    from osiris.model import JsonValue

T = TypeVar("T")

MAX_ENTRIES = 50_000
"""Maximum number of entries; the oldest are removed."""

_FAILURES = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError)
"""Exceptions when reading a damaged file, whose sizes and names may be arbitrary."""

_TRANSIENT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
}
"""Errors of the environment or of concurrent use, which do not mean that the file is damaged."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class Damaged(Exception):
    """The file, or an entry in it, is damaged."""


class AnswerFile(ABC):
    """A SQLite file of answers, each stored under the digest of its key, with a checksum column.

    A damaged file is moved away and replaced.
    """

    columns: ClassVar[Mapping[str, str]]
    """Names and types of columns; the last but one is the checksum, the others are the answer."""
    most: ClassVar[int]
    """Maximum number of answers; the oldest are removed."""
    synchronous: ClassVar[str] = "FULL"
    """Value of SQLite's pragma `synchronous`."""
    damage: ClassVar[Set[int]]
    """SQLite error codes that mean a damaged file; an error without a code counts as 0."""
    damaged_by_entry: ClassVar[bool] = True
    """Whether a damaged entry means a damaged file; otherwise it counts as missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def row(self, key: JsonValue) -> Sequence[str | bytes] | None:
        """Return an answer without its checksum; None if it is missing or the file cannot be used."""
        name = _name(key)
        select = f"SELECT {', '.join(self.columns)} FROM found WHERE key = ?"

        def read(file: sqlite3.Connection) -> Sequence[str | bytes] | None:
            *before, checksum, answer = file.execute(select, (name,)).fetchone() or (b"", None)
            row = [*before, answer]
            if answer is None or _sum(name, row) == checksum:
                return row if answer is not None else None
            if self.damaged_by_entry:
                raise Damaged
            return None

        return self._with_file(read)

    def keep(self, answers: Iterable[tuple[JsonValue, Sequence[str | bytes]]]) -> None:
        """Write answers by their keys, if possible."""
        insert = f"INSERT OR REPLACE INTO found (key, {', '.join(self.columns)}) VALUES (?{', ?' * len(self.columns)})"
        entries = [(_name(key), row) for key, row in answers]
        rows = [(name, *row[:-1], _sum(name, row), row[-1]) for name, row in entries]

        def write(file: sqlite3.Connection) -> None:
            with file:  # roll back on failure: the locks would block all other processes until the file is closed
                file.executemany(insert, rows)
                file.execute("DELETE FROM found WHERE rowid <= (SELECT max(rowid) FROM found) - ?", (self.most,))
                self.make_durable(file)

        self._with_file(write)

    def close(self) -> None:
        """Close the file, if it is open."""
        if file := self.__dict__.pop("_file", None):
            file.close()

    @abstractmethod
    def make_durable(self, file: sqlite3.Connection, /) -> None:
        """Make what was written last."""

    def put_away(self, path: Path) -> None:
        """Move a damaged file away; raises OSError."""
        remove(path)

    @cached_property
    def _file(self) -> sqlite3.Connection | None:
        """The open file; None if it cannot be used now."""
        try:
            make_folder(self._path.parent, private=True)
            os.close(open_file(self._path, LOCKED))
            file = sqlite3.connect(self._path, timeout=1.0)
        except (OSError, OsirisError, sqlite3.Error):
            return None
        typed = ", ".join(f"{name} {kind} NOT NULL" for name, kind in self.columns.items())
        try:
            file.execute(f"PRAGMA synchronous = {self.synchronous}")
            file.execute(f"CREATE TABLE IF NOT EXISTS found (key BLOB PRIMARY KEY, {typed})")
        except _FAILURES:
            file.close()
            raise
        return file

    def _with_file(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return the result of an action on the file, or on a new one if it is damaged; None if it cannot be used."""
        for _ in range(2):
            try:
                return action(self._file) if self._file else None
            except OSError:
                return None
            except (*_FAILURES, Damaged) as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if not isinstance(error, Damaged) and code not in self.damage:
                    return None
                self.close()
                with suppress(OSError):
                    self.put_away(self._path)
        return None


class Cache(AnswerFile):
    """Answers by key, a JSON value; opened by `open_cache`. New entries are written when it is closed."""

    columns = MappingProxyType({"sum": "BLOB", "answer": "BLOB"})
    most = MAX_ENTRIES
    synchronous = "OFF"
    damage = frozenset(range(0x100)) - _TRANSIENT
    damaged_by_entry = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._new: dict[bytes, tuple[JsonValue, bytes]] = {}

    def get(self, key: JsonValue) -> JsonValue | None:
        """Return the answer; None if there is none."""
        new = self._new.get(_name(key))
        row = new[1:] if new else self.row(key)
        return json.loads(row[0]) if row else None

    def put(self, key: JsonValue, answer: JsonValue) -> None:
        """Store an answer."""
        self._new[_name(key)] = key, _bytes(answer)

    def make_durable(self, file: sqlite3.Connection) -> None:
        """Make what was written last."""
        fault("cache.commit")
        file.commit()

    def write(self) -> None:
        """Write the new answers, if possible."""
        if self._new:
            self.keep((key, [answer]) for key, answer in self._new.values())


@contextmanager
def open_cache(path: Path) -> Iterator[Cache]:
    """Open the cache in a file, which is created if missing, and replaced if damaged."""
    cache = Cache(path)
    try:
        yield cache
        cache.write()
    finally:
        cache.close()


def read_answer(path: Path, key: JsonValue) -> JsonValue | None:
    """Return the last value of an answer that this code has stored; None if there is none.

    The file is neither created, repaired nor changed. Raises sqlite3.Error if it cannot be read at once.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as file:
        row = file.execute("SELECT answer FROM found WHERE key = ?", (_name([code_state(), key]),)).fetchone()
    return json.loads(row[0]) if row else None


@cache
def code_state() -> str:
    """Return a text that changes whenever our code does, released or edited."""
    root = Path(__file__).parent
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in sorted(root.rglob("*.py")))
    return hashlib.sha256(repr([(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]).encode()).hexdigest()


def _name(key: JsonValue) -> bytes:
    return hashlib.sha256(_bytes(key)).digest()


def _sum(name: bytes, row: Sequence[str | bytes]) -> bytes:
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in row]
    return hashlib.sha256(name + b"\0".join(parts)).digest()


def _bytes(value: JsonValue) -> bytes:
    return _ENCODER.encode(value).encode()
