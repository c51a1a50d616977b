"""The HTTP side: one address for each provider, the order of checks, and the faults on the way."""

from __future__ import annotations

import fnmatch
import gzip
import json
import math
import socket
import sys
import threading
import traceback
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .asked import Received
from .replies import Failure, Raw, Reply, placed
from .shape import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from .asked import Asked
    from .wire import Wire

_MESSAGES = {
    429: "Rate limit reached for requests.",
    500: "The server had an error while processing your request.",
    503: "The model is overloaded. Please try again later.",
    529: "Overloaded",
}
_PIECES = 100


@dataclass
class Records:
    """The state that all addresses of a server share."""

    script: Callable[[Asked], Reply]
    received: list[Received] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _reached: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self) -> int:
        """Count a request that reaches the script."""
        with self._lock:
            self._reached += 1
            return self._reached


class Address(ThreadingHTTPServer):
    """Serves one provider on a free port of loopback until `stop`, or until `refuse`."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, wire: Wire, key: str | None, records: Records) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.wire, self.key, self.records = wire, key, records
        self.url = f"http://127.0.0.1:{self.server_port}{wire.base}"
        self._open: set[socket.socket] = set()
        self._taken: socket.socket | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def refuse(self, spared: socket.socket | None = None) -> None:
        """Refuse connections and close the open ones, except for one; the port stays reserved."""
        with self._lock:
            if self._taken:
                return
            self.shutdown()
            self._thread.join()
            self.socket.close()
            self._taken = socket.socket()
            self._taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._taken.bind(("127.0.0.1", self.server_port))
        for one in self._open - {spared}:
            shut(one)

    def stop(self) -> None:
        """End all connections, including those that wait for an answer."""
        self.refuse()
        for one in list(self._open):
            shut(one)
        self.server_close()
        self._taken.close()

    def answer(self, received: Received) -> Reply:
        """Check a request as the service would, and call the script; errors are replies, too."""
        try:
            asked = self._check(received)
        except Rejected as problem:
            return _rejection(self.wire, problem)
        received.asked = replace(asked, number=self.records.number(), streamed=_is_streamed(received))
        return self.records.script(received.asked)

    def _check(self, received: Received) -> Asked:
        wire = self.wire
        if not wire.path.fullmatch(received.path):
            raise Rejected(404, f"Invalid URL ({received.method} {received.path})")
        if received.method != "POST":
            raise Rejected(405, f"Not allowed to {received.method} on {received.path}.")
        wire.check_key(received.key, self.key)
        if received.parsed is None:
            raise Rejected(400, "We could not parse the JSON body of your request.")
        asked = wire.read(received)
        if not any(fnmatch.fnmatchcase(asked.model, pattern) for pattern in wire.models):
            raise wire.unknown_model(asked.model)
        return asked

    def render(self, received: Received, reply: Reply) -> Raw:
        """Write a reply as the provider does."""
        match reply.says:
            case Raw() as raw:
                return raw
            case Failure(status, retry_after, message):
                problem = Rejected(status, message or _MESSAGES.get(status, "Something is wrong."))
                return _rejection(self.wire, problem, retry_after).says
            case says:
                asked, told = received.asked, {self.wire.id_header: f"req_{received.asked.number}"}
                body = self.wire.write(asked, placed(says, asked), reply.usage)
                if not asked.streamed:
                    return _json(200, body, told)
                events = "".join(self.wire.stream(asked, body)).encode()
                return Raw(200, {"Content-Type": "text/event-stream; charset=utf-8"} | told, events)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record failures here and in the script for the end; a closed connection is not one."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.records.bugs.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "models", ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Address

    def log_message(self, *_: object) -> None:
        """Say nothing: the log of requests is an object."""

    def _respond(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
        body, wire = self.rfile.read(int(headers.get("content-length", 0))), self.server.wire
        received = Received(wire.provider, self.command, url.path, url.query, headers, body, wire.find_key(headers))
        self.server.records.received.append(received)
        reply = self.server.answer(received)
        self._deliver(received, reply, self.server.render(received, reply))

    def _deliver(self, received: Received, reply: Reply, told: Raw) -> None:
        over = self.server.records.over
        if reply.wait and (over.wait(None if math.isinf(reply.wait) else reply.wait) or math.isinf(reply.wait)):
            self._end()
            return
        if reply.last:
            self.server.refuse(spared=self.connection)
        body, headers = told.body.ljust(reply.size), dict(told.headers)
        if reply.zipped and "gzip" in received.headers.get("accept-encoding", ""):
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        received.status = told.status
        self.send_response(told.status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        if reply.last:
            self.send_header("Connection", "close")
        self.end_headers()
        self._send(body if reply.sent is None else body[: int(len(body) * reply.sent)], reply.pause)
        if reply.sent is not None:
            self._end()

    def _send(self, body: bytes, pause: float) -> None:
        if self.command == "HEAD":
            return
        step = max(1, len(body) // _PIECES) if pause else max(1, len(body))
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if pause:
                self.wfile.flush()
                self.server.records.over.wait(pause)

    def _end(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        shut(self.connection)


for _verb in ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"):
    setattr(Handler, f"do_{_verb}", Handler._respond)


def shut(one: socket.socket) -> None:
    """End a connection."""
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _is_streamed(received: Received) -> bool:
    return "stream" in received.path or bool(received.parsed.get("stream"))


def _rejection(wire: Wire, problem: Rejected, retry_after: float | str | None = None) -> Reply:
    told = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Reply(_json(problem.status, wire.write_failure(problem, retry_after), told))


def _json(status: int, body: Any, headers: dict[str, str]) -> Raw:
    return Raw(status, {"Content-Type": "application/json"} | headers, json.dumps(body, ensure_ascii=False).encode())
