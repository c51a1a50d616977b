"""Connect to MySQL or MariaDB from the fields of a connection.

This module opens the socket, so that connecting can time out and be cancelled; PyMySQL then logs in over it. Nothing is
read from the environment or from files in the user's home.
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
from osiris.families.sql.watchdog import SILENCE, Watchdog, connection_string, fail_broken
from osiris.secret import Secret
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.driver import StepContext
    from osiris.model import JsonValue

    SocketAddress = str | tuple[Any, ...]

Client = Any
"""A connection of the client library, which has no type hints."""

_TICK = 100
_CHARSET = "utf8mb4"
_RESET = 0x1F
"""COM_RESET_CONNECTION."""
_PATIENCE_WITH_RESET = 1.0
_PATIENCE = 2.0
"""Timeout in seconds of everything done over a second connection."""
_BUSY = """
SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %d AND COMMAND IN ('Query', 'Execute')
    AND STATE NOT IN ('Writing to net', 'Reading from net', 'Sending to client', 'Receiving from client')"""
_NOT_LISTENING = (errno.ECONNREFUSED, errno.ENOENT)
_SCHEMES = ("mysql", "mariadb", "mysql+pymysql")
_ENCRYPTION = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_EXAMPLE = "mysql://user@host:3306/database"
_IN_URLS = frozenset((*_ENCRYPTION, "charset", "connect_timeout", "read_timeout"))
_DEFAULTS: dict[str, JsonValue] = {"host": "localhost", "port": 3306, "sslmode": "prefer"}
_LOST = frozenset((2003, 2006, 2013, 2055))


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed connection. `where` and `user` may be shown in messages; times are in seconds."""

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
    """Parse the fields of a connection; `schema` overrides their database.

    Fails with CON067 if the database or the user is missing.
    """
    parts = _DEFAULTS | _parsed(fields) | {name: value for name, value in fields.items() if value is not None}
    database = schema or fields.get("schema") or parts.get("database")
    if not database or not parts.get("user"):
        fail("CON067", missing="'user'" if database else "'database'")
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
    """Return the parts of the connection string, the password as a Secret; messages never quote the string."""
    text = connection_string(fields)
    if text is None:
        return {}
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    if url.scheme not in _SCHEMES or not url.hostname:
        fail("CON069", problem="is not a URL of MySQL", example=_EXAMPLE)
    parts = {"user": url.username, "database": url.path.strip("/"), "host": url.hostname}
    options: dict[str, JsonValue | Secret] = {name: unquote(value) for name, value in parts.items() if value}
    options |= _options(url.query) | ({"port": port} if port else {})
    return options | ({"password": Secret(unquote(url.password))} if url.password else {})


def _options(query: str) -> dict[str, str]:
    """Return the options in the query of a URL; fails with CON069 for an unknown option or an invalid number."""
    options = dict(parse_qsl(query))
    for name in ("connect_timeout", "read_timeout"):
        if not options.get(name, "1").replace(".", "", 1).isdecimal():
            fail("CON069", problem=f"has a {name} that is not a number", example=_EXAMPLE)
    if unknown := set(options) - _IN_URLS:
        fail("CON069", problem=f"has unsupported options: {', '.join(sorted(unknown))}", example=_EXAMPLE)
    return options


def connect(target: Address, ctx: StepContext, *, sends_rows: bool = False) -> tuple[Client, Watchdog]:
    """Return an open connection in autocommit mode and its watchdog, which is not running yet.

    An earlier step may have left it open. `sends_rows` enables LOAD DATA LOCAL INFILE. Fails with CON011 to CON015,
    CON017, or RUN003 if cancelled.
    """
    connection = _taken(target, ctx, sends_rows) or _connected(target, ctx, sends_rows)
    return connection, watched(connection, target, ctx)


def watched(connection: Client, target: Address, ctx: StepContext) -> Watchdog:
    """Return the watchdog of a step for a connection; it is not running yet."""
    is_busy = partial(_is_busy, connection, target)
    return Watchdog(lambda _why: _kill_query(connection, target), ctx.cancelled, target.silence, is_busy)


def keep(connection: Client, target: Address, ctx: StepContext, *, sends_rows: bool) -> bool:
    """Keep a connection for later steps, with a new session of the server; returns False if that is not possible."""
    import pymysql

    # Rows that were not read to their end are still on the way.
    if ctx.kept is None or not connection.open or connection._result is None:
        return False
    connection._read_timeout = connection._write_timeout = _PATIENCE_WITH_RESET
    try:
        connection._execute_command(_RESET, b"")
        connection._read_ok_packet()
        connection.set_character_set(_CHARSET)
        connection.autocommit(True)
    except (pymysql.MySQLError, OSError):
        return False
    connection._read_timeout = connection._write_timeout = None
    ctx.kept.put(ctx.connection, _use(target, sends_rows), connection, connection._force_close)
    return True


def _use(target: Address, sends_rows: bool) -> tuple[object, ...]:
    return target.where, target.user, sends_rows


def _taken(target: Address, ctx: StepContext, sends_rows: bool) -> Client | None:
    """Return a connection that an earlier step has left open, if the server has not closed it; else None."""
    while ctx.kept and (connection := ctx.kept.take(ctx.connection, _use(target, sends_rows))):
        poll = select.poll()
        poll.register(connection._sock, select.POLLIN)
        if not poll.poll(0):
            return connection
        connection._force_close()
    return None


def _connected(target: Address, ctx: StepContext, sends_rows: bool) -> Client:
    deadline = time.monotonic() + target.timeout
    sock = _open_socket(target, deadline, ctx.cancelled)
    options = {"database": target.database, "autocommit": True, "local_infile": sends_rows, "program_name": "osiris"}
    connection = _client(target, sock, port=target.port, **options)
    _log_in(connection, sock, target, ctx, max(deadline - time.monotonic(), 0.1))
    return connection


def _client(target: Address, sock: socket.socket, **options: object) -> Client:
    """Return a PyMySQL connection that has not logged in yet; fails with CON017."""
    import pymysql

    return pymysql.connect(
        host=target.host,
        user=target.user,
        # UTF-8, as the server hashes it: PyMySQL would encode a str as Latin-1.
        password=b"" if target.password is None else target.password.reveal().encode(),
        charset=_CHARSET,
        defer_connect=True,
        **_encryption(target, sock),
        **options,
    )


def _log_in(connection: Client, sock: socket.socket, target: Address, ctx: StepContext, seconds: float) -> None:
    import pymysql

    copy = sock.dup()  # during the TLS handshake PyMySQL's own socket cannot be shut down
    watch = Watchdog(lambda _why: _shut_down(copy), ctx.cancelled, seconds)
    try:
        with closing(copy), watch.running(), watch.waiting():
            connection.connect(sock)
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
    """Return the number and message of a client library error; 0 if it has no number."""
    number, *rest = (*error.args, "")
    return (number, str(rest[0])) if isinstance(number, int) else (0, str(number))


def _open_socket(target: Address, deadline: float, cancelled: Callable[[], bool]) -> socket.socket:
    """Return a connected socket; fails with CON011, CON015 or CON073."""
    reason = None
    for family, peer in _addresses(target):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = _connect_socket(sock, peer, deadline, cancelled)
        if number == 0:
            return sock
        sock.close()
        if number is None:
            fail("CON015", where=target.where, seconds=duration_text(target.timeout))
        reason = os.strerror(number)
    return fail("CON011", where=target.where, reason=reason) if reason else fail("CON073", where=target.where)


def _addresses(target: Address) -> list[tuple[int, SocketAddress]]:
    if target.host.startswith("/"):
        return [(socket.AF_UNIX, target.host)]
    try:
        infos = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(family, peer) for family, *_, peer in infos]


def _connect_socket(
    sock: socket.socket, peer: SocketAddress, deadline: float, cancelled: Callable[[], bool]
) -> int | None:
    """Connect; returns the errno, 0 on success, None on timeout. Fails with RUN003 if cancelled."""
    sock.setblocking(False)
    number = sock.connect_ex(peer)
    if number == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        while not poll.poll(_TICK):
            if cancelled():
                sock.close()
                fail("RUN003", signal="request")
            if time.monotonic() > deadline:
                return None
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.setblocking(True)
    return number


def _encryption(target: Address, sock: socket.socket) -> dict[str, Any]:
    """Return the TLS arguments of PyMySQL, whose default is `prefer`; fails with CON017."""
    mode = target.encryption["sslmode"]
    if mode == "disable" or sock.family == socket.AF_UNIX:
        return {"ssl_disabled": True}
    if mode == "prefer":
        return {}
    options = target.encryption
    try:
        context = ssl.create_default_context(cafile=options.get("sslrootcert"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # MySQL's self-generated certificates fail strict checks
        context.check_hostname = mode == "verify-full"
        context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
        if options.get("sslcert"):
            context.load_cert_chain(options["sslcert"], options.get("sslkey"))
    except OSError as error:
        sock.close()
        unread = isinstance(error, ssl.SSLError)
        reason = "a certificate's file cannot be read" if unread else os.strerror(error.errno or 0)
        fail("CON017", where=target.where, reason=reason)
    return {"ssl": context}


def fail_lost(watch: Watchdog | None, target: Address, reason: str) -> NoReturn:
    """Fail with why a connection was lost, with a hint if the whole server has stopped."""
    deadline = time.monotonic() + _PATIENCE
    stopped = bool(watch and watch.stopped)
    if not stopped and not any(_sends_greeting(family, peer, deadline) for family, peer in _addresses(target)):
        hint = "its log says why, a full disk for instance; once it runs, run the same command again"
        fail("CON014", where=target.where, reason="the server has stopped", hint=hint)
    fail_broken(watch, target.where, reason)


def _sends_greeting(family: int, peer: SocketAddress, deadline: float) -> bool:
    """Whether a server sends its greeting: one that is shutting down may still accept connections, but sends none."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        number = _connect_socket(sock, peer, deadline, lambda: False)
        if number != 0:
            return number not in _NOT_LISTENING
        sock.settimeout(max(deadline - time.monotonic(), 0.1))
        try:
            return bool(sock.recv(1))
        except OSError as error:
            return isinstance(error, TimeoutError)


def _kill_query(connection: Client, target: Address) -> None:
    """Kill the running query, as the server does not notice a closed connection; then shut down its socket."""
    import pymysql

    with suppress(pymysql.MySQLError, OsirisError, OSError, RuntimeError), second_connection(target) as second:
        second.query(f"KILL QUERY {connection.thread_id()}")
    if connection._sock is not None:
        with suppress(OSError), socket.socket(fileno=os.dup(connection._sock.fileno())) as copy:
            _shut_down(copy)


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _is_busy(connection: Client, target: Address) -> bool:
    """Whether the server is running a statement for a connection, and not waiting for us to receive or send rows."""
    import pymysql

    with suppress(pymysql.MySQLError, OsirisError, OSError, RuntimeError), second_connection(target) as second:
        second.query(_BUSY % connection.thread_id())
        return bool(second._result.rows)
    return False


@contextmanager
def second_connection(target: Address, seconds: float = _PATIENCE) -> Iterator[Client]:
    """Open a second connection to the same server, for statements that last at most some seconds."""
    sock = _open_socket(target, time.monotonic() + _PATIENCE, lambda: False)
    sock.settimeout(_PATIENCE)  # for the TLS handshake, to which PyMySQL's own timeouts do not apply
    second = _client(target, sock, read_timeout=seconds, write_timeout=seconds)
    second.connect(sock)
    try:
        yield second
    finally:
        second.close()
