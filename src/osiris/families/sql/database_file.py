"""What databases in a file have in common: where the file is, its state, and how steps wait for it."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from osiris.errors import did_you_mean, fail
from osiris.files import READ_WHOLE, content_of, fail_os, open_real, relative, resolve_path
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from osiris.driver import StepContext

T = TypeVar("T")


LONGEST_WAIT = 15.0
"""Seconds that a step waits for a database that other processes use."""

LONGEST_TURN = 3600.0
"""Seconds that a step waits for the other steps of its own run."""

_POLL = 0.1
_NAMES = ("path", "database", "file")
_looking = threading.Lock()
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


def fail_no_table(ctx: StepContext, path: Path, table: str, known: Collection[str]) -> NoReturn:
    """Fail with DRV012, naming the nearest table."""
    fail("DRV012", table=table, path=label(ctx, path), hint=did_you_mean(table, known))


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
