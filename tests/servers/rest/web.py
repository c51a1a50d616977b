"""The HTTP side: connections that stay open, compressed bodies, and the faults."""

from __future__ import annotations

import gzip
import socket
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .actions import Answer
from .faults import Fault, Faults, Request

if TYPE_CHECKING:
    from .service import Service

_DOING = ("cut_body", "drop_answer", "not_json")
_TOO_LONG = b"<html><head><title>414 Request-URI Too Large</title></head><body>cloudflare</body></html>"


class Server(ThreadingHTTPServer):
    """Serves on a free port of loopback until `stop`."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, service: Service, faults: Faults, max_url: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.service, self.faults, self.max_url = service, faults, max_url
        self.requests: list[Request] = []
        self.bugs: list[str] = []
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections, including those that wait for an answer."""
        self.shutdown()
        self._thread.join()
        self.faults.clear()
        for one in list(self._sockets):
            _shut(one)
        self.service.cancel()
        self.server_close()
        self.service.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record a bug of this server for its end; a closed connection is not one."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.bugs.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "postgrest/14.5", ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing: the log of requests is an object."""

    def _respond(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
        request = Request(self.command, url.path, url.query, headers, self._body())
        self.server.requests.append(request)
        if len(self.path) > self.server.max_url:
            self._send(request, Answer(414, {"Content-Type": "text/html"}, _TOO_LONG))
            return
        fault = None
        for fault in self.server.faults.hits(request):
            request.fault = fault.name
            if fault.name == "latency":
                self.server.faults.released.wait(fault.seconds)
        if fault is None or fault.name == "latency":
            self._send(request, self.server.service.answer(request))
        elif fault.name in _DOING:
            self._spoil(request, fault, self.server.service.answer(request))
        else:
            self._fail(request, fault)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _fail(self, request: Request, fault: Fault) -> None:
        """Fail without doing what was requested."""
        if fault.status:
            self._send(request, Answer(fault.status, {"Content-Type": "application/json"} | fault.headers, fault.body))
            return
        if fault.name == "hang":
            self.server.faults.released.wait()
        self._close()

    def _spoil(self, request: Request, fault: Fault, answer: Answer) -> None:
        """Do what was requested, and lose the answer or a part of it."""
        request.status = answer.status
        if fault.name == "drop_answer":
            self._close()
        elif fault.name == "not_json":
            self._send(request, Answer(answer.status, answer.headers, fault.body))
        else:
            self._send(request, answer, fault.after)

    def _send(self, request: Request, answer: Answer, after: int | None = None) -> None:
        """Send an answer, or that many bytes of it before closing the connection."""
        request.status = answer.status
        body, headers = answer.body, dict(answer.headers)
        if self.server.faults.gzip and body and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.status != 204 and request.method != "HEAD":
            self.send_header("Content-Length", str(len(body) if after is None else max(len(body), after + 1)))
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(body if after is None else body[:after])
        if after is not None:
            self.wfile.flush()
            self._close()

    def _close(self) -> None:
        self.close_connection = True
        _shut(self.connection)


for _verb in ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"):
    setattr(Handler, f"do_{_verb}", Handler._respond)


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
