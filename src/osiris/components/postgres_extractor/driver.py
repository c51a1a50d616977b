"""Reads a table, a view or a checked query of a PostgreSQL database, in one state of it."""

from __future__ import annotations

from dataclasses import dataclass

from osiris.families.postgres.database import POSTGRES, PostgresReading
from osiris.families.sql.extractor import Extractor


@dataclass(frozen=True, slots=True)
class Config(PostgresReading):
    """The config of a step; its keys and defaults are described in spec.yaml."""


class Driver(Extractor[Config]):
    """An extractor of PostgreSQL databases."""

    database = POSTGRES
