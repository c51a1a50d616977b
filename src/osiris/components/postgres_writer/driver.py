"""Writes a table of a PostgreSQL database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from osiris.families.postgres.database import POSTGRES
from osiris.families.sql.writer import ServerWriting, Writer


@dataclass(frozen=True, slots=True)
class Config(ServerWriting):
    """The config of a step; its keys and defaults are described in spec.yaml."""


class Driver(Writer[Config]):
    """A writer of PostgreSQL tables."""

    database = POSTGRES
