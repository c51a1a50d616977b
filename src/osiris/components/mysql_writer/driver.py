"""Writes a table of a MySQL or MariaDB database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.errors import OsirisError
from osiris.families.mysql.column_mapping import refusals
from osiris.families.mysql.delivery import confirm, deliver, look
from osiris.families.mysql.load_data import Work
from osiris.families.sql.key_columns import check_key_columns, refuse_repeated_keys
from osiris.families.sql.staging import staged
from osiris.families.sql.target_table import refuse_columns
from osiris.families.sql.writer_config import Writing

if TYPE_CHECKING:
    from osiris.driver import StepContext, Written
    from osiris.model import Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config(Writing):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    truncate_before: bool = False

    @property
    def mode(self) -> Literal["append", "replace", "upsert"]:
        """Return what happens to the rows that are there."""
        return "replace" if self.truncate_before and self.write_mode == "append" else self.write_mode


class Driver:
    """A writer of MySQL tables."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that MySQL cannot hold as they are, with DAT005 for a key that is not there."""
        refuse_columns(ctx, schema, refusals({column.name: column.type for column in schema}))
        check_key_columns(ctx, schema, config.key)

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str:
        """Fail unless the table takes such rows or may be made; tells whether it is `there` or `absent`.

        Fails with DRV012 for one that is missing, DAT029 for one that they do not fit, DRV020 for a missing right.
        """
        return confirm(_work(config, schema, ctx))

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Take all rows, then deliver them in one transaction, unless an attempt before has done so.

        Fails with DAT015 for a value that the table would change, DAT028 for a key that comes twice, DAT029 if the rows
        do not fit the table, DAT032 for a row that it refuses, CON011 to CON017, DRV011 to DRV022.
        """
        work = _work(config, rows.schema, ctx)
        earlier = look(work)
        if earlier:
            return earlier
        with staged(rows, ctx) as waiting:
            try:
                return deliver(work, waiting)
            except OsirisError as error:
                # The staging table finds repeated keys while it is filled; only then are they asked for.
                if work.merged and ctx.on_reject == "fail" and error.diagnostics[0].code == "DAT032":
                    refuse_repeated_keys(waiting, work.key, ctx)
                raise


def _work(config: Config, schema: Schema, ctx: StepContext) -> Work:
    make, batch, most = config.create_if_missing, config.batch_size, config.max_cell_bytes
    return Work(ctx, config.table, config.schema, schema, config.mode, config.key, make, batch, most)
