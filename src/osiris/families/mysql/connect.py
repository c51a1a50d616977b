"""Connecting to MySQL or MariaDB: from the fields of a connection to one that is open, or to the reason why not.

The socket is opened here, so that it opens in time and stops when the step is cancelled; the client library then logs
in over it. Nothing comes from the environment or from files of the user's home.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from osiris.errors import OsirisError, fail
from osiris.families.mysql.errors import fail_login
from osiris.families.sql.watchdog import SILENCE, Watch, connection_string, fail_broken
from osiris.secret import Secret
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.driver import StepContext
    from osiris.model import JsonValue

    Where = str | tuple[Any, ...]

Client = Any
"""A connection of the client library, which tells no types."""

_TICK = 100
_PATIENCE = 2.0
"""Seconds for a second connection beside the one in use."""
_AT_WORK = """
SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %d AND COMMAND IN ('Query', 'Execute')
    AND STATE NOT IN ('Writing to net', 'Reading from net', 'Sending to client', 'Receiving from client')"""
_NOBODY = (errno.ECONNREFUSED, errno.ENOENT)
_SCHEMES = ("mysql", "mariadb", "mysql+pymysql")
_ENCRYPTION = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_IN_URLS = frozenset((*_ENCRYPTION, "charset", "connect_timeout", "read_timeout"))
_DEFAULTS: dict[str, JsonValue] = {"host": "localhost", "port": 3306, "sslmode": "prefer"}
_LOST = frozenset((2003, 2006, 2013, 2055))


@dataclass(frozen=True, slots=True)
class Address:
    """Where a connection leads, and how it is used; `where` and `user` may be shown. Times are in seconds."""

    where: str
    host: str
    port: int
    user: str
    database: str
    password: Secret | None
    encryption: Mapping[str, str]
    timeout: float
    silence: float
    statement: float


def address(fields: Mapping[str, JsonValue], schema: str | None = None) -> Address:
    """Return where the fields of a connection lead, `schema` being another database than theirs.

    Fails with CON016 where they do not say it.
    """
    parts = _DEFAULTS | _parsed(fields) | {name: value for name, value in fields.items() if value is not None}
    database = schema or fields.get("schema") or parts.get("database")
    if not database or not parts.get("user"):
        fail("CON016", problem="it needs 'database' and 'user'")
    password = parts.get("password")

    def seconds(name: str, default: float = 0) -> float:
        return float(parts.get(name) or default)

    return Address(
        where=f"database '{database}' at {parts['host']}:{parts['port']}",
        host=str(parts["host"]),
        port=int(parts["port"]),
        user=str(parts["user"]),
        database=str(database),
        password=password if isinstance(password, Secret) else None,
        encryption={name: str(parts[name]) for name in _ENCRYPTION if name in parts},
        timeout=seconds("connect_timeout", 10),
        silence=max(seconds("read_timeout", SILENCE), seconds("write_timeout")),
        statement=seconds("statement_timeout"),
    )


def _parsed(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue | Secret]:
    """Return the parts of a URL, the password as a secret again; its words are never repeated."""
    text = connection_string(fields)
    if text is None:
        return {}
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in _SCHEMES or not url.hostname:
        fail("CON016", problem="its connection string is no URL like mysql://user@host:port/database")
    parts = {"user": url.username, "database": url.path.strip("/"), "host": url.hostname}
    found: dict[str, JsonValue | Secret] = {name: unquote(value) for name, value in parts.items() if value}
    found |= _options(url.query) | ({"port": port} if port else {})
    return found | ({"password": Secret(unquote(url.password))} if url.password else {})


def _options(query: str) -> dict[str, str]:
    """Return the options behind a URL; fails with CON016 for one that is not known, or is no number."""
    options = dict(parse_qsl(query))
    for name in ("connect_timeout", "read_timeout"):
        if not options.get(name, "1").replace(".", "", 1).isdecimal():
            fail("CON016", problem=f"{name} of its connection string is no number")
    if unknown := set(options) - _IN_URLS:
        fail("CON016", problem=f"its connection string has {', '.join(sorted(unknown))}")
    return options


def connect(target: Address, ctx: StepContext, *, sends_rows: bool = False) -> tuple[Client, Watch]:
    """Return an open connection that commits by itself, and what will watch it; the watch is not running yet.

    `sends_rows` lets the server ask for rows that LOAD DATA reads. Fails with CON011 to CON015, CON017, or RUN003 if
    cancelled.
    """
    until = time.monotonic() + target.timeout
    line = _reached(target, until, ctx.cancelled)
    told = {"database": target.database, "autocommit": True, "local_infile": sends_rows, "program_name": "osiris"}
    connection = _client(target, line, port=target.port, **told)
    _log_in(connection, line, target, ctx, max(until - time.monotonic(), 0.1))
    at_work = partial(_at_work, connection, target)
    return connection, Watch(lambda _why: _cut(connection, target), ctx.cancelled, target.silence, at_work)


def _client(target: Address, line: socket.socket, **told: object) -> Client:
    """Return a connection of the client library that is yet to log in over a socket; fails with CON017."""
    import pymysql

    return pymysql.connect(
        host=target.host,
        user=target.user,
        # As the server hashes it: the library would take a text's bytes in Latin-1.
        password=b"" if target.password is None else target.password.reveal().encode(),
        charset="utf8mb4",
        defer_connect=True,
        **_encryption(target, line),
        **told,
    )


def _log_in(connection: Client, line: socket.socket, target: Address, ctx: StepContext, seconds: float) -> None:
    import pymysql

    same = line.dup()  # while encryption is agreed, the library's own socket has no connection that could be ended
    watch = Watch(lambda _why: _end(same), ctx.cancelled, seconds)
    try:
        with closing(same), watch.running(), watch.waiting():
            connection.connect(line)
    except pymysql.MySQLError as error:
        cause = getattr(error, "original_exception", None)
        if isinstance(cause, ssl.SSLError) and not watch.stopped:
            fail("CON017", where=target.where, reason=cause.reason or "it failed")
        number, message = numbered(error)
        if watch.stopped or number in _LOST:
            fail_lost(watch, target, "the server ended it")
        fail_login(number, message, target.where, target.user)
    except RuntimeError:
        reason = "its way to log in needs an encrypted connection: set sslmode to require"
        fail("CON012", where=target.where, user=target.user, reason=reason)


def numbered(error: BaseException) -> tuple[int, str]:
    """Return the number and text of an error of the client library; 0 where it has no number."""
    number, *rest = (*error.args, "")
    return (number, str(rest[0])) if isinstance(number, int) else (0, str(number))


def _reached(target: Address, until: float, cancelled: Callable[[], bool]) -> socket.socket:
    """Return a socket that is connected; fails with CON011 or CON015."""
    reason = "there is no host of that name"
    for family, where in _addresses(target):
        line = socket.socket(family, socket.SOCK_STREAM)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family != socket.AF_UNIX:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = _tried(line, where, until, cancelled)
        if number == 0:
            return line
        line.close()
        if number is None:
            fail("CON015", where=target.where, seconds=duration_text(target.timeout))
        reason = os.strerror(number)
    return fail("CON011", where=target.where, reason=reason)


def _addresses(target: Address) -> list[tuple[int, Where]]:
    if target.host.startswith("/"):
        return [(socket.AF_UNIX, target.host)]
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(family, where) for family, *_, where in found]


def _tried(line: socket.socket, where: Where, until: float, cancelled: Callable[[], bool]) -> int | None:
    """Connect; returns the number of the error, 0 if there is none, None once the time is over."""
    line.setblocking(False)
    number = line.connect_ex(where)
    if number == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(line, select.POLLOUT)
        while not poll.poll(_TICK):
            if cancelled():
                line.close()
                fail("RUN003", signal="request")
            if time.monotonic() > until:
                return None
        number = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    line.setblocking(True)
    return number


def _encryption(target: Address, line: socket.socket) -> dict[str, Any]:
    """Return what the client library is told of encryption; prefer is its own way. Fails with CON017."""
    mode = target.encryption["sslmode"]
    if mode == "disable" or line.family == socket.AF_UNIX:
        return {"ssl_disabled": True}
    if mode == "prefer":
        return {}
    given = target.encryption
    try:
        context = ssl.create_default_context(cafile=given.get("sslrootcert"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the certificates that MySQL makes for itself are not strict
        context.check_hostname = mode == "verify-full"
        context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
        if given.get("sslcert"):
            context.load_cert_chain(given["sslcert"], given.get("sslkey"))
    except OSError as error:
        line.close()
        unread = isinstance(error, ssl.SSLError)
        reason = "a certificate's file cannot be read" if unread else os.strerror(error.errno or 0)
        fail("CON017", where=target.where, reason=reason)
    return {"ssl": context}


def fail_lost(watch: Watch | None, target: Address, reason: str) -> NoReturn:
    """Fail with why a connection ended, and with what to look at where the server ended as a whole."""
    until = time.monotonic() + _PATIENCE
    stopped = bool(watch and watch.stopped)
    if not stopped and not any(_greets(family, where, until) for family, where in _addresses(target)):
        hint = "its log says why, a full disk for instance; once it runs, run the same command again"
        fail("CON014", where=target.where, reason="the server has stopped", hint=hint)
    fail_broken(watch, target.where, reason)


def _greets(family: int, where: Where, until: float) -> bool:
    """Tell whether somebody is there: the server speaks first, and one that is about to end has a port but no word."""
    with socket.socket(family, socket.SOCK_STREAM) as line:
        number = _tried(line, where, until, lambda: False)
        if number != 0:
            return number not in _NOBODY
        line.settimeout(max(until - time.monotonic(), 0.1))
        try:
            return bool(line.recv(1))
        except OSError as error:
            return isinstance(error, TimeoutError)


def _cut(connection: Client, target: Address) -> None:
    """Ask the server to stop, which does not look whether anybody waits; then end the connection under whoever does."""
    import pymysql

    with suppress(pymysql.MySQLError, OsirisError, OSError, RuntimeError), _beside(target) as other:
        other.query(f"KILL QUERY {connection.thread_id()}")
    if connection._sock is not None:
        with suppress(OSError), socket.socket(fileno=os.dup(connection._sock.fileno())) as same:
            _end(same)


def _end(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _at_work(connection: Client, target: Address) -> bool:
    """Tell whether the server runs a statement for a connection, and is not waiting for us to take or send rows."""
    import pymysql

    with suppress(pymysql.MySQLError, OsirisError, OSError, RuntimeError), _beside(target) as other:
        other.query(_AT_WORK % connection.thread_id())
        return bool(other._result.rows)
    return False


@contextmanager
def _beside(target: Address) -> Iterator[Client]:
    """Give another connection to the same server, for one short statement."""
    line = _reached(target, time.monotonic() + _PATIENCE, lambda: False)
    line.settimeout(_PATIENCE)  # for the encryption, of which the library's own limits know nothing
    other = _client(target, line, read_timeout=_PATIENCE, write_timeout=_PATIENCE)
    other.connect(line)
    try:
        yield other
    finally:
        other.close()
