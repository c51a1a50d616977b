"""Writes a table of a PostgreSQL database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.errors import diagnostic, raise_all
from osiris.families.embedded import staged
from osiris.families.keys import check_key_columns
from osiris.families.postgres_deliver import Work, deliver, look
from osiris.families.postgres_held import refusals
from osiris.families.postgres_ledger import make_ledger
from osiris.families.postgres_write import place_of, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.driver import StepContext, Written
    from osiris.model import Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str
    schema: str | None = None
    write_mode: Literal["append", "replace", "upsert"] = "append"
    primary_key: Sequence[str] | str | None = None
    create_if_missing: bool = True
    batch_size: int = 16384

    @property
    def key(self) -> Sequence[str]:
        """Return the columns of the key, as far as there is one."""
        return [self.primary_key] if isinstance(self.primary_key, str) else self.primary_key or ()


class Driver:
    """A writer of PostgreSQL tables."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that PostgreSQL cannot hold as they are, with DAT005 for a key not there."""
        types = {column.name: column.type for column in schema}
        problems = [
            diagnostic("CMP012", step=ctx.step, column=name, type=types[name], reason=reason)
            for name, reason in refusals(types).items()
        ]
        if problems:
            raise_all(problems)
        check_key_columns(ctx, schema, config.key)

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Deliver all rows in one transaction, unless an attempt before has done so.

        Fails with DAT015 for a value that the table would change, DAT028 for a key that comes twice, DAT029 if the rows
        do not fit the table, DAT032 for a row that it refuses, CON011 to CON017, DRV007 to DRV022.
        """
        place = place_of(ctx, config.table, config.schema)
        work = Work(ctx, place, rows.schema, config.write_mode, config.key, config.create_if_missing, config.batch_size)
        with writing(ctx, place) as session:
            earlier = look(session, work)
            if earlier:
                return earlier
            make_ledger(session, ctx)
            if config.write_mode != "replace":
                return deliver(session, work, rows)
        with staged(rows, ctx) as waiting, writing(ctx, place) as session:
            return deliver(session, work, waiting.open())
