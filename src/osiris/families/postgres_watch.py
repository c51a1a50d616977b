"""Watches a connection to PostgreSQL."""

from __future__ import annotations

import socket
from contextlib import suppress
from os import dup
from typing import TYPE_CHECKING, Any

from osiris.families.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from osiris.families.watch import Reason

_PATIENCE_WITH_CANCEL = 2.0


def watched(connection: psycopg.Connection[Any], cancelled: Callable[[], bool], silence: float) -> Watch:
    """Return what watches a connection; it is not running yet."""
    return Watch(lambda why: _cut(connection, why), cancelled, silence)


def _cut(connection: psycopg.Connection[Any], why: Reason) -> None:
    """Ask the server to stop, then end the connection under whoever waits for it."""
    import psycopg

    if why == "cancelled":
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_PATIENCE_WITH_CANCEL)
    with suppress(OSError, psycopg.Error), socket.socket(fileno=dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
