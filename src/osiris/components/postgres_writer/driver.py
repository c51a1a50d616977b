"""Writes a table of a PostgreSQL database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from osiris.families.postgres.database import POSTGRES
from osiris.families.sql.writer import ServerWriterConfig, Writer

Config = ServerWriterConfig


class Driver(Writer[Config]):
    """A writer of PostgreSQL tables."""

    database = POSTGRES
