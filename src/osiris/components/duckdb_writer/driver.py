"""Writes a table of a DuckDB database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from osiris.families.duckdb.database import DUCKDB
from osiris.families.sql.writer import FileWriterConfig, Writer


@dataclass(frozen=True, slots=True)
class Config(FileWriterConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    schema: str = DUCKDB.own_schema


class Driver(Writer[Config]):
    """A writer of DuckDB tables."""

    database = DUCKDB
