"""Makes an empty folder at the other end of a transport into a place where the worker runs, and starts it."""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from osiris.errors import fail
from osiris.runner.remote import bundle
from osiris.runner.transport import Cut, Gone, patiently
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from osiris.runner.transport import Running, Transport

PYTHON = 'for python in /opt/osiris/bin/python python3; do command -v "$python" && break; done'
"""Chooses the Python of templates that were built for us, or the one that is there."""

PACKAGES = "packages"
"""Folder of what is installed."""

_FOLDERS = (bundle.CODE, bundle.PROJECT, bundle.SPOOLS, "session/artifacts", "scratch", "handover")
_ATTEMPTS = 3
_LONGEST = 600.0
"""Seconds for unpacking, and for installing packages."""

_PAUSE = 1.0
_MARK = "osiris-ready"
_LONGEST_LINE = 200

_WORKER = f"""import os, sys; sys.path[:0] = map(os.path.abspath, sys.argv[1:3]); del sys.argv[1:3]
missing = "Python 3.11" if sys.version_info < (3, 11) else ""
try:
    import osiris.registry, osiris.runner.worker.main, osiris.runner.worker.steps
except ImportError as error:
    missing = missing or error.name or str(error)
import importlib.util, json, platform
found = dict(
    missing=missing, python=platform.python_version(), implementation=sys.implementation.name,
    system=platform.system(), machine=platform.machine(), libc=" ".join(platform.libc_ver()),
    pip=importlib.util.find_spec("pip") is not None)
print("{_MARK}", json.dumps(found), flush=True)
missing or len(sys.argv) < 2 or osiris.runner.worker.main.main()
"""
_ANSWER = re.compile(rb"(?s)(.*)" + _MARK.encode() + rb" (.*?)\n")


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds the other end may be silent, and what is called each second meanwhile: it may raise to stop."""

    silence: float
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A Python elsewhere: what the worker would miss there (empty: nothing), and what packages must fit.

    `libc` is its name and version, as `glibc 2.41`.
    """

    missing: str
    python: str
    implementation: str
    system: str
    machine: str
    libc: str
    pip: bool


class Begun:
    """A worker of which the first words have been heard: what its connection says after them comes first."""

    def __init__(self, running: Running, pieces: Iterator[bytes], rest: bytes) -> None:
        self.send, self.end_input, self.signal = running.send, running.end_input, running.signal
        self._running = running
        self._first: Iterator[bytes] | None = itertools.chain([rest], pieces)

    def stream(self) -> Iterator[bytes]:
        """Yield what it writes, as `Running.stream`."""
        first, self._first = self._first, None
        yield from self._running.stream() if first is None else first


def unpack(transport: Transport, place: str, archive: BinaryIO, folders: Sequence[str], patience: Patience) -> None:
    """Send and unpack an archive, and make folders of the project; fails with SBX015 if it does not get there."""
    put(transport, f"{place}/bundle.tar.gz", archive, patience)
    made = [*_FOLDERS, *(f"{bundle.PROJECT}/{folder}" for folder in folders)]
    command = (
        f"mkdir -p -- {' '.join(map(shlex.quote, made))} && chmod 700 session"
        f" && tar -xzf bundle.tar.gz && rm bundle.tar.gz && echo {_MARK}"
    )
    if (said := run_there(transport, place, command, patience)) != _MARK:
        fail("SBX015", what="the worker's code", done="unpacked", reason=said or "no output")


def empty(transport: Transport, place: str, patience: Patience) -> None:
    """Remove all that `unpack` laid out in a place; raises Cut or Gone."""
    run_there(transport, place, f"rm -rf {' '.join({folder.partition('/')[0]: None for folder in _FOLDERS})}", patience)


def run_there(transport: Transport, place: str, command: str, patience: Patience) -> str:
    """Run a command in a place, and return the last line that it says; raises Cut or Gone.

    It must not leave the shell. Meanwhile the shell says an empty line every 2 s, so that silence means no connection.
    """
    alive = "while sleep 2 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do echo; done &"
    whole = f"cd {shlex.quote(place)} && {{ {alive} {{ {command}; }} 2>&1; exec 2>/dev/null; kill $!; }}"
    running = patiently(lambda: transport.start(whole), patience.silence, patience.check)
    told, pieces, until = b"", running.stream(), time.monotonic() + _LONGEST
    while (piece := patiently(lambda: next(pieces, None), patience.silence, patience.check)) is not None:
        told += piece
        if time.monotonic() > until:
            raise Cut(f"no end within {duration_text(_LONGEST)}")
    return _last_line(told)


def begin(transport: Transport, place: str, patience: Patience) -> tuple[Found, Begun]:
    """Start the worker, which keeps its events, and return what it found; what drivers print goes to a file.

    One that would miss something has ended. Fails with SBX015 if there is no Python, raises Cut or Gone.
    """
    return _python(transport, place, f"{shlex.quote(place)}/session", patience)


def look(transport: Transport, place: str, patience: Patience) -> Found:
    """Return what a worker would find there, and start none; fails as `begin`."""
    return _python(transport, place, "", patience)[0]


def _python(transport: Transport, place: str, session: str, patience: Patience) -> tuple[Found, Begun]:
    command = (
        f"cd {shlex.quote(place)} && {PYTHON} >/dev/null || {{ echo no Python; exit; }}"
        f'; exec env -i TZ=UTC LC_ALL=C.UTF-8 HOME="$HOME" PATH="$PATH" "$python" -I -c {shlex.quote(_WORKER)}'
        f" {bundle.CODE} {PACKAGES} {session} 2>session/worker.log"
    )
    running = patiently(lambda: transport.start(command), patience.silence, patience.check)
    return patiently(lambda: _first_words(running), patience.silence, patience.check)


def _first_words(running: Running) -> tuple[Found, Begun]:
    told, pieces = b"", running.stream()
    while not (answer := _ANSWER.match(told)):
        piece = next(pieces, None)
        if piece is None:
            fail("SBX015", what="the worker", done="started", reason=_last_line(told) or "no output")
        told += piece
    return Found(**json.loads(answer[2])), Begun(running, pieces, told[answer.end() :])


def _last_line(told: bytes) -> str:
    return (told.decode("utf-8", "replace").strip().splitlines() or [""])[-1][:_LONGEST_LINE]


def put(transport: Transport, path: str, content: BinaryIO, patience: Patience) -> None:
    """Send a file, also over a connection that breaks a few times; fails with SBX015."""
    for attempt in range(1, _ATTEMPTS + 1):
        content.seek(0)
        try:
            patiently(lambda: transport.put(path, content), math.inf, patience.check)  # it may be large
        except (Cut, Gone) as error:
            if attempt == _ATTEMPTS or isinstance(error, Gone):
                fail("SBX015", what="the files of the run", done="sent", reason=str(error) or type(error).__name__)
            time.sleep(_PAUSE)
        else:
            return
