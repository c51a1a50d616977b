"""The doctor of the sqlite family: whether the file is there, is a database, and is free."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from osiris.families.doctor_report import Health, may, milliseconds, missing
from osiris.families.sql.database_file import database_path, label
from osiris.families.sql.file_doctor import impatient
from osiris.families.sqlite.session import reading, tables

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from osiris.driver import StepContext


def examine(ctx: StepContext, uses: Collection[str], seconds: float) -> Health:
    """Look at a SQLite file; fails with DRV001, DRV003, DRV005, DRV010 or DRV011 where it cannot be used."""
    path = database_path(ctx)
    if not path.exists() and "write" in uses:
        return missing(path, {"file": label(ctx, path)})
    began = time.monotonic()
    with reading(impatient(ctx, seconds), path) as connection:
        connected, asked = milliseconds(began), time.monotonic()
        known = tables(connection)
        answered = milliseconds(asked)
        ((encoding,),) = connection.execute("PRAGMA encoding").fetchall()
    writable = may(path, os.W_OK) and may(path.parent, os.W_OK | os.X_OK)
    return Health(
        grade="writer" if writable else "reader",
        reasons=["the file and its folder may be written"] if writable else [],
        facts={
            "file": label(ctx, path),
            "server": f"SQLite {sqlite3.sqlite_version}",
            "exists": True,
            "writable": writable,
            "locked": _is_locked(path) if writable else None,
            "tables": len(known),
            "encoding": encoding,
            "connect_ms": connected,
            "query_ms": answered,
        },
    )


def _is_locked(path: Path) -> bool:
    """Tell whether somebody writes just now; nothing is written here."""
    with closing(
        sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=0)
    ) as here:
        try:
            here.execute("BEGIN IMMEDIATE")
            here.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return False
