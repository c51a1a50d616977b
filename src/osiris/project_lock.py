"""Locks of a project: those of its runs, and a short one for the files that all its commands share.

`flock` belongs to an open file, so a killed process leaves no stale lock; the text in the file only names the holder.

A run holds one file in `.osiris/locks`, which says what it uses. Taking it, and comparing it with those of other runs,
happens under the short lock: a run gets everything that it uses, or nothing, so two runs never wait for each other.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from osiris.durable import LOCKED, guarded, make_folder, open_file
from osiris.errors import fail
from osiris.fault import fault
from osiris.files import take_lock
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

_POLL = 0.1
_SHORT_POLL = 0.01
_SHORT_WAIT = 60.0
"""Seconds to wait for the project's short lock, which is held for some milliseconds at a time."""
_GONE_GRACE = 15.0
"""Seconds to wait at least for the worker of a killed host; it normally exits long before."""


class Use(NamedTuple):
    """What a run writes, or `reads`: a table, a file or a folder, by a unique `key` and a readable `label`.

    A `partial` key stands for everything whose key begins with it.
    """

    key: str
    label: str
    partial: bool = False
    reads: bool = False

    def excludes(self, other: Use) -> bool:
        """Return whether two runs must not use these at the same time: they overlap, and one is written."""
        overlap = self.key == other.key or self._contains(other) or other._contains(self)
        return overlap and not (self.reads and other.reads)

    def _contains(self, other: Use) -> bool:
        return self.partial and other.key.startswith(self.key)


SANDBOXES = Use("sandboxes", "the sandboxes of this project")
"""Used, as something that is only read, by each run in a sandbox."""


class _Busy(NamedTuple):
    """Why a run cannot start: its holder as text, and what both use; `is_orphan`: only its worker is left."""

    holder: str
    shares: str = ""
    is_orphan: bool = False


@contextmanager
def hold_project(project: Project) -> Iterator[None]:
    """Hold the project's short lock, never while anything is asked or run; fails with RUN004 if it stays locked."""
    deadline = time.monotonic() + _SHORT_WAIT
    with _opened(project.shared_lock) as fd:
        while not take_lock(fd):
            if time.monotonic() > deadline:
                _fail_busy(_Busy("another command"), _SHORT_WAIT, None)
            time.sleep(_SHORT_POLL)
        yield


@contextmanager
def hold_lock(path: Path, what: str, hint: str | None = None) -> Iterator[None]:
    """Hold the lock of a file as `what`; fails with RUN004 and this hint if another process holds it."""
    with _opened(path) as fd:
        if not take_lock(fd):
            _fail_busy(_Busy(_holder(_note(path))), 0.0, hint)
        _say(fd, {"what": what})
        yield


@contextmanager
def hold_run(
    project: Project,
    pipeline: str,
    what: str,
    uses: Sequence[Use],
    wait: float = 0.0,
    on_wait: Callable[[str], None] = lambda _holder: None,
    grace: float = _GONE_GRACE,
) -> Iterator[bool]:
    """Hold the lock of a run of `pipeline`, as `what` (`run of 'orders'`); yields whether it waited for another run.

    While another run has this pipeline or one of its `uses`, call `on_wait` once with its holder and wait for at most
    `wait` seconds, then fail with RUN004. The worker of a killed run gets at least `grace` seconds to exit.
    """
    began, has_waited = time.monotonic(), False
    with _opened(_run_lock(project, pipeline)) as fd:
        while busy := _take_run(project, pipeline, fd, {"what": what, "uses": uses}):
            limit = max(wait, grace) if busy.is_orphan else wait
            left = began + limit - time.monotonic()
            if left <= 0:
                _fail_busy(busy, limit, f"see who holds {project.locks}" if busy.is_orphan else None)
            if not (has_waited or busy.is_orphan):
                on_wait(busy.holder + (f", which {busy.shares}" if busy.shares else ""))
                has_waited = True
            time.sleep(min(_POLL, left))
        yield has_waited


def _take_run(project: Project, pipeline: str, fd: int, note: Mapping[str, JsonValue]) -> _Busy | None:
    """Lock the open file of a run and write its note; returns the run that prevents it now, or None."""
    own = _run_lock(project, pipeline)
    with hold_project(project):
        for path in (own, *(path for path in sorted(project.locks.glob("*.lock")) if path != own)):
            if busy := _busy(path, None if path == own else note["uses"]):
                return busy
        take_lock(fd)
        _say(fd, note)
    return None


def _busy(path: Path, uses: Sequence[Use] | None) -> _Busy | None:
    """Return the run that holds a file, if one with these uses (None: any) must not run beside it."""
    with guarded(path):
        is_orphan = not is_held(path)
        if is_orphan and not is_held(path.with_suffix(".worker")):
            return None
    note = _note(path)
    holder = "the worker of an earlier run" if is_orphan else _holder(note)
    if uses is None:
        return _Busy(holder, is_orphan=is_orphan)
    shared = _shared(uses, note)
    return _Busy(holder, f"uses {shared} too", is_orphan) if shared else None


def _shared(uses: Sequence[Use], note: Mapping[str, JsonValue]) -> str | None:
    """Return what a run with these uses must not share with that of a note; None if nothing."""
    if "uses" not in note:
        return "what is not known"
    others = {use[0]: Use(*use) for use in note["uses"]}
    broad = [use for use in others.values() if use.partial]
    for use in uses:
        same = [others[use.key]] if use.key in others else []
        if any(use.excludes(other) for other in (others.values() if use.partial else (*same, *broad))):
            return f"'{use.label}'"
    return None


def is_running(project: Project, pipeline: str) -> bool:
    """Return whether a run of a pipeline, or the worker of one, is alive; the caller holds the short lock."""
    return _busy(_run_lock(project, pipeline), None) is not None


def worker_lock(project: Project, pipeline: str) -> Path:
    """Return the file that the worker of a run of a pipeline locks; a worker may outlive its host for a moment."""
    return _run_lock(project, pipeline).with_suffix(".worker")


def _run_lock(project: Project, pipeline: str) -> Path:
    return project.locks / f"{sha256(pipeline.encode()).hexdigest()[:20]}.lock"


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


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Provide a lock file, which is unlocked at the end."""
    make_folder(path.parent, private=True)
    with guarded(path):
        fd = open_file(path, LOCKED)
    try:
        yield fd
    finally:
        os.close(fd)


def _say(fd: int, note: Mapping[str, JsonValue]) -> None:
    """Write who holds a lock, and since when."""
    content = json.dumps({**note, "pid": os.getpid(), "since": time.time()}).encode()
    with suppress(OSError):  # a full disk must not prevent a run
        fault("lock.say")
        os.ftruncate(fd, 0)
        os.pwrite(fd, content, 0)


def _note(path: Path) -> dict[str, JsonValue]:
    """Return what the holder of a lock wrote; empty if that cannot be read."""
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _holder(note: Mapping[str, JsonValue]) -> str:
    try:
        age = max(0, round(time.time() - note["since"]))
        return f"{note['what']} (process {note['pid']}, for {age} s)"
    except (KeyError, TypeError):
        return "another run"


def _fail_busy(busy: _Busy, waited: float, hint: str | None) -> NoReturn:
    words = f" (waited {duration_text(waited)})" if waited else ""
    fail("RUN004", holder=busy.holder, shares=f" and {busy.shares}" if busy.shares else "", waited=words, hint=hint)
