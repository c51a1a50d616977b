"""Reads a table, a view or a checked query of a DuckDB database, in one read-only snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from osiris.families.duckdb.database import DUCKDB
from osiris.families.sql.database import ReaderConfig
from osiris.families.sql.extractor import Extractor


@dataclass(frozen=True, slots=True)
class Config(ReaderConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    query: str | None = None
    schema: str = DUCKDB.own_schema


class Driver(Extractor[Config]):
    """An extractor of DuckDB databases."""

    database = DUCKDB
