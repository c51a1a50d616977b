"""The interface of a remote target; one file per target implements it, and everything else is shared.

`docs/decisions/0015-running-elsewhere.md` describes how to write one.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, runtime_checkable

from osiris.errors import OsirisError
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

KEEPING = 300.0
"""Timeout in seconds for saving a place."""

_LOOK = 1.0
"""Seconds between two checks for a stop request."""


class Cut(Exception):
    """The connection was lost or refused; the remote program may still run, and a retry may succeed."""


class Gone(Exception):
    """The requested object does not exist and a retry cannot succeed: an ended sandbox, a missing file."""


def patiently(action: Callable[[], T], seconds: float, check: Callable[[], None] = lambda: None) -> T:
    """Return the answer of an action, or raise Cut after `seconds`, as a frozen connection may never return.

    `check` is called every second meanwhile and may raise to stop waiting; the action is then abandoned.
    """
    answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def act() -> None:
        try:
            answers.put((True, action()))
        except (
            Cut,
            Gone,
            OsirisError,
            ValueError,
        ) as error:  # ValueError: its file was closed after the wait was abandoned
            answers.put((False, error))

    threading.Thread(target=act, daemon=True).start()
    until = time.monotonic() + seconds
    while True:
        try:
            done, answer = answers.get(timeout=max(0.0, min(_LOOK, until - time.monotonic())))
            break
        except queue.Empty:
            check()
            if time.monotonic() >= until:
                raise Cut(f"no answer within {duration_text(seconds)}") from None
    if not done:
        raise answer
    return answer  # type: ignore[no-any-return]


@contextmanager
def renewing(transport: Transport, every: float = 15.0) -> Iterator[None]:
    """Renew the remote place every `every` seconds until the worker runs, which then renews it itself."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(every):
            with suppress(Cut, Gone):
                transport.renew()

    thread = threading.Thread(target=renew, name="renew", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def output_of(transport: Transport, command: str, seconds: float) -> bytes:
    """Return the output of a remote command; raises Gone, or Cut, also on timeout."""
    return patiently(lambda: b"".join(transport.start(command).stream()), seconds)


class Running(Protocol):
    """A program started at the remote end."""

    def send(self, data: bytes) -> None:
        """Write to its standard input; raises Cut or Gone."""
        ...

    def end_input(self) -> None:
        """Close its standard input; raises Cut or Gone."""
        ...

    def stream(self) -> Iterator[bytes]:
        """Yield what it writes to its standard output, in pieces of any size, until it ends; raises Cut or Gone.

        Called again afterwards, it yields output written from then on: earlier output may be lost.
        """
        ...

    def signal(self) -> None:
        """Kill it; it may have exited already. Raises Cut."""
        ...


class Transport(Protocol):
    """The connection to one remote place, created for one run."""

    name: str
    """The target's name, as in `run.target`."""

    installs: bool
    """Whether missing packages must be installed there; `open` may clear it if they are present."""

    def open(self, hosts: Sequence[str] | None) -> str:
        """Create the place and return the absolute path of an empty folder in it; fails with the reason otherwise.

        It should end by itself when it is no longer renewed, and reach no hosts but these (None: any).
        """
        ...

    def put(self, path: str, content: BinaryIO) -> None:
        """Write a file into an existing folder; raises Cut or Gone."""
        ...

    def get(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file from an offset on; raises Cut or Gone."""
        ...

    def start(self, command: str) -> Running:
        """Start a /bin/sh command with standard input and without a time limit; raises Cut or Gone."""
        ...

    def renew(self) -> None:
        """Extend the lifetime of the place; raises Cut or Gone."""
        ...

    def close(self) -> None:
        """Remove the place and everything that runs there; never raises."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A transport that can save a place, so that `open` creates the places of later runs from it."""

    def keep(self) -> None:
        """Save the place as it is now, with the installed packages; raises Cut or Gone."""
        ...
