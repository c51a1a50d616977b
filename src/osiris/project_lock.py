"""The lock for one run at a time per project, which the kernel releases when its holder exits.

`flock` belongs to an open file, so a killed process leaves no stale lock; the text in the file only names the holder.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from osiris.durable import LOCKED, guarded, make_folder, open_file
from osiris.errors import fail
from osiris.fault import fault
from osiris.files import take_lock
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osiris.project import Project

_POLL = 0.1
_GONE_GRACE = 15.0
"""Seconds to wait for the worker of a killed host; it normally exits long before."""


@contextmanager
def hold_project(
    project: Project, what: str, wait: float = 0.0, on_wait: Callable[[str], None] = lambda _holder: None
) -> Iterator[Callable[[str], None]]:
    """Hold the project's lock as `what` (`run of 'orders'`), and provide a function to update that text.

    While another process holds it, call `on_wait` once with its holder and wait for at most `wait` seconds, then fail
    with RUN004.
    """
    with hold_lock(project.run_lock, what, wait, on_wait) as say:
        yield say


@contextmanager
def hold_lock(
    path: Path,
    what: str,
    wait: float = 0.0,
    on_wait: Callable[[str], None] = lambda _holder: None,
    hint: str | None = None,
) -> Iterator[Callable[[str], None]]:
    """Hold the lock of a file, as `hold_project` does; `hint` is that of RUN004."""
    fd, since = _open(path), time.time()

    def say(text: str) -> None:
        content = json.dumps({"what": text, "pid": os.getpid(), "since": since}).encode()
        with suppress(OSError):  # a full disk must not prevent a run
            fault("lock.say")
            os.ftruncate(fd, 0)
            os.pwrite(fd, content, 0)

    try:
        _wait(fd, wait, on_wait, hint)
        say(what)
        yield say
    finally:
        os.close(fd)


def _wait(fd: int, wait: float, on_wait: Callable[[str], None], hint: str | None) -> None:
    deadline, first = time.monotonic() + wait, True
    while not take_lock(fd):
        left = deadline - time.monotonic()
        if left <= 0:
            waited = f" (waited {duration_text(wait)})" if wait else ""
            fail("RUN004", holder=_holder(fd), waited=waited, hint=hint)
        if first:
            on_wait(_holder(fd))
        first = False
        time.sleep(min(_POLL, left))


def is_held(path: Path) -> bool:
    """Return whether another process holds the lock of a file; False for a missing file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not take_lock(fd)
    finally:
        os.close(fd)


def wait_for_worker(project: Project, limit: float = _GONE_GRACE) -> None:
    """Wait until the worker of an earlier, killed host has exited; fails with RUN004 after `limit` seconds."""
    deadline = time.monotonic() + limit
    while is_held(project.worker_lock):
        if time.monotonic() > deadline:
            waited = f" (waited {duration_text(limit)})"
            hint = f"see who holds {project.worker_lock}"
            fail("RUN004", holder="the worker of an earlier run", waited=waited, hint=hint)
        time.sleep(0.05)


def _open(path: Path) -> int:
    make_folder(path.parent, private=True)
    with guarded(path):
        return open_file(path, LOCKED)


def _holder(fd: int) -> str:
    """Return the holder of the lock as text; the file may be half written by a holder that has just taken it."""
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
        age = max(0, round(time.time() - holder["since"]))
        return f"{holder['what']} (process {holder['pid']}, for {age} s)"
    except (ValueError, KeyError, TypeError):
        return "another run"
