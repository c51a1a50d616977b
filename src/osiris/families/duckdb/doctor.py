"""The doctor of the duckdb family: whether the file is there, is a database, and is free."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from osiris.families.doctor_report import Health, may, milliseconds, missing
from osiris.families.duckdb.session import DATABASE, SCHEMA, reading, relations
from osiris.families.sql.database_file import database_path, label
from osiris.families.sql.file_doctor import impatient

if TYPE_CHECKING:
    from collections.abc import Collection

    from osiris.driver import StepContext


def examine(ctx: StepContext, uses: Collection[str], seconds: float) -> Health:
    """Look at a DuckDB file; fails with DRV001, DRV003, DRV005, DRV010 or DRV011 where it cannot be used."""
    path = database_path(ctx)
    if not path.exists() and "write" in uses:
        return missing(path, {"file": label(ctx, path)})
    began = time.monotonic()
    with reading(impatient(ctx, seconds), path) as engine:
        connected, asked = milliseconds(began), time.monotonic()
        known = relations(engine, SCHEMA)
        answered = milliseconds(asked)
        version = engine.execute("SELECT version()").fetchall()[0][0]
        told = engine.execute("SELECT tags FROM duckdb_databases() WHERE database_name = ?", [DATABASE]).fetchall()
    writable = may(path, os.W_OK) and may(path.parent, os.W_OK | os.X_OK)
    return Health(
        grade="writer" if writable else "reader",
        reasons=["the file and its folder may be written"] if writable else [],
        facts={
            "file": label(ctx, path),
            "server": f"DuckDB {version.removeprefix('v')}",
            "storage_version": told[0][0].get("storage_version") if told else None,
            "exists": True,
            "writable": writable,
            "tables": len(known),
            "encoding": "UTF-8",
            "connect_ms": connected,
            "query_ms": answered,
        },
    )
