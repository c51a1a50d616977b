"""Writes a table of a SQLite database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from osiris.families.sql.writer import FileWriting, Writer
from osiris.families.sqlite.database import SQLITE


@dataclass(frozen=True, slots=True)
class Config(FileWriting):
    """The config of a step; its keys and defaults are described in spec.yaml."""


class Driver(Writer[Config]):
    """A writer of SQLite tables."""

    database = SQLITE
