"""Presents a remote worker as a child process with pipes, across broken connections.

The live stream is only a hint; the file in which the worker keeps its events is authoritative. Missing or late lines
are read from it. This process renews a lease, without which the worker exits by itself.
"""

from __future__ import annotations

import os
import queue
import re
import select
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from osiris.runner.adapter import LOST
from osiris.runner.protocol import LEASE, RENEW, LineCutter, encode
from osiris.runner.transport import Cut, Gone, patiently
from osiris.runner.worker.event_writer import EVENTS, RESULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.runner.transport import Running, Transport

SILENT = 5.0
"""Seconds without a byte, despite a heartbeat every second, after which a stream is considered broken."""

_PAUSE = 0.5
_CHUNK = 1 << 15
_NUMBERED = re.compile(rb'\{"wseq":(\d+),"event":"(\w+)"')


class RemoteProcess:
    """A running remote worker, as a `Child` for `Link`. `session` is the remote folder with its events."""

    def __init__(self, transport: Transport, running: Running, session: str) -> None:
        self.pid = 0
        self._transport, self._running, self._session = transport, running, session
        self._offset = self._last = 0
        self._over = threading.Event()
        self._killed = threading.Event()
        self._finished = False
        source, sink = os.pipe()
        self.stdin = os.fdopen(sink, "wb", buffering=0)
        self._input = os.fdopen(source, "rb", buffering=0)
        source, sink = os.pipe()
        self.stdout = os.fdopen(source, "rb", buffering=0)
        self._output = os.fdopen(sink, "wb", buffering=0)
        source, sink = os.pipe()
        self.stderr = os.fdopen(source, "rb", buffering=0)
        os.close(sink)
        for target in (self._forward, self._listen):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()

    def kill(self) -> None:
        """Kill the worker if it can be reached. Safe in a signal handler: it runs in threads."""
        self._killed.set()
        for target in (self._signal, self._end):
            threading.Thread(target=target, daemon=True).start()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the worker to end; returns 0 if its job has ended, else LOST. Raises TimeoutExpired."""
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return 0 if self._finished else LOST

    def _end(self) -> None:
        """Release anyone still waiting for the remote end, after a grace period."""
        if not self._over.wait(SILENT):
            self._over.set()
            self._output.close()

    def _signal(self) -> None:
        with suppress(Cut, Gone):
            self._running.signal()

    def _forward(self) -> None:
        """Forward the host's input, and renew the lease between two lines."""
        between_lines, renewed = True, time.monotonic()
        with self._input, suppress(Cut, Gone):
            while not (self._over.is_set() or self._killed.is_set()):
                if select.select([self._input], [], [], _PAUSE)[0]:
                    chunk = self._input.read(_CHUNK)
                    if not chunk:
                        self._running.end_input()
                        return
                    self._send(chunk, again=between_lines and chunk.startswith(b'{"control"'))
                    between_lines = chunk.endswith(b"\n")
                if between_lines and time.monotonic() - renewed > LEASE / 4:
                    renewed = time.monotonic()
                    self._renew()

    def _send(self, chunk: bytes, *, again: bool) -> None:
        """Send a chunk; control lines may be resent, but part of a job may not."""
        while True:
            try:
                return self._running.send(chunk)
            except Cut:
                if not again or self._killed.wait(_PAUSE):
                    self.kill()
                    raise

    def _renew(self) -> None:
        with suppress(Cut):
            self._running.send(encode(RENEW))
            self._transport.renew()

    def _listen(self) -> None:
        """Forward the worker's lines, each once and in order, across reconnects."""
        try:
            with suppress(BrokenPipeError, ValueError):  # closed by either side
                for line in self._lines():
                    self._output.write(line)
        finally:
            self._over.set()
            self._output.close()

    def _lines(self) -> Iterator[bytes]:
        while True:
            ended = False
            try:
                yield from self._live()
                ended = True
            except Gone:
                ended = True
            except Cut:
                self._killed.wait(_PAUSE)
            yield from self._missing_lines()
            if ended or self._finished or self._killed.is_set():
                yield from () if self._finished else self._result()
                return

    def _live(self) -> Iterator[bytes]:
        """Yield the lines of one connection; raises Cut when it breaks or is silent for too long."""
        pieces: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._running, pieces), daemon=True).start()
        cutter = LineCutter()
        while not self._killed.is_set():
            try:
                piece = pieces.get(timeout=SILENT)
            except queue.Empty:
                raise Cut("silence") from None
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                return
            for line in cutter.cut(piece):
                yield from self._in_order(line + b"\n")

    def _in_order(self, line: bytes) -> Iterator[bytes]:
        """Yield a line if it is the next one, after any missing before it; ignore duplicates and noise."""
        match = _NUMBERED.match(line)
        if match and int(match[1]) > self._last + 1:
            yield from self._missing_lines()
        if match and int(match[1]) == self._last + 1:
            self._last += 1
            self._offset += len(line)
            self._finished = match[2] == b"job_end"
            yield line

    def _missing_lines(self) -> Iterator[bytes]:
        """Yield lines of the events file not yet received; none if it cannot be reached."""
        content = b""
        with suppress(Cut, Gone):
            content = self._content(EVENTS, self._offset)
        for line in LineCutter().cut(content):
            yield from self._next_in_file(line + b"\n")

    def _next_in_file(self, line: bytes) -> Iterator[bytes]:
        match = _NUMBERED.match(line)
        if match and int(match[1]) == self._last + 1:
            yield from self._in_order(line)

    def _result(self) -> Iterator[bytes]:
        """Yield the final line if the worker wrote it: then its job has ended, however the process ended."""
        with suppress(Cut, Gone):
            content = self._content(RESULT)
            if match := _NUMBERED.match(content):
                self._finished = True
                yield content.replace(match[1], b"%d" % (self._last + 1), 1)

    def _content(self, name: str, offset: int = 0) -> bytes:
        path = f"{self._session}/{name}"
        return patiently(lambda: b"".join(self._transport.get(path, offset)), 2 * SILENT)


def _read(running: Running, pieces: queue.SimpleQueue[bytes | Exception | None]) -> None:
    """Put the pieces of one connection into the queue, then None or the exception that ended it."""
    try:
        for piece in running.stream():
            pieces.put(piece)
        pieces.put(None)
    except (Cut, Gone) as error:
        pieces.put(error)
