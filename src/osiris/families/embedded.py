"""What databases in a file have in common: where the file is, how rows wait for it, and the ledger of deliveries.

A writer takes all of its input before it opens its target for writing. So a step that reads the same file has finished
by then, nobody is kept out of the database for longer than one transaction takes, and a source that fails has touched
nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from osiris.driver import Written
from osiris.errors import Location, diagnostic, did_you_mean, fail, nearest, raise_all
from osiris.families.fitting import column_hint, uncarried
from osiris.families.places import READ_WHOLE, content_of
from osiris.fault import fault
from osiris.files import fail_os, make_private, open_real, relative, resolve_path
from osiris.table import counted, spool
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Schema
    from osiris.table import RowStream

T = TypeVar("T")

LEDGER = "_osiris_ledger"

THERE, ABSENT = "there", "absent"
"""What a writer says of its table before a run."""

_RESERVED = "_osiris_"
"""How names of our own tables begin; both engines take two names that differ in the case of ASCII letters for one."""

CREATE_LEDGER = f"""CREATE TABLE IF NOT EXISTS {LEDGER} (
    run_key TEXT NOT NULL, step TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
    "rows" BIGINT NOT NULL, digest TEXT NOT NULL, written_at TEXT NOT NULL, PRIMARY KEY (run_key, step))"""

LONGEST_WAIT = 15.0
"""Seconds that a step waits for a database that other processes use."""

LONGEST_TURN = 3600.0
"""Seconds that a step waits for the other steps of its own run."""

_POLL = 0.1
_REJECTED = "rejected"
_NAMES = ("path", "database", "file")
_looking = threading.Lock()
_looked_into: dict[tuple[int, int], io.FileIO] = {}
"""Databases that were read for their state, by device and inode."""

_in_turn: Counter[str] = Counter()
_counting = threading.Lock()


class Cursor(Protocol):
    """What both database clients give back for a statement."""

    def fetchone(self) -> tuple[JsonValue, ...] | None:
        """Return the next row."""
        ...


class Execute(Protocol):
    """Runs a statement of ours with its values, as both database clients do."""

    def __call__(self, statement: str, values: Sequence[JsonValue], /) -> Cursor:
        """Return where its rows can be fetched."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a step writes, for the ledger and for messages: its name and its database's."""

    table: str
    database: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table: its type here, if it has one, as declared, and whether a row must give a value.

    `computed`: no row can give one.
    """

    name: str
    type: str | None
    declared: str
    required: bool = False
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that wait in a file of the step's scratch folder; `rows` of them, `size` bytes in memory."""

    rows: int
    size: int
    open: Callable[[], RowStream]


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


def fail_no_table(ctx: StepContext, path: Path, table: str, known: Collection[str]) -> NoReturn:
    """Fail with DRV012, naming the nearest table."""
    fail("DRV012", table=table, path=label(ctx, path), hint=did_you_mean(table, known))


def expect_schema(ctx: StepContext, planned: Schema, found: Schema) -> None:
    """Fail with DAT011 if a source has no longer the planned columns."""
    if found == planned:
        return
    gone = [f"'{column.name}' {column.type}" for column in planned if column not in found]
    new = [f"'{column.name}' {column.type}" for column in found if column not in planned]
    problem = f"the plan has {', '.join(gone) or 'nothing'} where the source has {', '.join(new) or 'nothing'}"
    fail("DAT011", step=ctx.step, problem=problem if gone or new else "its columns changed places")


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


@contextmanager
def staged(rows: RowStream, ctx: StepContext) -> Iterator[Staged]:
    """Take all rows into a file, and remove it afterwards; fails with DRV004 or DRV006 where it cannot be written."""
    make_private(ctx.scratch)
    path = ctx.scratch / "rows.arrow"
    try:
        yield _take(rows, path)
    finally:
        path.unlink(missing_ok=True)


def _take(rows: RowStream, path: Path) -> Staged:
    count = Counter[str]()
    try:
        reopen = spool(counted(rows, lambda number: count.update(rows=number)), path)
    except OSError as error:
        if rows.raised:
            raise
        fail_os(error, path)
    return Staged(count["rows"], path.stat().st_size, reopen)


def refuse_columns(ctx: StepContext, schema: Schema, reasons: Mapping[str, str]) -> None:
    """Fail with CMP012 for each column that cannot be carried, with the reason by its name."""
    folded = Counter(column.name.lower() for column in schema)
    twins = {c.name: "SQL does not tell its name from another column's" for c in schema if folded[c.name.lower()] > 1}
    unnamed = {c.name: "its name is empty or has a control character" for c in schema if not _is_name(c.name)}
    found = {**reasons, **twins, **unnamed}
    if found:
        types = {column.name: column.type for column in schema}
        raise_all(uncarried(ctx.step, name, types[name], reason) for name, reason in found.items())


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable()


def refuse_name(table: str) -> None:
    """Fail with OML028 for a table that may not be written: one of our own, or one whose name cannot be told."""
    problem = None
    if table.lower().startswith(_RESERVED):
        problem = f"may not be '{table}': names that begin with {_RESERVED} are reserved, in whatever case"
    elif not _is_name(table):
        problem = f"may not be {table!r}: it is empty or has a control character"
    if problem:
        fail("OML028", at=Location(pointer="/config/table"), key="table", problem=problem)


def expect_all_taken(ctx: StepContext, target: Target, given: int, taken: int) -> None:
    """Fail with DRV015 if a table has taken more or fewer rows than it was given; what was written is then undone."""
    if taken != given:
        fail("DRV015", step=ctx.step, table=target.table, path=target.database, given=given, taken=taken)


def refuse_misfit(
    ctx: StepContext,
    target: Target,
    schema: Schema,
    columns: Sequence[Column],
    holds: Callable[[Column, str], bool],
) -> None:
    """Fail with DAT029 for all in which rows of a schema do not fit an existing table; `holds` compares types."""
    known = {column.name.lower(): column for column in columns}
    given = {column.name.lower() for column in schema}
    found: list[Diagnostic] = []

    def report(problem: str, hint: str | None = None) -> None:
        found.append(diagnostic("DAT029", step=ctx.step, table=target.table, problem=problem, hint=hint))

    for field in schema:
        there = known.get(field.name.lower())
        if there is None:
            report(f"it has no column '{field.name}'", column_hint(field.name, [column.name for column in columns]))
        elif there.computed:
            report(f"its column '{there.name}' is computed by the database", "leave the column out of the rows")
        elif not holds(there, field.type):
            report(f"its column '{there.name}' is {there.declared or 'of no type'}, which cannot hold {field.type}")
    for column in columns:
        if column.required and column.name.lower() not in given:
            report(f"its column '{column.name}' needs a value, and the rows have no such column")
    if found:
        raise_all(found)


def fail_view(ctx: StepContext, target: Target) -> NoReturn:
    """Fail with DAT029 for what is no table."""
    fail("DAT029", step=ctx.step, table=target.table, problem="it is a view", hint="write a table")


def fail_row(ctx: StepContext, target: Target, problem: str) -> NoReturn:
    """Fail with DAT032 for a row that a rule of the table refuses."""
    hint = "mend or leave out such rows before; nothing was written"
    fail("DAT032", step=ctx.step, table=target.table, problem=problem, hint=hint)


def fail_no_key(ctx: StepContext, target: Target, key: Sequence[str]) -> NoReturn:
    """Fail with DAT029 for a table in which nothing keeps the key of an upsert unique."""
    problem = f"it has no PRIMARY KEY or UNIQUE over {', '.join(key)}"
    fail("DAT029", step=ctx.step, table=target.table, problem=problem, hint="add one to the table, or use another mode")


def tell_new_table(ctx: StepContext, table: str, known: Iterable[str]) -> None:
    """Tell that a step makes its table, and which of those that are there is called nearly so."""
    near = nearest(table, [name for name in known if not name.lower().startswith(_RESERVED)])
    ctx.emit("new_table", {"table": table, "near": near})


def same_name(name: str, known: Collection[str]) -> str | None:
    """Return the name among `known` that SQL takes for `name`: itself, or one that is equal but for case."""
    if name in known:
        return name
    return next((each for each in known if each.lower() == name.lower()), None)


def find_delivery(execute: Execute, ctx: StepContext, target: Target) -> Written | None:
    """Return what the ledger, which must be there, says that this run has delivered; None if nothing.

    Fails with DRV014 if that was done by another plan.
    """
    row = execute(
        f'SELECT fingerprint, "rows", digest FROM {LEDGER} WHERE run_key = ? AND step = ?', (ctx.run_key, ctx.step)
    ).fetchone()
    return None if row is None else replace(delivered(ctx, target, *row), ledger=target.database)


def delivered(ctx: StepContext, target: Target, fingerprint: str, rows: int, digest: str) -> Written:
    """Return what a row of a ledger says was delivered before; fails with DRV014 if another plan has done it."""
    if fingerprint != ctx.plan:
        fail("DRV014", step=ctx.step, path=target.database, run_key=ctx.run_key)
    ctx.emit("already_delivered", {"table": target.table, "rows": rows})
    found = json.loads(digest) or {}
    return Written(int(rows), 0, rejected=found.pop(_REJECTED, 0), earlier=found)


def digest_column(ctx: StepContext, rejected: int = 0) -> str:
    """Return what the ledger keeps as the digest of a delivery: that of the rows taken, and how many were set aside."""
    return json.dumps({**(ctx.digest() or {}), _REJECTED: rejected} if rejected else ctx.digest())


def record_delivery(execute: Execute, ctx: StepContext, target: Target, rows: int) -> None:
    """Write the delivery into the ledger, last in the transaction that holds the rows; a run without a key has none.

    Fails with RUN003 if the step is cancelled by now: what is not committed is not delivered.
    """
    if ctx.cancelled():
        fail("RUN003", signal="request")
    if not ctx.run_key:
        return
    fault("ledger.record")
    execute(CREATE_LEDGER, ())
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    values = (ctx.run_key, ctx.step, ctx.plan, target.table, rows, digest_column(ctx), now)
    execute(f"INSERT INTO {LEDGER} VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def make_folder(path: Path) -> None:
    """Make the folder of a database that is to be made; fails with DRV003, DRV004 or DRV006."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail_os(error, path.parent)


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
        fail("DRV003", path=shown, reason="it may not be read")
