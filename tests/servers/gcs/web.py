"""The HTTP side: connections that stay open, bodies that stream, and the faults."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from . import api
from .accounts import Caller, Refused
from .errors import Answer, Failure
from .faults import Cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .accounts import Accounts
    from .faults import Faults
    from .store import Store

_PIECE = 1 << 18
_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="https://accounts.google.com/"'),)


@dataclass
class Seen:
    """One request: its method and path, its account, and its outcome."""

    method: str
    target: str
    """Path and query as they are meant, not as they are written."""
    headers: dict[str, str]
    caller: str | None = None
    status: int | None = None
    received: int = 0
    sent: int = 0
    """Bytes of the bodies."""


class Server(ThreadingHTTPServer):
    """Serves on a free port of loopback until `stop`."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, store: Store, accounts: Accounts, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.accounts, self.faults = store, accounts, faults
        self.requests: list[Seen] = []
        self.bugs: list[str] = []
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections, including waiting ones."""
        self.shutdown()
        self._thread.join()
        self.faults.end()
        for one in list(self._sockets):
            _shut(one)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Record a bug of this server for its end; a closed connection is not one."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.bugs.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "UploadServer", ""
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing: the log of requests is an object."""

    def _respond(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): ",".join(self.headers.get_all(name)) for name in self.headers}
        target = unquote(url.path) + (f"?{unquote_plus(url.query)}" if url.query else "")
        seen = Seen(self.command, target, headers)
        self.server.requests.append(seen)
        self.server.faults.wait()
        body = self._body(seen)
        answer = self._answer(seen, url.path, url.query, body)
        try:
            for _ in body:
                pass
            if self.server.faults.take("drop_answer", seen.method, seen.target):
                raise Cut
            self._send(seen, answer)
        finally:
            answer.close()

    def _answer(self, seen: Seen, path: str, query: str, body: Iterator[bytes]) -> Answer:
        fault = self.server.faults.take("answer", seen.method, seen.target)
        if fault:
            return fault.answer()
        if (seen.method, path) == ("POST", "/token"):
            return self.server.accounts.grant(b"".join(body))
        try:
            caller = self._caller(seen)
            asked = dict(parse_qsl(query, keep_blank_values=True))
            call = api.Call(seen.method, *_names(path), asked, seen.headers, caller, body)
            return api.answer(self.server.store, call)
        except Failure as failure:
            if failure.code == "NotImplemented":
                self.server.bugs.append(f"{seen.method} {seen.target}: {failure.details}")
            return failure.answer()

    def _caller(self, seen: Seen) -> Caller:
        kind, _, token = seen.headers.get("authorization", "").partition(" ")
        if not kind:
            caller = Caller("Anonymous caller", frozenset())
        else:
            try:
                caller = self.server.accounts.caller(token if kind == "Bearer" else "")
            except Refused as refused:
                raise Failure("AuthenticationRequired", refused.description, _CHALLENGE) from None
        seen.caller = caller.email
        return caller

    def _body(self, seen: Seen) -> Iterator[bytes]:
        """Read the body in pieces, up to where it is to be cut."""
        size, faults = int(seen.headers.get("content-length", 0)), self.server.faults
        chunked = seen.headers.get("transfer-encoding", "").lower() == "chunked"
        cut = faults.take("cut_upload", seen.method, seen.target, size)
        for piece in self._chunks() if chunked else self._bytes(size):
            faults.pace(len(piece))
            if cut and seen.received + len(piece) > cut.after:
                raise Cut
            seen.received += len(piece)
            yield piece

    def _bytes(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.rfile.read(min(left, self.server.faults.piece(_PIECE)))
            if not piece:
                raise ConnectionError("the client went away")
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while left := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield from self._bytes(left)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, seen: Seen, answer: Answer) -> None:
        faults = self.server.faults
        size = 0 if seen.method == "HEAD" else answer.size
        cut = faults.take("cut_download", seen.method, seen.target, size)
        seen.status = answer.status
        self.send_response(answer.status)
        for name, value in (*answer.headers, ("X-GUploader-UploadID", secrets.token_urlsafe(40))):
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(answer.size))
        self.end_headers()
        if seen.method == "HEAD":
            return
        for piece in answer.pieces(lambda: faults.piece(_PIECE)):
            faults.pace(len(piece))
            if cut and seen.sent + len(piece) > cut.after:
                self.wfile.write(piece[: cut.after - seen.sent])
                raise Cut
            self.wfile.write(piece)
            seen.sent += len(piece)


for _verb in ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"):
    setattr(Handler, f"do_{_verb}", Handler._respond)


def _names(path: str) -> tuple[str, str]:
    """Return the names of the bucket and the object; either may be empty."""
    bucket, _, name = path.removeprefix("/").partition("/")
    try:
        return unquote(bucket, errors="strict"), unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise Failure("InvalidArgument", "The name is not UTF-8") from None


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
