"""Reads a table, a view or a checked query of a PostgreSQL database, in one snapshot."""

from __future__ import annotations

from osiris.families.postgres.database import POSTGRES
from osiris.families.postgres.session import PostgresReading
from osiris.families.sql.extractor import Extractor

Config = PostgresReading


class Driver(Extractor[Config]):
    """An extractor of PostgreSQL databases."""

    database = POSTGRES
