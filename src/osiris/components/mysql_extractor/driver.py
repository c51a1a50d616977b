"""Reads a table, a view or a checked query of a MySQL or MariaDB database, in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from osiris.families.mysql.database import MYSQL
from osiris.families.sql.extractor import Extractor, ServerReaderConfig


@dataclass(frozen=True, slots=True)
class Config(ServerReaderConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    pool_size: int = 5
    pool_recycle: int = 3600
    echo: bool = False
    snapshot: str | None = None


class Driver(Extractor[Config]):
    """An extractor of MySQL databases."""

    database = MYSQL
