"""A mail server for tests, written from RFC 5321 (SMTP), 3207 (STARTTLS) and 4954 (AUTH).

    def test_mailing(smtp):                                 # the fixtures: `smtp` has neither TLS nor users,
        smtp.host, smtp.port                                # `smtp_starttls` and `smtp_tls` (TLS from the start) demand
        smtp.user, smtp.password                            # TLS and a login; their certificate is signed by smtp.ca
        smtp.messages[0].sender, .recipients, .data         # the envelope, and the message without dots doubled
        smtp.messages[0].secure, .user                      # how it came
        smtp.commands                                       # all lines of clients, without logins
        smtp.unknown.add("bob@example.com")                 # this recipient gets 550
        smtp.replies["MAIL"] = "421 4.3.2 Shutting down"    # the reply to a command; also CONNECT, and END of a message
        smtp.hangs.add("DATA"), smtp.drops.add("RCPT")      # no reply; or the connection ends
        smtp.stop()                                         # nobody listens any more

A reply of 421 or 521 ends the connection. A line that ends without CRLF is refused with 521, a message with a CR or LF
alone with 550; only CRLF.CRLF ends a message, so that nothing can be smuggled. What follows STARTTLS in the same packet
is thrown away. Offered: 8BITMIME, SMTPUTF8, SIZE, AUTH PLAIN and LOGIN; not PIPELINING, CHUNKING, DSN.
"""

from __future__ import annotations

import base64
import re
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .http_double import shut
from .tls import server_context, write_authority

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "mail.osiris.test"
LONGEST_COMMAND, LONGEST_LINE, LARGEST, MOST_RECIPIENTS = 512, 1000, 1 << 20, 100
_ADDRESS = re.compile(r"(?:FROM|TO):\s?<([^<>\s]*)>((?: [A-Za-z0-9-]+(?:=[^\s=]+)?)*)", re.IGNORECASE)

_ENDING = ("421", "521")


@dataclass(frozen=True)
class Message:
    """An accepted message."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    options: str
    secure: bool
    user: str | None


@dataclass
class Smtp:
    """The service; may be changed while it runs."""

    transport: str = "none"
    user: str | None = None
    password: str | None = None
    ca: Path | None = None
    host: str = "127.0.0.1"
    messages: list[Message] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    replies: dict[str, str] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    drops: set[str] = field(default_factory=set)
    bugs: list[str] = field(default_factory=list)
    connections: int = 0
    _server: Any = None

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def stop(self) -> None:
        """End all connections, including waiting ones; may be called twice."""
        self._server.stop()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True

    def __init__(self, service: Smtp, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.service, self.context = service, context
        self.over = threading.Event()
        self.open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self.over.is_set():
            return
        self.over.set()
        self.shutdown()
        self._thread.join()
        self.socket.close()
        for one in list(self.open):
            shut(one)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            self.service.bugs.append(traceback.format_exc())


class _End(Exception):
    """The connection is over."""


class _Connection(socketserver.BaseRequestHandler):
    """One session with a client."""

    server: _Server

    def setup(self) -> None:
        self.service = self.server.service
        self.service.connections += 1
        self.server.open.add(self.request)
        self._waiting = b""
        self._secure = False
        self._forget()

    def finish(self) -> None:
        self.server.open.discard(self.request)
        shut(self.request)
        self.request.close()

    def _forget(self) -> None:
        """Forget who the client is."""
        self._greeted, self._user = False, None
        self._reset()

    def _reset(self) -> None:
        self._sender: str | None = None
        self._options, self._recipients = "", []

    def handle(self) -> None:
        try:
            if self.service.transport == "implicit":
                self._encrypt()
            self._reply("CONNECT", f"220 {NAME} ESMTP")
            while True:
                self._obey(self._line())
        except _End:
            pass

    def _encrypt(self) -> None:
        plain = self.request
        self.request = self.server.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.server.open.discard(plain)
        self.server.open.add(self.request)
        self.request.do_handshake()
        self._waiting, self._secure = b"", True

    def _receive(self) -> None:
        data = self.request.recv(1 << 16)
        if not data:
            raise _End
        self._waiting += data

    def _line(self, *, is_secret: bool = False) -> str:
        while b"\n" not in self._waiting:
            if len(self._waiting) > LARGEST:
                raise _End
            self._receive()
        raw, _, self._waiting = self._waiting.partition(b"\n")
        if not raw.endswith(b"\r") or b"\r" in raw[:-1]:
            self._send("521 5.5.2 Error: bare <CR> or <LF> received")
        line = raw[:-1].decode("utf-8", "surrogateescape")
        if not is_secret:
            login = re.match(r"AUTH \S+", line, re.IGNORECASE)
            self.service.commands.append(login[0] if login else line)
        return line

    def _send(self, reply: str) -> None:
        self.request.sendall(reply.encode() + b"\r\n")
        if reply.startswith(_ENDING):
            raise _End

    def _chosen(self, command: str, usual: str) -> str:
        """Return the reply to a command, unless there is none."""
        while command in self.service.hangs and not self.server.over.wait(0.01):
            pass
        if command in self.service.drops or self.server.over.is_set():
            raise _End
        return self.service.replies.get(command, usual)

    def _reply(self, command: str, usual: str) -> bool:
        """Reply to a command, and return whether the reply is the usual one."""
        reply = self._chosen(command, usual)
        self._send(reply)
        return reply == usual

    def _obey(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        command = command.upper()
        if len(line) > LONGEST_COMMAND - 2 and command != "AUTH":
            self._send("500 5.5.2 Line too long")
            return
        handler = _COMMANDS.get(command)
        if handler is None:
            self._send("500 5.5.2 Command not recognized")
            return
        problem = self._problem(command)
        if problem:
            self._reply(command, problem)
        else:
            handler(self, command, rest)

    def _problem(self, command: str) -> str | None:
        """Return the refusal of a command that comes at the wrong time."""
        if command not in ("MAIL", "RCPT", "DATA", "AUTH", "STARTTLS"):
            return None
        if not self._greeted:
            return "503 5.5.1 Send EHLO first"
        if command in ("STARTTLS", "AUTH"):
            return None
        if self.service.transport == "starttls" and not self._secure:
            return "530 5.7.0 Must issue a STARTTLS command first"
        if self.service.user and not self._user:
            return "530 5.7.0 Authentication required"
        missing = {"RCPT": self._sender is None, "DATA": not self._recipients}.get(command)
        return "503 5.5.1 Bad sequence of commands" if missing else None

    def _hello(self, command: str, rest: str) -> None:
        if not re.fullmatch(r"[\w.:\[\]-]+", rest.strip(), re.ASCII):
            self._reply(command, f"501 5.5.4 Syntax: {command} hostname")
            return
        self._reset()
        lines = [NAME]
        if command == "EHLO":
            lines += ["8BITMIME", "SMTPUTF8", f"SIZE {LARGEST}", "ENHANCEDSTATUSCODES"]
            lines += ["STARTTLS"] if self.service.transport == "starttls" and not self._secure else []
            lines += ["AUTH PLAIN LOGIN"] if self.service.user and self._may_log_in() else []
        text = "\r\n".join(f"250{' ' if at == len(lines) - 1 else '-'}{one}" for at, one in enumerate(lines))
        self._greeted = self._reply(command, text)

    def _may_log_in(self) -> bool:
        return self._secure or self.service.transport == "none"

    def _start_tls(self, command: str, rest: str) -> None:
        if self.service.transport != "starttls":
            self._reply(command, "502 5.5.1 STARTTLS is not offered")
        elif self._secure or rest:
            self._reply(command, "503 5.5.1 TLS is already active" if self._secure else "501 5.5.4 No parameters")
        elif self._reply(command, "220 2.0.0 Ready to start TLS"):
            self._encrypt()
            self._forget()

    def _log_in(self, command: str, rest: str) -> None:
        mechanism, _, first = rest.partition(" ")
        ways = {"PLAIN": self._plain, "LOGIN": self._login}
        if not self.service.user or mechanism.upper() not in ways:
            reply = "504 5.5.4 Mechanism not supported"
        elif not self._may_log_in():
            reply = "538 5.7.11 Encryption required for requested authentication mechanism"
        elif self._user or self._sender is not None:
            reply = "503 5.5.1 Already authenticated"
        else:
            reply = self._attempt(ways[mechanism.upper()], first)
        if not self._reply(command, reply):
            self._user = None

    def _attempt(self, way: Any, first: str) -> str:
        try:
            given = way(first)
        except ValueError:
            return "501 5.5.2 Cannot decode the response, or it was cancelled"
        if given != (self.service.user, self.service.password):
            return "535 5.7.8 Authentication credentials invalid"
        self._user = self.service.user
        return "235 2.7.0 Authentication successful"

    def _plain(self, first: str) -> tuple[str, str]:
        _, user, password = self._decoded(first, "").split("\0")
        return user, password

    def _login(self, first: str) -> tuple[str, str]:
        return self._decoded(first, "VXNlcm5hbWU6"), self._decoded("", "UGFzc3dvcmQ6")

    def _decoded(self, given: str, challenge: str) -> str:
        """Decode a response of the client, which is asked for unless it came with the command."""
        if not given:
            self._send(f"334 {challenge}")
            given = self._line(is_secret=True)
        return base64.b64decode("" if given == "=" else given, validate=True).decode()

    def _mail(self, command: str, rest: str) -> None:
        address = self._address("FROM:", rest)
        if self._sender is not None:
            self._reply(command, "503 5.5.1 Nested MAIL command")
        elif isinstance(address, str):
            self._reply(command, address)
        elif self._reply(command, "250 2.1.0 Sender OK"):
            self._sender, self._options = address[1], address[2].strip()

    def _rcpt(self, command: str, rest: str) -> None:
        address = self._address("TO:", rest)
        if isinstance(address, str):
            self._reply(command, address)
        elif not address[1]:
            self._reply(command, "501 5.1.3 Empty recipient")
        elif address[1] in self.service.unknown:
            self._reply(command, "550 5.1.1 Recipient address rejected: User unknown")
        elif len(self._recipients) >= MOST_RECIPIENTS:
            self._reply(command, "452 4.5.3 Too many recipients")
        elif self._reply(command, "250 2.1.5 Recipient OK"):
            self._recipients.append(address[1])

    def _address(self, start: str, rest: str) -> re.Match[str] | str:
        """Return the address and the parameters of a command, or its refusal."""
        found = _ADDRESS.fullmatch(rest)
        if not found or not rest.upper().startswith(start):
            return f"501 5.5.4 Syntax: {start}<address>"
        parameters = f"{self._options} {found[2]}".upper()
        if not found[1].isascii() and "SMTPUTF8" not in parameters:
            return "553 5.6.7 Address is not ASCII, and SMTPUTF8 was not asked for"
        size = re.search(r" SIZE=(\d+)", parameters)
        return "552 5.3.4 Message too big" if size and int(size[1]) > LARGEST else found

    def _data(self, command: str, rest: str) -> None:
        if not self._reply(command, "354 End data with <CRLF>.<CRLF>"):
            return
        self._waiting = b"\r\n" + self._waiting
        while b"\r\n.\r\n" not in self._waiting:
            if len(self._waiting) > 2 * LARGEST:
                self._send("521 5.3.4 Message too big")
            self._receive()
        raw, _, self._waiting = self._waiting.partition(b"\r\n.\r\n")
        data = (raw + b"\r\n").replace(b"\r\n.", b"\r\n")[2:]
        reply = self._chosen("END", _flaw(data) or "250 2.0.0 Message accepted")
        if reply.startswith("2"):
            envelope = self._sender, tuple(self._recipients), data, self._options
            self.service.messages.append(Message(*envelope, self._secure, self._user))
        self._reset()
        self._send(reply)

    def _plainly(self, command: str, rest: str) -> None:
        if command == "RSET":
            self._reset()
        self._reply(command, {"VRFY": "252 2.5.2 Cannot VRFY user"}.get(command, "250 2.0.0 OK"))

    def _quit(self, command: str, rest: str) -> None:
        self._reply(command, f"221 2.0.0 {NAME} closing connection")
        raise _End


_COMMANDS = {
    "EHLO": _Connection._hello,
    "HELO": _Connection._hello,
    "STARTTLS": _Connection._start_tls,
    "AUTH": _Connection._log_in,
    "MAIL": _Connection._mail,
    "RCPT": _Connection._rcpt,
    "DATA": _Connection._data,
    "QUIT": _Connection._quit,
} | dict.fromkeys(("RSET", "NOOP", "VRFY"), _Connection._plainly)


def _flaw(data: bytes) -> str | None:
    """Return the refusal of a message, if it is not one of RFC 5321."""
    if len(data) > LARGEST:
        return "552 5.3.4 Message too big"
    lines = data.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line for line in lines):
        return "550 5.6.0 Message has a bare <CR> or <LF>"
    return "550 5.6.0 Line too long" if max(map(len, lines)) > LONGEST_LINE - 2 else None


@contextmanager
def start_smtp(
    transport: str = "none", *, user: str | None = None, password: str | None = None, expired: bool = False
) -> Iterator[Smtp]:
    """Yield a server until the block ends; `transport` is `none`, `starttls` or `implicit`, and a user must log in."""
    with tempfile.TemporaryDirectory() as folder:
        context = None if transport == "none" else server_context(expired=expired)
        ca = write_authority(Path(folder)) if context else None
        service = Smtp(transport, user, password, ca)
        service._server = _Server(service, context)
        try:
            yield service
        finally:
            service.stop()
        assert not service.bugs, service.bugs[0]
