"""A port that forwards to a server until an event; then nothing passes, or both ends are cut off."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Fault = Literal["silent", "dead"]


@dataclass
class When:
    """The event that triggers a fault: a number of bytes to the server or from it, or texts sent to it, in order.

    With `passed`, the triggering bytes still reach the server, and only the answer is lost. Until then, data is
    forwarded in pieces of `piece` bytes if that is set, with `pause` seconds after each. With `once`, connections that
    begin after the fault are forwarded.
    """

    sent: int | None = None
    received: int | None = None
    texts: tuple[bytes, ...] = ()
    passed: bool = False
    piece: int | None = None
    pause: float = 0.0
    once: bool = False


@dataclass
class Proxy:
    """A fault in progress: `port` is where clients connect; `happened` is set once it was triggered."""

    fault: Fault
    when: When
    port: int = 0
    happened: threading.Event = field(default_factory=threading.Event)
    ends: list[socket.socket] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=lambda: {"sent": 0, "received": 0})
    _passing: bool = False
    _tail: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket, server: int) -> None:
        """Accept clients until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", server))
                is_spared = self.when.once and self.happened.is_set()
                self.ends += [client, there]
                for end in (client, there):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for pair in ((client, there, "sent"), (there, client, "received")):
                    threading.Thread(target=self._forward, args=(*pair, is_spared), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, way: str, is_spared: bool) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                if not is_spared and self._is_struck(content, way):
                    return
                size = self.when.piece or len(content)
                for at in range(0, len(content), size):
                    target.sendall(content[at : at + size])
                    time.sleep(self.when.pause)
            target.shutdown(socket.SHUT_WR)

    def _is_struck(self, content: bytes, way: str) -> bool:
        """Return whether nothing passes any more, after looking at what arrived."""
        if self._passing and way == "received":
            self._strike()
        if not self.happened.is_set() and not self._passing and self._comes_about(content, way):
            if self.when.passed:
                self._passing = True
            else:
                self._strike()
        return self.happened.is_set()

    def _comes_about(self, content: bytes, way: str) -> bool:
        with self._lock:
            self._counts[way] += len(content)
            limit = getattr(self.when, way)
            if limit is not None and self._counts[way] > limit:
                return True
            return way == "sent" and bool(self.when.texts) and self._reads(content)

    def _reads(self, content: bytes) -> bool:
        """Search for the next of the texts, which may be split over two pieces."""
        text = self._tail + content
        while self.when.texts and (at := text.find(self.when.texts[0])) >= 0:
            text = text[at + len(self.when.texts[0]) :]
            self.when.texts = self.when.texts[1:]
        self._tail = text[-100:]
        return not self.when.texts

    def _strike(self) -> None:
        self.happened.set()
        if self.fault == "dead":
            self.cut()

    def cut(self) -> None:
        """Cut off all ends; those who wait there get a reset."""
        for end in self.ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def faulty(server: int, fault: Fault, when: When) -> Iterator[Proxy]:
    """Yield a port on loopback that forwards to a server's until the fault is triggered; it closes with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(fault, when, listener.getsockname()[1])
        thread = threading.Thread(target=proxy.serve, args=(listener, server), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            proxy.cut()
            for end in proxy.ends:
                end.close()


def struck(server: int, fault: Fault, when: When, call: Callable[[int, float], Any]) -> Any:
    """Return what `call(port, silence)` returns once the fault has been triggered in it.

    `silence` is how many seconds the server may be silent: on a busy machine it may be so by itself before the fault;
    then the call is repeated with more patience.
    """
    for silence in (2.0, 10.0, 50.0):
        with faulty(server, fault, replace(when)) as proxy:
            found = call(proxy.port, silence)
        if proxy.happened.is_set():
            return found
    raise AssertionError(f"the fault was not triggered: {found}")
