"""Writes a table of a PostgreSQL database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.families.postgres.writer import check, confirm, write
from osiris.families.sql.writer import ServerWriting

if TYPE_CHECKING:
    from osiris.driver import StepContext, Written
    from osiris.model import Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config(ServerWriting):
    """The config of a step; its keys and defaults are described in spec.yaml."""


class Driver:
    """A writer of PostgreSQL tables."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that PostgreSQL cannot hold as they are, with DAT005 for a key not there."""
        check(config, schema, ctx)

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str:
        """Fail unless the table takes such rows or may be made; tells whether it is `there` or `absent`.

        Fails with DRV012 for one that is missing, DAT029 for one that they do not fit, DRV020 for a missing right.
        """
        return confirm(config, schema, ctx)

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Deliver all rows in one transaction, unless an attempt before has done so.

        Fails with DAT015 for a value that the table would change, DAT028 for a key that comes twice, DAT029 if the rows
        do not fit the table, DAT032 for a row that it refuses, CON011 to CON017, DRV007 to DRV022.
        """
        return write(config, rows, ctx)
