"""What a remote target must be able to do; one file per target implements it, and everything else is shared.

`docs/decisions/0015-running-elsewhere.md` says how to write one.
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
"""Seconds after which a place that is to be kept is no longer waited for."""

_LOOK = 1.0
"""Seconds between two looks at whether somebody asked to stop."""


class Cut(Exception):
    """The connection was lost or refused; what runs at the other end may go on, and trying again may help."""


class Gone(Exception):
    """What was asked for is no longer there, and never will be again: a sandbox that ended, a file that is not."""


def patiently(action: Callable[[], T], seconds: float, check: Callable[[], None] = lambda: None) -> T:
    """Return what an action gives, which may never come back from a connection that is frozen; raises Cut then.

    `check` is called each second meanwhile, and may raise to stop the waiting; the action is then left to itself.
    """
    answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def act() -> None:
        try:
            answers.put((True, action()))
        except (Cut, Gone, OsirisError, ValueError) as error:  # the last: its file was closed, as nobody waits
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
    """Renew the other end each so many seconds, as nobody else does it before the worker runs."""
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
    """Return what a command says at the other end; raises Cut, also if it takes longer, or Gone."""
    return patiently(lambda: b"".join(transport.start(command).stream()), seconds)


class Running(Protocol):
    """A program that was started at the other end."""

    def send(self, data: bytes) -> None:
        """Write to its standard input; raises Cut or Gone."""
        ...

    def end_input(self) -> None:
        """Close its standard input; raises Cut or Gone."""
        ...

    def stream(self) -> Iterator[bytes]:
        """Yield what it writes to its standard output, in pieces of any size, until it ends; raises Cut or Gone.

        Called again after that, it goes on with what is written from now on: what was said meanwhile may be lost.
        """
        ...

    def signal(self) -> None:
        """Kill it; it may have ended already. Raises Cut."""
        ...


class Transport(Protocol):
    """The way to one place that is made for one run."""

    name: str
    """The target's name, as in `run.target`."""

    installs: bool
    """Whether packages that are missing there are to be installed; `open` may find that they are there."""

    def open(self, hosts: Sequence[str] | None) -> str:
        """Make the place and return the absolute path of an empty folder in it; fails with what stands in the way.

        It should end by itself some time after nobody renews it, and reach no other hosts than these (None: any).
        """
        ...

    def put(self, path: str, content: BinaryIO) -> None:
        """Write a file, whose folder is there; raises Cut or Gone."""
        ...

    def get(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file from an offset on; raises Cut or Gone."""
        ...

    def start(self, command: str) -> Running:
        """Start a command of /bin/sh with an input, without limits of its own; raises Cut or Gone."""
        ...

    def renew(self) -> None:
        """Say that the host lives; raises Cut or Gone."""
        ...

    def close(self) -> None:
        """End the place and all that runs there; never raises."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A transport that can keep a place as it is, so that `open` makes the places of later runs from it."""

    def keep(self) -> None:
        """Keep the place as it is now, with the packages that were installed there; raises Cut or Gone."""
        ...
