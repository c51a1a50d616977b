"""Reads a table, a view or a checked query of a PostgreSQL database, in one state of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.families.postgres.extractor import Reading, describe, read
from osiris.families.source_columns import expect_schema

if TYPE_CHECKING:
    from osiris.driver import StepContext
    from osiris.model import Described, Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config(Reading):
    """The config of a step; its keys and defaults are described in spec.yaml."""


class Driver:
    """An extractor of PostgreSQL databases."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns of the table or the query; fails with CON…, DAT005, DAT006, DRV… or SQL001 to SQL009."""
        return describe(config, ctx)

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns are no longer as planned; the database tells no state."""
        expect_schema(ctx, schema, self.describe(config, ctx).schema or ())
        return None

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT011 if the columns are no longer as planned."""
        return read(config, schema, ctx)
