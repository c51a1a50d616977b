"""Connect to PostgreSQL from the fields of a connection.

libpq connects asynchronously, polled from here: so connecting can time out and be cancelled, and a refusal is read with
its SQLSTATE, which libpq discards. Nothing is read from the environment or from files in the user's home.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import OsirisError, fail
from osiris.families.postgres.decode import fields_of
from osiris.families.postgres.errors import fail_server
from osiris.families.sql.watchdog import SILENCE, Watchdog, connection_string
from osiris.secret import Secret
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg
    from psycopg.pq.abc import PGconn

    from osiris.driver import StepContext
    from osiris.families.sql.watchdog import Reason
    from osiris.model import JsonValue

_TICK = 100
_PROBE = 2.0
_SENT = ("host", "port", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey", "application_name")
_IN_STRINGS = frozenset((*_SENT, "dbname", "connect_timeout", "options", "channel_binding", "sslnegotiation"))
_FIXED = {
    "client_encoding": "UTF8",
    "gssencmode": "disable",
    "passfile": os.devnull,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_PATIENCE_WITH_CANCEL = 2.0
_PATIENCE_WITH_ROLLBACK = 1000
"""Milliseconds in which the server must answer."""
_PATIENCE = 5.0
"""Timeout in seconds of the second connection over which the server's activity is queried, and of that query."""

_BUSY = """
SELECT FROM pg_catalog.pg_stat_activity
WHERE pid = %s AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'"""
_DEFAULTS: dict[str, JsonValue] = {"host": "localhost", "port": 5432, "application_name": "osiris", "sslmode": "prefer"}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed connection; `keywords` are libpq's, `where` and `user` may be shown in messages.

    Times are in seconds. `schemas`, `trusted` and `functions` are the fields `schemas`, `trusted_schemas` and
    `functions` of the connection.
    """

    where: str
    user: str
    keywords: Mapping[str, JsonValue | Secret]
    timeout: float
    silence: float
    statement: float
    schema: str
    schemas: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()


def address(fields: Mapping[str, JsonValue]) -> Address:
    """Parse the fields of a connection; fails with CON067 to CON069 if the database or the user is missing."""
    parts = _DEFAULTS | _parsed(fields) | {name: fields[name] for name in _SENT if fields.get(name) is not None}
    database = fields.get("database") or parts.get("dbname")
    if not database or not parts.get("user"):
        fail("CON067", missing="'user'" if database else "'database'")
    timeout = _seconds(parts, "connect_timeout", 10)
    parts.pop("connect_timeout", None)
    return Address(
        where=f"database '{database}' at {parts['host']}:{parts['port']}",
        user=str(parts["user"]),
        keywords={**parts, "dbname": str(database)},
        timeout=_seconds(fields, "connect_timeout", timeout),
        silence=_seconds(fields, "read_timeout", SILENCE),
        statement=_seconds(fields, "statement_timeout", 0),
        schema=str(fields.get("schema") or "public"),
        schemas=_names(fields, "schemas"),
        trusted=_names(fields, "trusted_schemas"),
        functions=_names(fields, "functions"),
    )


def _seconds(fields: Mapping[str, Any], key: str, default: float) -> float:
    return float(fields.get(key) or default)


def _names(fields: Mapping[str, JsonValue], key: str) -> tuple[str, ...]:
    names = fields.get(key)
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()


def _parsed(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue | Secret]:
    """Return the parts of the connection string, the password as a Secret; messages never quote the string."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    text = connection_string(fields)
    if text is None:
        return {}
    try:
        parts: dict[str, Any] = conninfo_to_dict(text)
    except psycopg.Error:
        parts = {"": None}
    if unknown := set(parts) - _IN_STRINGS:
        names = ", ".join(sorted(unknown - {""}))
        problem = f"has unsupported options: {names}" if names else "cannot be parsed by PostgreSQL's client library"
        fail("CON069", problem=problem, example="postgresql://user@host:5432/database")
    return {name: Secret(value) if name == "password" else value for name, value in parts.items()}


def connect(target: Address, ctx: StepContext) -> psycopg.Connection[Any]:
    """Return an open connection in autocommit mode; fails with CON011 to CON015, CON017, or RUN003 if cancelled."""
    import psycopg
    from psycopg import pq

    attempt = _start(target)
    refusal: dict[str, str] | None = {}
    deadline = time.monotonic() + target.timeout
    state: int = pq.PollingStatus.WRITING
    while attempt.status != pq.ConnStatus.BAD and state not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        if not _ready(attempt, state, deadline, ctx.cancelled):
            attempt.finish()
            fail("CON015", where=target.where, seconds=duration_text(target.timeout))
        refusal = _peek_refusal(attempt) if state == pq.PollingStatus.READING else {}
        state = attempt.connect_poll()
    if state != pq.PollingStatus.OK:
        _fail_connect(target, attempt, refusal)
    connection: psycopg.Connection[Any] = psycopg.Connection(attempt)
    connection.autocommit = True
    connection.prepare_threshold = None  # poolers that share connections do not support prepared statements
    return connection


def is_idle(connection: psycopg.Connection[Any]) -> bool:
    """Whether the connection is open, and the server has sent nothing unexpected, as it does before it closes it."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def reset(connection: psycopg.Connection[Any]) -> bool:
    """Roll back an open transaction and drop temporary tables; returns whether the connection can be used again."""
    import psycopg
    from psycopg import pq

    server, poll = connection.pgconn, select.poll()
    is_open = server.transaction_status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)
    poll.register(server.socket, select.POLLIN)
    with suppress(psycopg.Error):
        for command in (b"ROLLBACK", b"DISCARD TEMP") if is_open else (b"DISCARD TEMP",):
            server.send_query(command)
            while server.is_busy():
                if not poll.poll(_PATIENCE_WITH_ROLLBACK):
                    return False
                server.consume_input()
            while server.get_result():
                pass
    return server.transaction_status == pq.TransactionStatus.IDLE


def _start(target: Address) -> PGconn:
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    revealed: dict[str, Any] = {name: v.reveal() if isinstance(v, Secret) else v for name, v in target.keywords.items()}
    keywords: dict[str, Any] = _FIXED | revealed
    return pq.PGconn.connect_start(make_conninfo(**keywords).encode())


def _ready(attempt: PGconn, state: int, deadline: float, cancelled: Callable[[], bool]) -> bool:
    """Wait until the socket is ready for the next step; returns False on timeout."""
    from psycopg import pq

    poll = select.poll()
    poll.register(attempt.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
    while not poll.poll(_TICK):
        if cancelled():
            attempt.finish()
            fail("RUN003", signal="request")
        if time.monotonic() > deadline:
            return False
    return True


def _peek_refusal(attempt: PGconn) -> dict[str, str] | None:
    """Peek the fields of a pending unencrypted error message; empty if there is none, None if the socket is closed."""
    with closing(socket.socket(fileno=os.dup(attempt.socket))) as sock:
        try:
            content = sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return {}
        except OSError:
            return None
    if not content:
        return None
    while len(content) >= 5:
        size = 1 + int.from_bytes(content[1:5], "big")
        if content[:1] == b"E":
            return fields_of(content[5:size])
        content = content[max(size, 5) :]
    return {}


def _fail_connect(target: Address, attempt: PGconn, refusal: Mapping[str, str] | None) -> NoReturn:
    message = attempt.error_message.decode("utf-8", "replace").strip().partition("\n")[0]
    encrypted = attempt.ssl_in_use
    attempt.finish()
    if refusal is None and not _unreachable(target):
        fail("CON014", where=target.where, reason="the server closed it before the login")
    if refusal and "C" in refusal:
        fail_server(refusal["C"], refusal.get("M", ""), target.where, target.user)
    if reason := _unreachable(target):
        fail("CON011", where=target.where, reason=reason)
    if encrypted or target.keywords.get("sslmode") in (None, "disable", "allow", "prefer"):
        fail("CON012", where=target.where, user=target.user, reason=message)
    fail("CON017", where=target.where, reason=message)


def _unreachable(target: Address) -> str | None:
    """Return why the server's port cannot be reached, None if it can; fails with CON073 for an unknown host."""
    host, port = str(target.keywords["host"]), int(str(target.keywords["port"]))
    if host.startswith("/"):
        return None if os.path.exists(f"{host}/.s.PGSQL.{port}") else "there is no such socket"  # noqa: PTH110
    try:
        socket.create_connection((host, port), _PROBE).close()
    except socket.gaierror:
        fail("CON073", where=target.where)
    except TimeoutError:
        return "it does not answer"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return None


def watched(connection: psycopg.Connection[Any], target: Address, ctx: StepContext) -> Watchdog:
    """Return the watchdog of a connection; it is not running yet."""

    def is_busy() -> bool:
        """Whether the server is running a statement, and not waiting for us to receive or send rows."""
        with suppress(OsirisError, psycopg.Error), connect(replace(target, timeout=_PATIENCE), ctx) as second:
            watch = Watchdog(lambda why: _disconnect(second, why), ctx.cancelled, _PATIENCE)
            with closing(second), watch.running(), watch.waiting():
                return second.execute(_BUSY, (connection.info.backend_pid,)).fetchone() is not None
        return False

    import psycopg

    return Watchdog(lambda why: _disconnect(connection, why), ctx.cancelled, target.silence, is_busy)


def _disconnect(connection: psycopg.Connection[Any], why: Reason) -> None:
    """Cancel the running statement if the run was cancelled, then shut down the socket."""
    import psycopg

    if why == "cancelled":
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_PATIENCE_WITH_CANCEL)
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as sock:
        sock.shutdown(socket.SHUT_RDWR)
