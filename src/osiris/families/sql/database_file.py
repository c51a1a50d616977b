"""What file databases share: the location and state of the file, waiting while it is locked, and the doctor."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from abc import abstractmethod
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Protocol, TypeVar

from osiris.errors import Location, fail
from osiris.families.doctor_report import Health, has_access, milliseconds, missing_file_health
from osiris.families.sql.database import Database, Delivery, Target
from osiris.families.sql.target_table import name_problem
from osiris.fault import fault
from osiris.files import (
    READ_WHOLE,
    content_of,
    fail_os,
    make_private,
    open_real,
    publish,
    relative,
    resolve_path,
    steady,
    sweep,
)
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.families.sql.database import Name, Source, StepConfig
    from osiris.model import JsonValue, Schema
    from osiris.replication import Cursor

T = TypeVar("T")

LONGEST_WAIT = 15.0
"""Seconds that a step waits for a database that other processes have locked."""

LONGEST_TURN = 3600.0
"""Seconds that a step waits for a database that other steps of its own run have locked."""

_DOCTORS_SHARE = 0.3
"""The part of a doctor's time that it may wait for a locked database."""

_POLL = 0.1
_NAMES = ("path", "database", "file")
_hash_lock, _create_lock = threading.Lock(), threading.Lock()
_hashed_files: dict[tuple[int, int], io.FileIO] = {}
"""Open files of databases whose content was hashed, by device and inode."""

_users: Counter[str] = Counter()
"""The number of steps of this run that use a database, by real path."""
_reading: Counter[str] = Counter()
"""The number of sessions of this run that read a database, by real path."""
_writing: Counter[str] = Counter()
"""The number of sessions of this run that write a database while no other session reads it, by real path."""
_turns = threading.Condition()
"""Held to change these three; notified when a reader or writer ends."""


def database_path(ctx: StepContext, *, writing: bool = False) -> Path:
    """Return the real path of the database file of the step's connection.

    Fails with DRV007 if it names none or several, with DRV049 or DRV059 to DRV062 if no step may use it.
    """
    values = [str(ctx.connection[name]) for name in _NAMES if ctx.connection.get(name)]
    if len(values) != 1:
        fail("DRV007", path="the connection", problem=f"it needs exactly one of {', '.join(_NAMES)}")
    path = resolve_path(ctx.root, values[0], writing=writing)
    return ctx.paths.writable(ctx.root, path, "database") if writing else ctx.paths.readable(ctx.root, path)


def label(ctx: StepContext, path: Path) -> str:
    """Return a database's name for messages."""
    return relative(ctx.root, path)


def state_of(*paths: Path) -> str | None:
    """Return a text that changes when one of the files does; missing and empty files are ignored.

    It covers the content if that is small, else size and modification time. None if a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        sizes = {path: path.stat().st_size for path in paths if os.path.lexists(path)}
        small = sum(sizes.values()) <= READ_WHOLE
        for path in (path for path, size in sizes.items() if size):
            state = _content_of(path) if small else f"{sizes[path]}:{path.stat().st_mtime_ns}"
            digest.update(f"{path.name}\0{state}\0".encode())
    except OSError:
        return None
    return digest.hexdigest()


def _content_of(path: Path) -> str:
    """Return the digest of a database's bytes.

    The file stays open: closing any descriptor of a file drops all POSIX locks of this process on it, including those
    of the database libraries.
    """
    real = Path(os.path.realpath(path))
    status = real.stat()
    with _hash_lock:
        file = _hashed_files.get((status.st_dev, status.st_ino))
        if file is None:
            file = _hashed_files[status.st_dev, status.st_ino] = io.FileIO(open_real(real, os.O_RDONLY))
        file.seek(0)
        return content_of(file)


def wait_until_free(attempt: Callable[[], T | None], ctx: StepContext, path: Path, *, own: int = 0) -> T:
    """Return what `attempt` returns, and retry it while that is None: the database is locked.

    `own` is the number of sessions that the step itself has open. Fails with DRV011 after `LONGEST_WAIT` seconds of
    locks by other processes, or `LONGEST_TURN` by other steps of this run, or as soon as the step is cancelled.
    """
    began = others_since = time.monotonic()
    while (outcome := attempt()) is None:
        now = time.monotonic()
        others_since = now if _users[os.path.realpath(path)] > own else others_since
        if now - others_since > LONGEST_WAIT or now - began > LONGEST_TURN or ctx.cancelled():
            fail("DRV011", path=label(ctx, path), seconds=duration_text(round(now - began)))
        time.sleep(_POLL)
    return outcome


@contextmanager
def _used(path: Path) -> Iterator[None]:
    """Count a session of this run during the block: other steps of the run wait longer for its locks."""
    key = os.path.realpath(path)
    with _turns:
        _users[key] += 1
    try:
        yield
    finally:
        with _turns:
            _users[key] -= 1


@contextmanager
def _read(ctx: StepContext, path: Path) -> Iterator[None]:
    """Count a session that reads a database during the block; first wait until no session of this run writes it.

    Only open sessions are counted, and a waiting writer blocks no reader: a step that already reads a database can open
    it again.
    """
    key = os.path.realpath(path)
    with _turns:
        _wait_for_turn(lambda: not _writing[key], ctx, path)
        _reading[key] += 1
    try:
        yield
    finally:
        with _turns:
            _reading[key] -= 1
            _turns.notify_all()


@contextmanager
def alone(ctx: StepContext, path: Path) -> Iterator[None]:
    """Block readers of this run during the block; first wait until no session of this run reads the database.

    A SQLite writer that waits for readers blocks new ones. A step that reads the database and opens it again would
    deadlock with it. The next writer begins once this one has committed, which can be before the end of the block.
    """
    key = os.path.realpath(path)
    with _turns:
        _wait_for_turn(lambda: not _reading[key], ctx, path)
        _writing[key] += 1
    try:
        yield
    finally:
        with _turns:
            _writing[key] -= 1
            _turns.notify_all()


def _wait_for_turn(is_free: Callable[[], bool], ctx: StepContext, path: Path) -> None:
    """Wait, with `_turns` held, for other steps of this run; fails with DRV011 as `wait_until_free`."""
    began = time.monotonic()
    while not is_free():
        waited = time.monotonic() - began
        if waited > LONGEST_TURN or ctx.cancelled():
            fail("DRV011", path=label(ctx, path), seconds=duration_text(round(waited)))
        _turns.wait(_POLL)


def check_file(path: Path, shown: str) -> None:
    """Fail with DRV001, DRV003 or DRV005 for a file that cannot be read.

    The file is not opened: closing it would drop all locks of this process on it.
    """
    try:
        path.stat()
    except OSError as error:
        fail_os(error, shown)
    if not path.is_file():
        fail("DRV005", path=shown, kind="a folder" if path.is_dir() else "of another kind")
    if not os.access(path, os.R_OK):
        fail("DRV003", path=shown, reason="permission denied")


class Client(Protocol):
    """A connection of a client library."""

    def execute(self, statement: str, values: Any = ..., /) -> Any:  # noqa: ANN401  each library has its own
        """Run a statement; returns a cursor for its rows."""
        ...

    def close(self) -> None:
        """Close it; uncommitted changes are rolled back."""
        ...


ClientT = TypeVar("ClientT", bound=Client)


@dataclass(frozen=True, slots=True)
class FileSession(Generic[ClientT]):
    """A connection to a file database, and the schema in which tables are resolved."""

    connection: ClientT
    ctx: StepContext
    path: Path
    schema: str

    @property
    def label(self) -> str:
        """The database's name for messages."""
        return label(self.ctx, self.path)

    def rows(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401  what the client takes
        """Return the rows of one of our own statements."""
        rows: list[tuple[Any, ...]] = self.connection.execute(statement, values).fetchall()
        return rows

    def run(self, statement: str, /) -> int:
        """Run one of our own statements that returns no rows; returns 0."""
        self.connection.execute(statement)
        return 0


class FileDatabase(Database[FileSession[ClientT]], Generic[ClientT]):
    """A family of file databases."""

    is_file = True
    folds_case = True
    name_problem = staticmethod(name_problem)
    own_schema: ClassVar[str] = "main"
    """The default schema of unqualified names."""
    log_suffix: ClassVar[str]
    """The suffix of the write-ahead log, which lies beside the file."""
    created_atomically: ClassVar[bool] = False
    """Whether a new database is created elsewhere and moved into place, as a partly created one cannot be opened."""

    @abstractmethod
    def open(self, ctx: StepContext, path: Path, *, writing: bool) -> ClientT | None:
        """Return a connection to a file; None if it is locked."""

    @contextmanager
    def translate_errors(self, ctx: StepContext, path: Path, query: str | None = None) -> Iterator[None]:
        """Translate errors of the client library in the block; `query` is the user's query, if one runs."""
        try:
            yield
        except MemoryError:
            fail("RUN013", step=ctx.step, limit=f"{ctx.memory / 1e6:.0f} MB")
        except self.client_errors() as error:
            self.fail_engine(error, ctx, path, query)

    @abstractmethod
    def fail_engine(self, error: Exception, ctx: StepContext, path: Path, query: str | None) -> NoReturn:
        """Fail with the diagnostic for an error of the client library."""

    @contextmanager
    def in_use(self, _session: FileSession[ClientT], _writing: bool) -> Iterator[None]:
        """Prepare a connection for its first statement, and clean up after the last."""
        yield

    def close(self, session: FileSession[ClientT], _writing: bool) -> None:
        """Close a session."""
        session.connection.close()

    @contextmanager
    def opened(
        self,
        ctx: StepContext,
        path: Path,
        schema: str | None = None,
        query: str | None = None,
        *,
        writing: bool = False,
    ) -> Iterator[FileSession[ClientT]]:
        """Open a session that reads one snapshot of a file, or may write it."""
        shown = label(ctx, path)
        if not writing:
            check_file(path, shown)
        turn = nullcontext() if writing else _read(ctx, path)
        with self.translate_errors(ctx, path, query), turn:
            with steady(path, shown):
                connection = wait_until_free(lambda: self.open(ctx, path, writing=writing), ctx, path)
            session = FileSession(connection, ctx, path, schema or self.own_schema)
            try:
                with _used(path), self.in_use(session, writing):
                    yield session
            finally:
                self.close(session, writing)

    def read_session(self, ctx: StepContext, config: StepConfig) -> AbstractContextManager[FileSession[ClientT]]:
        """Open a session that reads one snapshot of the database."""
        return self.opened(ctx, database_path(ctx), config.schema, config.query)

    def named_relations(self, session: FileSession[ClientT], config: StepConfig) -> Sequence[Name]:
        """Return the table that a step reads; nothing for a query."""
        return () if config.query is not None else ((session.schema, str(config.table)),)

    def states_of(self, session: FileSession[ClientT], name: Name) -> tuple[FileSession[ClientT], str]:
        """Return the session, and the name of a table in the states of targets."""
        return session, self._shown(*name)

    def _shown(self, schema: str, table: str) -> str:
        return table if schema == self.own_schema else f"{schema}.{table}"

    def snapshot(self, _session: FileSession[ClientT], cursor: Cursor, _source: Source, /) -> NoReturn:
        """Fail with STA008: only rows of PostgreSQL show the transaction that wrote them."""
        problem, at = "row_xids is for tables of PostgreSQL", Location(pointer="/config/cursor/late")
        hint = "use a time with late: open_transactions, or an ascending integer with late: none"
        fail("STA008", at=at, column=cursor.column, problem=problem, hint=hint)

    def state(self, ctx: StepContext) -> str | None:
        """Return a text that changes when the file or its write-ahead log does."""
        return state_of(*self.files(database_path(ctx)))

    def files(self, path: Path) -> tuple[Path, Path]:
        """Return the paths of a database's file and of its write-ahead log; either may not exist."""
        return path, path.with_name(path.name + self.log_suffix)

    def delivery(self, config: StepConfig, schema: Schema, ctx: StepContext) -> Delivery:
        """Return the delivery of a step; fails as `database_path`."""
        home = config.schema or self.own_schema
        target = Target(self._shown(home, config.table), label(ctx, database_path(ctx, writing=True)))
        return Delivery(self, config, ctx, schema, target, self.qualified(home, config.table))

    @contextmanager
    def inspect_session(self, delivery: Delivery) -> Iterator[FileSession[ClientT]]:
        """Open a session that inspects a target before rows are read."""
        with self.opened(delivery.ctx, database_path(delivery.ctx, writing=True)) as session:
            yield replace(session, schema=delivery.config.schema or self.own_schema)

    def write_session(self, delivery: Delivery) -> AbstractContextManager[FileSession[ClientT]]:
        """Open a session that is the only writer; creates the file if it does not exist."""
        path = database_path(delivery.ctx, writing=True)
        if self.created_atomically:
            sweep(path.parent)
            with _create_lock:
                if not path.exists():
                    self._create_atomically(delivery.ctx, path)
        return self.opened(delivery.ctx, path, delivery.config.schema, writing=True)

    def make_empty(self, ctx: StepContext, path: Path) -> None:
        """Create an empty database; called if `created_atomically` is true."""
        raise NotImplementedError

    def _create_atomically(self, ctx: StepContext, path: Path) -> None:
        """Create an empty database in the scratch folder, and publish it at `path`."""
        make_private(ctx.scratch)
        new_file = ctx.scratch / f"new.{self.name}"
        new_file.unlink(missing_ok=True)
        refuse = partial(_refuse_at, label(ctx, path))
        try:
            self.make_empty(ctx, new_file)
            with publish(path, new=True, refuse=refuse) as file:
                file.write(new_file.read_bytes())
                fault("database.create")
        except OSError as error:
            refuse(error, path)
        finally:
            new_file.unlink(missing_ok=True)

    def is_missing(self, delivery: Delivery) -> bool:
        """Return whether the file does not exist and may be created."""
        return bool(delivery.config.create_if_missing) and not database_path(delivery.ctx, writing=True).exists()

    def create_parent(self, delivery: Delivery) -> None:
        """Create the folder of the file; fails with DRV003, DRV004 or DRV006."""
        folder = database_path(delivery.ctx, writing=True).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail_os(error, folder)

    @abstractmethod
    def product(self, session: FileSession[ClientT]) -> str:
        """Return the name and the version of the engine."""

    def encoding(self, _session: FileSession[ClientT]) -> JsonValue:
        """Return the text encoding of the file."""
        return "UTF-8"

    def file_facts(self, _session: FileSession[ClientT]) -> Mapping[str, JsonValue]:
        """Return facts that the engine reports about a file."""
        return {}

    def lock_facts(self, _path: Path, _writable: bool) -> Mapping[str, JsonValue]:
        """Return whether another writer has the file locked, if that is known without waiting."""
        return {}

    def examine(self, ctx: StepContext, uses: Collection[str], seconds: float) -> Health:
        """Check that a file exists, is a database, and is not locked.

        Fails with DRV001, DRV003, DRV005, DRV010 or DRV011 if it cannot be used.
        """
        path = database_path(ctx)
        if not path.exists() and "write" in uses:
            return missing_file_health(path, {"file": label(ctx, path)})
        began = time.monotonic()
        until = began + seconds * _DOCTORS_SHARE
        impatient = replace(ctx, cancelled=lambda: ctx.cancelled() or time.monotonic() > until)
        with self.opened(impatient, path) as session:
            connected, query_began = milliseconds(began), time.monotonic()
            tables = len(self.relations(session))
            answered = milliseconds(query_began)
            server = {"server": self.product(session), **self.file_facts(session)}
            encoding = self.encoding(session)
        writable = has_access(path, os.W_OK) and has_access(path.parent, os.W_OK | os.X_OK)
        facts = {
            "file": label(ctx, path),
            **server,
            "exists": True,
            "writable": writable,
            **self.lock_facts(path, writable),
            "tables": tables,
            "encoding": encoding,
            "connect_ms": connected,
            "query_ms": answered,
        }
        if not writable:
            return Health("reader", facts=facts)
        return Health("writer", ["the file and its folder may be written"], facts)


def _refuse_at(shown: str, error: OSError, _path: Path | str, *, written: int = 0) -> NoReturn:
    """Fail with the diagnostic for an operating system error, under the database's name for messages."""
    fail_os(error, shown, written=written)
