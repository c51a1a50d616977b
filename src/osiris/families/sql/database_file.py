"""What databases in a file have in common: where the file is, its state, how steps wait for it, and its doctor."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from abc import abstractmethod
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Protocol, TypeVar

from osiris.errors import fail
from osiris.families.doctor_report import Health, may, milliseconds, missing
from osiris.families.sql.database import Database, Delivery, Target
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
    from collections.abc import Callable, Collection, Iterator, Mapping
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.families.sql.database import StepConfig
    from osiris.model import JsonValue, Schema

T = TypeVar("T")

LONGEST_WAIT = 15.0
"""Seconds that a step waits for a database that other processes use."""

LONGEST_TURN = 3600.0
"""Seconds that a step waits for the other steps of its own run."""

_DOCTORS_SHARE = 0.3
"""The part of a doctor's time for waiting until others leave a database."""

_POLL = 0.1
_NAMES = ("path", "database", "file")
_looking, _making = threading.Lock(), threading.Lock()
_looked_into: dict[tuple[int, int], io.FileIO] = {}
"""Databases that were read for their state, by device and inode."""

_in_turn: Counter[str] = Counter()
_counting = threading.Lock()


def database_path(ctx: StepContext, *, writing: bool = False) -> Path:
    """Return the real path of the database file of the step's connection.

    Fails with DRV007 if it names none, or several, with DRV049 or DRV059 to DRV062 where no step may use it.
    """
    given = [str(ctx.connection[name]) for name in _NAMES if ctx.connection.get(name)]
    if len(given) != 1:
        fail("DRV007", path="the connection", problem=f"it needs exactly one of {', '.join(_NAMES)}")
    path = resolve_path(ctx.root, given[0], writing=writing)
    return ctx.paths.writable(ctx.root, path, "database") if writing else ctx.paths.readable(ctx.root, path)


def label(ctx: StepContext, path: Path) -> str:
    """Return a database's name for messages."""
    return relative(ctx.root, path)


def state_of(*paths: Path) -> str | None:
    """Return a text that stays equal as long as the files, as far as they are there and hold anything, do.

    None if one cannot be looked at. As with files of other kinds it is the content that counts, unless that is large.
    """
    digest = hashlib.sha256()
    try:
        sizes = {path: path.stat().st_size for path in paths if os.path.lexists(path)}
        small = sum(sizes.values()) <= READ_WHOLE
        for path in (path for path, size in sizes.items() if size):
            told = _content_of(path) if small else f"{sizes[path]}:{path.stat().st_mtime_ns}"
            digest.update(f"{path.name}\0{told}\0".encode())
    except OSError:
        return None
    return digest.hexdigest()


def _content_of(path: Path) -> str:
    """Return the digest of a database's bytes.

    What was opened stays open: when any descriptor of a file is closed, the system drops all locks that this process
    holds on it, which are those of the databases' own libraries.
    """
    real = Path(os.path.realpath(path))
    seen = real.stat()
    with _looking:
        file = _looked_into.get((seen.st_dev, seen.st_ino))
        if file is None:
            file = _looked_into[seen.st_dev, seen.st_ino] = io.FileIO(open_real(real, os.O_RDONLY))
        file.seek(0)
        return content_of(file)


def patiently(attempt: Callable[[], T | None], ctx: StepContext, path: Path) -> T:
    """Return what `attempt` gives; None means that the database is in use, and that it is asked again.

    Fails with DRV011 once others have used it for `LONGEST_WAIT` seconds, or steps of this run for `LONGEST_TURN`, or
    as soon as the step is cancelled.
    """
    began = others_since = time.monotonic()
    while (found := attempt()) is None:
        now = time.monotonic()
        others_since = now if _in_turn[os.path.realpath(path)] else others_since
        if now - others_since > LONGEST_WAIT or now - began > LONGEST_TURN or ctx.cancelled():
            fail("DRV011", path=label(ctx, path), seconds=duration_text(round(now - began)))
        time.sleep(_POLL)
    return found


@contextmanager
def taking_turns(path: Path) -> Iterator[None]:
    """Say that a step of this run uses a database, while the block runs: others of the run wait longer for that."""
    key = os.path.realpath(path)
    with _counting:
        _in_turn[key] += 1
    try:
        yield
    finally:
        with _counting:
            _in_turn[key] -= 1


def check_file(path: Path, shown: str) -> None:
    """Fail with DRV001, DRV003 or DRV005 for a file that cannot be opened as it is.

    It is not opened here: closing a file lets go of all locks that this process has on it.
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
        """Run a statement; returns where its rows can be fetched."""
        ...

    def close(self) -> None:
        """End it; what is not committed is undone."""
        ...


ClientT = TypeVar("ClientT", bound=Client)


@dataclass(frozen=True, slots=True)
class FileSession(Generic[ClientT]):
    """A connection to the database in a file, and the schema in which tables are looked up."""

    connection: ClientT
    ctx: StepContext
    path: Path
    schema: str

    @property
    def label(self) -> str:
        """The database's name for messages."""
        return label(self.ctx, self.path)

    def rows(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401  what the client takes
        """Return the rows of a statement of ours."""
        rows: list[tuple[Any, ...]] = self.connection.execute(statement, values).fetchall()
        return rows

    def run(self, statement: str, /) -> int:
        """Run a statement of ours that gives no rows."""
        self.connection.execute(statement)
        return 0


class FileDatabase(Database[FileSession[ClientT]], Generic[ClientT]):
    """A family of databases in files."""

    is_file = True
    folds_case = True
    reserves_names = True
    own_schema: ClassVar[str] = "main"
    """The schema of names that have none."""
    beside: ClassVar[str]
    """What is added to the file's name for the one beside it that holds what is not in it yet."""

    made_whole: ClassVar[bool] = False
    """Whether a new database is made elsewhere and appears whole, as one that is left half made can never be opened."""

    @abstractmethod
    def open(self, ctx: StepContext, path: Path, *, writing: bool) -> ClientT | None:
        """Return a connection to a file; None if others use it."""

    @contextmanager
    def translated(self, ctx: StepContext, path: Path, query: str | None = None) -> Iterator[None]:
        """Say in our words what the client library raises; `query` is the user's text, if it is one that runs."""
        try:
            yield
        except MemoryError:
            fail("RUN013", step=ctx.step, limit=f"{ctx.memory / 1e6:.0f} MB")
        except self.errors() as error:
            self.fail_engine(error, ctx, path, query)

    @abstractmethod
    def fail_engine(self, error: Exception, ctx: StepContext, path: Path, query: str | None) -> NoReturn:
        """Fail with what an error of the client library means."""

    @contextmanager
    def in_use(self, _session: FileSession[ClientT], _writing: bool) -> Iterator[None]:
        """Do what a connection needs before its first statement and after its last."""
        yield

    def close(self, session: FileSession[ClientT], _writing: bool) -> None:
        """End a session."""
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
        """Give a session that reads one snapshot of a file, or may write it, and ends afterwards."""
        shown = label(ctx, path)
        if not writing:
            check_file(path, shown)
        with self.translated(ctx, path, query):
            with steady(path, shown):
                connection = patiently(lambda: self.open(ctx, path, writing=writing), ctx, path)
            session = FileSession(connection, ctx, path, schema or self.own_schema)
            try:
                with taking_turns(path), self.in_use(session, writing):
                    yield session
            finally:
                self.close(session, writing)

    def reading(self, ctx: StepContext, config: StepConfig) -> AbstractContextManager[FileSession[ClientT]]:
        """Give a session that reads one snapshot of the database."""
        return self.opened(ctx, database_path(ctx), config.schema, config.query)

    def state(self, ctx: StepContext) -> str | None:
        """Return a text that stays equal as long as the file does, and the one beside it."""
        return state_of(*self.files(database_path(ctx)))

    def files(self, path: Path) -> tuple[Path, Path]:
        """Return the files that a database is made of, as far as they are there."""
        return path, path.with_name(path.name + self.beside)

    def delivery(self, config: StepConfig, schema: Schema, ctx: StepContext) -> Delivery:
        """Return what is to be done; fails as `database_path`."""
        home = config.schema or self.own_schema
        shown = config.table if home == self.own_schema else f"{home}.{config.table}"
        target = Target(shown, label(ctx, database_path(ctx, writing=True)))
        return Delivery(self, config, ctx, schema, target, self.qualified(home, config.table))

    def qualified(self, schema: str, table: str) -> str:
        """Return a table's full name, quoted."""
        return f"{self.quote(schema)}.{self.quote(table)}"

    @contextmanager
    def looking(self, delivery: Delivery) -> Iterator[FileSession[ClientT]]:
        """Give a session that looks at a target before rows are read."""
        with self.opened(delivery.ctx, database_path(delivery.ctx, writing=True)) as session:
            yield replace(session, schema=delivery.config.schema or self.own_schema)

    def writing(self, delivery: Delivery) -> AbstractContextManager[FileSession[ClientT]]:
        """Give a session that nobody else can write beside; the file is made if it is not there."""
        path = database_path(delivery.ctx, writing=True)
        if self.made_whole:
            sweep(path.parent)
            with _making:
                if not path.exists():
                    self._make_whole(delivery.ctx, path)
        return self.opened(delivery.ctx, path, delivery.config.schema, writing=True)

    def make_empty(self, ctx: StepContext, path: Path) -> None:
        """Make an empty database; asked for where `made_whole` is true."""
        raise NotImplementedError

    def _make_whole(self, ctx: StepContext, path: Path) -> None:
        """Make an empty database in the scratch folder, and have it appear where it belongs."""
        make_private(ctx.scratch)
        made = ctx.scratch / f"new.{self.name}"
        made.unlink(missing_ok=True)
        refuse = partial(_refuse_at, label(ctx, path))
        try:
            self.make_empty(ctx, made)
            with publish(path, new=True, refuse=refuse) as file:
                file.write(made.read_bytes())
                fault("database.create")
        except OSError as error:
            refuse(error, path)
        finally:
            made.unlink(missing_ok=True)

    def is_absent(self, delivery: Delivery) -> bool:
        """Tell whether the file is not there, and is yet to be made."""
        return bool(delivery.config.create_if_missing) and not database_path(delivery.ctx, writing=True).exists()

    def make_place(self, delivery: Delivery) -> None:
        """Make the folder of the file; fails with DRV003, DRV004 or DRV006."""
        folder = database_path(delivery.ctx, writing=True).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail_os(error, folder)

    @abstractmethod
    def product(self, session: FileSession[ClientT]) -> str:
        """Return the name and the version of the engine."""

    def encoding(self, _session: FileSession[ClientT]) -> JsonValue:
        """Return how texts are kept."""
        return "UTF-8"

    def file_facts(self, _session: FileSession[ClientT]) -> Mapping[str, JsonValue]:
        """Return what the engine says of a file."""
        return {}

    def lock_facts(self, _path: Path, _writable: bool) -> Mapping[str, JsonValue]:
        """Return whether somebody writes just now, where that can be told without waiting."""
        return {}

    def examine(self, ctx: StepContext, uses: Collection[str], seconds: float) -> Health:
        """Look at a file: whether it is there, is a database, and is free.

        Fails with DRV001, DRV003, DRV005, DRV010 or DRV011 where it cannot be used.
        """
        path = database_path(ctx)
        if not path.exists() and "write" in uses:
            return missing(path, {"file": label(ctx, path)})
        began = time.monotonic()
        until = began + seconds * _DOCTORS_SHARE
        impatient = replace(ctx, cancelled=lambda: ctx.cancelled() or time.monotonic() > until)
        with self.opened(impatient, path) as session:
            connected, asked = milliseconds(began), time.monotonic()
            tables = len(self.relations(session))
            answered = milliseconds(asked)
            server = {"server": self.product(session), **self.file_facts(session)}
            encoding = self.encoding(session)
        writable = may(path, os.W_OK) and may(path.parent, os.W_OK | os.X_OK)
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
    """Fail with what an error of the operating system means, at the database's name for messages."""
    fail_os(error, shown, written=written)
