"""What was found before and would be found again: answers by what they depend on, in one small SQLite file.

It only saves time. A file that is broken, busy or out of reach is as good as an empty one, an entry that was damaged is
as good as none, and what an answer depends on always includes the code that gave it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
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
"""Beyond it the oldest entries go."""

_FAILURES = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError)
"""What reading a damaged file ends in: its sizes may be any number, and the names in a message no text."""

_WELL = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR}
"""Errors that say where the file is, or that others use it: it may be good at another time."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class Damaged(Exception):
    """The file, or an entry in it, is not what was written."""


class AnswerFile(ABC):
    """A SQLite file of answers, each under the digest of a key and with a checksum, which is among its columns.

    One that is damaged is put away, and a new one is begun.
    """

    columns: ClassVar[Mapping[str, str]]
    """Names and types; the last but one is the checksum, the others are an answer."""
    most: ClassVar[int]
    """With more answers the oldest go."""
    synchronous: ClassVar[str] = "FULL"
    """What is awaited of the disk, as SQLite's pragma has it."""
    damage: ClassVar[Set[int]]
    """Codes of SQLite that make the file a damaged one; an error that has none counts as 0."""
    damaged_by_entry: ClassVar[bool] = True
    """Whether a damaged entry makes the file a damaged one; else it is as good as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def row(self, key: JsonValue) -> Sequence[str | bytes] | None:
        """Return an answer without its checksum; None if there is none, or the file cannot be used."""
        name = _name(key)
        select = f"SELECT {', '.join(self.columns)} FROM found WHERE key = ?"

        def read(file: sqlite3.Connection) -> Sequence[str | bytes] | None:
            *before, checksum, answer = file.execute(select, (name,)).fetchone() or (b"", None)
            told = [*before, answer]
            if answer is None or _sum(name, told) == checksum:
                return told if answer is not None else None
            if self.damaged_by_entry:
                raise Damaged
            return None

        return self._tried(read)

    def keep(self, answers: Iterable[tuple[JsonValue, Sequence[str | bytes]]]) -> None:
        """Write answers by their keys, as far as that goes."""
        insert = f"INSERT OR REPLACE INTO found (key, {', '.join(self.columns)}) VALUES (?{', ?' * len(self.columns)})"
        named = [(_name(key), told) for key, told in answers]
        rows = [(name, *told[:-1], _sum(name, told), told[-1]) for name, told in named]

        def write(file: sqlite3.Connection) -> None:
            with file:  # what fails is rolled back: its locks would keep all others out until the file is closed
                file.executemany(insert, rows)
                file.execute("DELETE FROM found WHERE rowid <= (SELECT max(rowid) FROM found) - ?", (self.most,))
                self.make_durable(file)

        self._tried(write)

    def close(self) -> None:
        """Close the file, if it was opened."""
        if file := self.__dict__.pop("_file", None):
            file.close()

    @abstractmethod
    def make_durable(self, file: sqlite3.Connection, /) -> None:
        """Make what was written last."""

    def put_away(self, path: Path) -> None:
        """Make room for a new file; raises OSError."""
        remove(path)

    @cached_property
    def _file(self) -> sqlite3.Connection | None:
        """The file; None if it cannot be used now."""
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

    def _tried(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what an action with the file gives, or with a new one if it is damaged; None if it cannot be used."""
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
    """Answers by key, a JSON value; made by `open_cache`. What is put is written when it is closed."""

    columns = MappingProxyType({"sum": "BLOB", "answer": "BLOB"})
    most = MAX_ENTRIES
    synchronous = "OFF"
    damage = frozenset(range(0x100)) - _WELL
    damaged_by_entry = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._new: dict[bytes, tuple[JsonValue, bytes]] = {}

    def get(self, key: JsonValue) -> JsonValue | None:
        """Return the answer, None if there is none."""
        new = self._new.get(_name(key))
        found = new[1:] if new else self.row(key)
        return json.loads(found[0]) if found else None

    def put(self, key: JsonValue, answer: JsonValue) -> None:
        """Keep an answer."""
        self._new[_name(key)] = key, _bytes(answer)

    def make_durable(self, file: sqlite3.Connection) -> None:
        """Make what was written last."""
        fault("cache.commit")
        file.commit()

    def write(self) -> None:
        """Write what was put, as far as that goes."""
        if self._new:
            self.keep((key, [answer]) for key, answer in self._new.values())


@contextmanager
def open_cache(path: Path) -> Iterator[Cache]:
    """Give the cache of a file, which is made if it is not there, and made anew if it is none."""
    cache = Cache(path)
    try:
        yield cache
        cache.write()
    finally:
        cache.close()


@cache
def code_state() -> str:
    """Return a text that is another one whenever code of ours is, be it released or only edited."""
    root = Path(__file__).parent
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in sorted(root.rglob("*.py")))
    return hashlib.sha256(repr([(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]).encode()).hexdigest()


def _name(key: JsonValue) -> bytes:
    return hashlib.sha256(_bytes(key)).digest()


def _sum(name: bytes, told: Sequence[str | bytes]) -> bytes:
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in told]
    return hashlib.sha256(name + b"\0".join(parts)).digest()


def _bytes(value: JsonValue) -> bytes:
    return _ENCODER.encode(value).encode()
