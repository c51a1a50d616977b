"""Sets up the worker in an empty remote folder, and starts it."""

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
"""Selects the Python of our own templates, else the default one."""

PACKAGES = "packages"
"""Folder of installed packages."""

_FOLDERS = (bundle.CODE, bundle.PROJECT, bundle.SPOOLS, "session/artifacts", "scratch", "handover")
_ATTEMPTS = 3
_LONGEST = 600.0
"""Timeout in seconds for unpacking and for installing packages."""

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
class WaitLimit:
    """Seconds the remote end may be silent, and a `check` called every second meanwhile, which may raise to stop."""

    silence: float
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class RemotePython:
    """A remote Python: `missing` is the first missing requirement of the worker (or empty); the rest selects wheels.

    `libc` is name and version, such as `glibc 2.41`.
    """

    missing: str
    python: str
    implementation: str
    system: str
    machine: str
    libc: str
    pip: bool


class StartedWorker:
    """A worker after its handshake; output already received comes first in `stream`."""

    def __init__(self, running: Running, pieces: Iterator[bytes], rest: bytes) -> None:
        self.send, self.end_input, self.signal = running.send, running.end_input, running.signal
        self._running = running
        self._first: Iterator[bytes] | None = itertools.chain([rest], pieces)

    def stream(self) -> Iterator[bytes]:
        """Yield its output, as `Running.stream`."""
        first, self._first = self._first, None
        yield from self._running.stream() if first is None else first


def unpack(transport: Transport, place: str, archive: BinaryIO, folders: Sequence[str], wait_limit: WaitLimit) -> None:
    """Send and unpack an archive, and create folders of the project; fails with SBX015 if that is not possible."""
    put(transport, f"{place}/bundle.tar.gz", archive, wait_limit)
    created = [*_FOLDERS, *(f"{bundle.PROJECT}/{folder}" for folder in folders)]
    command = (
        f"mkdir -p -- {' '.join(map(shlex.quote, created))} && chmod 700 session"
        f" && tar -xzf bundle.tar.gz && rm bundle.tar.gz && echo {_MARK}"
    )
    if (answer := run_command(transport, place, command, wait_limit)) != _MARK:
        fail("SBX015", what="the worker's code", done="unpacked", reason=answer or "no output")


def clear_place(transport: Transport, place: str, wait_limit: WaitLimit) -> None:
    """Remove everything that `unpack` created in a place; raises Cut or Gone."""
    run_command(
        transport, place, f"rm -rf {' '.join({folder.partition('/')[0]: None for folder in _FOLDERS})}", wait_limit
    )


def run_command(transport: Transport, place: str, command: str, wait_limit: WaitLimit) -> str:
    """Run a command in a place and return its last output line; raises Cut or Gone.

    The command must not exit the shell, which prints an empty line every 2 s, so that silence means a lost connection.
    """
    alive = "while sleep 2 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do echo; done &"
    wrapped = f"cd {shlex.quote(place)} && {{ {alive} {{ {command}; }} 2>&1; exec 2>/dev/null; kill $!; }}"
    running = patiently(lambda: transport.start(wrapped), wait_limit.silence, wait_limit.check)
    output, pieces, until = b"", running.stream(), time.monotonic() + _LONGEST
    while (piece := patiently(lambda: next(pieces, None), wait_limit.silence, wait_limit.check)) is not None:
        output += piece
        if time.monotonic() > until:
            raise Cut(f"no end within {duration_text(_LONGEST)}")
    return _last_line(output)


def launch_worker(transport: Transport, place: str, wait_limit: WaitLimit) -> tuple[RemotePython, StartedWorker]:
    """Start a worker that keeps its events, and return its Python; what drivers print goes to a file.

    A worker with `missing` requirements has exited. Fails with SBX015 without a Python; raises Cut or Gone.
    """
    return _python(transport, place, f"{shlex.quote(place)}/session", wait_limit)


def probe_python(transport: Transport, place: str, wait_limit: WaitLimit) -> RemotePython:
    """Return the remote Python without starting a worker; fails as `launch_worker`."""
    return _python(transport, place, "", wait_limit)[0]


def _python(
    transport: Transport, place: str, session: str, wait_limit: WaitLimit
) -> tuple[RemotePython, StartedWorker]:
    command = (
        f"cd {shlex.quote(place)} && {PYTHON} >/dev/null || {{ echo no Python; exit; }}"
        f'; exec env -i TZ=UTC LC_ALL=C.UTF-8 HOME="$HOME" PATH="$PATH" "$python" -I -c {shlex.quote(_WORKER)}'
        f" {bundle.CODE} {PACKAGES} {session} 2>session/worker.log"
    )
    running = patiently(lambda: transport.start(command), wait_limit.silence, wait_limit.check)
    return patiently(lambda: _handshake(running), wait_limit.silence, wait_limit.check)


def _handshake(running: Running) -> tuple[RemotePython, StartedWorker]:
    output, pieces = b"", running.stream()
    while not (answer := _ANSWER.match(output)):
        piece = next(pieces, None)
        if piece is None:
            fail("SBX015", what="the worker", done="started", reason=_last_line(output) or "no output")
        output += piece
    return RemotePython(**json.loads(answer[2])), StartedWorker(running, pieces, output[answer.end() :])


def _last_line(output: bytes) -> str:
    return (output.decode("utf-8", "replace").strip().splitlines() or [""])[-1][:_LONGEST_LINE]


def put(transport: Transport, path: str, content: BinaryIO, wait_limit: WaitLimit) -> None:
    """Send a file, with retries; fails with SBX015."""
    for attempt in range(1, _ATTEMPTS + 1):
        content.seek(0)
        try:
            patiently(lambda: transport.put(path, content), math.inf, wait_limit.check)  # it may be large
        except (Cut, Gone) as error:
            if attempt == _ATTEMPTS or isinstance(error, Gone):
                fail("SBX015", what="the files of the run", done="sent", reason=str(error) or type(error).__name__)
            time.sleep(_PAUSE)
        else:
            return
