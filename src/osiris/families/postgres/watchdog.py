"""Watches a connection to PostgreSQL."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from dataclasses import replace
from os import dup
from typing import TYPE_CHECKING, Any

from osiris.errors import OsirisError
from osiris.families.postgres.connect import connect
from osiris.families.sql.watchdog import Watch

if TYPE_CHECKING:
    import psycopg

    from osiris.driver import StepContext
    from osiris.families.postgres.connect import Address
    from osiris.families.sql.watchdog import Reason

_PATIENCE_WITH_CANCEL = 2.0
_PATIENCE = 5.0
"""Seconds for the connection over which the server is asked, and for its answer."""

_AT_WORK = """
SELECT FROM pg_catalog.pg_stat_activity
WHERE pid = %s AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'"""


def watched(connection: psycopg.Connection[Any], target: Address, ctx: StepContext) -> Watch:
    """Return what watches a connection; it is not running yet."""

    def at_work() -> bool:
        with suppress(OsirisError, psycopg.Error):
            return _works(replace(target, timeout=_PATIENCE), ctx, connection.info.backend_pid)
        return False

    import psycopg

    return Watch(lambda why: _cut(connection, why), ctx.cancelled, target.silence, at_work)


def _works(target: Address, ctx: StepContext, backend: int) -> bool:
    """Tell whether a session of the server runs a statement, and is not waiting for us to take or send rows."""
    with connect(target, ctx) as other, closing(other):
        watch = Watch(lambda why: _cut(other, why), ctx.cancelled, _PATIENCE)
        with watch.running(), watch.waiting():
            return other.execute(_AT_WORK, (backend,)).fetchone() is not None


def _cut(connection: psycopg.Connection[Any], why: Reason) -> None:
    """Ask the server to stop, then end the connection under whoever waits for it."""
    import psycopg

    if why == "cancelled":
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_PATIENCE_WITH_CANCEL)
    with suppress(OSError, psycopg.Error), socket.socket(fileno=dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
