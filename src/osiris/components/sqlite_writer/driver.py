"""Writes a table of a SQLite database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from osiris.families.sql.writer import FileWriterConfig, Writer
from osiris.families.sqlite.database import SQLITE

Config = FileWriterConfig


class Driver(Writer[Config]):
    """A writer of SQLite tables."""

    database = SQLITE
