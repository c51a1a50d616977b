"""Writes a table of a MySQL or MariaDB database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from osiris.families.mysql.database import MYSQL
from osiris.families.sql.writer import ServerWriterConfig, Writer


@dataclass(frozen=True, slots=True)
class Config(ServerWriterConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    truncate_before: bool = False

    @property
    def mode(self) -> Literal["append", "replace", "upsert"]:
        """Return the write mode; `truncate_before` turns append into replace."""
        return "replace" if self.truncate_before and self.write_mode == "append" else self.write_mode


class Driver(Writer[Config]):
    """A writer of MySQL tables."""

    database = MYSQL
