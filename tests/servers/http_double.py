"""An HTTP server on loopback for doubles of services: keeps requests, and can go wrong in ways that each may have.

A double gives one function, which answers a request; everything else is here:

    server.requests                       # what arrived, the oldest first: method, path, query, headers, body, json()
    server.script.append(Answer(503))     # the answer to the next request, instead of the double's own; each once
    server.always = Answer(500, b"no")    # … to all requests
    server.faults.hang = True             # no answer, until the server ends or `hang` is False again
    server.faults.drop = True             # the connection closes without an answer
    server.faults.delay = 0.5             # seconds before an answer
    server.faults.rate = 100              # bytes of a body in a second
    server.faults.cut = 10                # the connection closes after so many bytes of a body
    server.faults.content_type = "text/html"
    server.faults.path = "/v1/auth"       # only requests whose path begins so go wrong; "" is all of them
    server.stop()                         # nobody listens any more
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    import ssl

_PIECES_PER_SECOND = 20


@dataclass(frozen=True)
class Request:
    """What arrived; names of headers are in lower case, `target` is the path and query as they were sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    time: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What is sent back; a body that is neither bytes nor text is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()

    def all_headers(self) -> dict[str, str]:
        kind = {bytes: "application/octet-stream", str: "text/plain; charset=utf-8"}
        return {"Content-Type": kind.get(type(self.body), "application/json"), **self.headers}


@dataclass
class Faults:
    """What goes wrong; may be changed while the server runs."""

    hang: bool = False
    drop: bool = False
    delay: float = 0.0
    rate: int | None = None
    cut: int | None = None
    content_type: str | None = None
    path: str = ""


class Server(ThreadingHTTPServer):
    """Serves on a free port of loopback until `stop`."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, respond: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond, self.tls = respond, tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        self.requests: list[Request] = []
        self.script: deque[Answer] = deque()
        self.always: Answer | None = None
        self.faults = Faults()
        self.bugs: list[str] = []
        self.over = threading.Event()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections, including waiting ones; may be called twice."""
        if self.over.is_set():
            return
        self.over.set()
        self.shutdown()
        self._thread.join()
        self.socket.close()
        for one in list(self._open):
            shut(one)
        self.server_close()

    def answer(self, request: Request) -> Answer:
        """Return the answer of the test, if it has one, or of the double."""
        if self.script:
            return self.script.popleft()
        return self.always or self.respond(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        shut(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record a bug of this server; a closed connection and a failed handshake are none."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.bugs.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Service", ""
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests are objects."""

    def parse_request(self) -> bool:
        """Have every method handled by the same function."""
        known = super().parse_request()
        if known:
            setattr(self, f"do_{self.command}", self._respond)
        return known

    def _respond(self) -> None:
        headers = {name.lower(): ", ".join(self.headers.get_all(name)) for name in self.headers}
        request = Request(self.command, self.path, headers, self._body())
        self.server.requests.append(request)
        faults = self.server.faults
        faults = faults if request.path.startswith(faults.path) else Faults()
        while faults.hang and not self.server.over.wait(0.01):
            pass
        if faults.drop or self.server.over.wait(faults.delay):
            self.close_connection = True
            return
        self._send(self.server.answer(request), replace(faults))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _send(self, answer: Answer, faults: Faults) -> None:
        data, headers = answer.data(), answer.all_headers()
        if faults.content_type:
            headers["Content-Type"] = faults.content_type
        has_body = answer.status >= 200 and answer.status not in (204, 304)
        if has_body:
            headers["Content-Length"] = str(len(data))
        self.send_response(answer.status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        if has_body and self.command != "HEAD":
            self._send_body(data, faults)

    def _send_body(self, data: bytes, faults: Faults) -> None:
        if faults.cut is not None:
            data, self.close_connection = data[: faults.cut], True
        if not faults.rate:
            self.wfile.write(data)
            return
        size = max(1, faults.rate // _PIECES_PER_SECOND)
        for start in range(0, len(data), size):
            self.wfile.write(data[start : start + size])
            if self.server.over.wait(size / faults.rate):
                return


def shut(one: socket.socket) -> None:
    """End a connection in both directions, for whoever waits on it; without TLS's goodbye."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)


@contextmanager
def serving(respond: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Yield a server that runs until the block ends, and fails it if the double itself failed."""
    server = Server(respond, tls)
    try:
        yield server
    finally:
        server.stop()
    assert not server.bugs, server.bugs[0]
