"""Writes a table of a Supabase project: as PostgreSQL, in one transaction, or over REST, in batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NoReturn

from osiris.errors import fail
from osiris.families.postgres.database import POSTGRES
from osiris.families.sql.target_table import THERE, check_columns
from osiris.families.sql.writer import ServerWriterConfig, Writer
from osiris.families.supabase.connect import wire_fields
from osiris.families.supabase.writer import RestDelivery, deliver, expect_target, list_refusals, refuse_missing

if TYPE_CHECKING:
    from osiris.driver import StepContext, Written
    from osiris.model import Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config(ServerWriterConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    batch_size: int = 5000
    channel: Literal["auto", "wire"] = "auto"
    retries: int = 3
    returning: Literal["minimal", "representation"] = "minimal"


class Driver(Writer[Config]):
    """A writer of Supabase projects."""

    database = POSTGRES

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that cannot be written, DAT005 for a key not there, DRV024 for what REST lacks.

        Over REST, also with DRV012 for a table that does not exist: REST cannot create one. `confirm` checks everything
        else that depends on the connection.
        """
        super().check(config, schema, ctx)
        if ctx.connection and _wire(ctx) is None:
            refuse_missing(_rest_delivery(config, schema, ctx))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str:
        """Fail unless the rows can be written; returns the table's state, `there` or `absent`.

        Fails as the postgres writer does; over REST with CMP012, DAT029, DRV012, DRV023, DRV024, CON024 to CON027.
        """
        wire = _wire(ctx)
        if wire:
            return super().confirm(config, schema, wire)
        expect_target(_rest_delivery(config, schema, ctx))
        return THERE

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Deliver all rows: in one transaction, unless an earlier attempt has done so, or over REST in batches.

        Fails as the postgres writer does; over REST as `deliver` does.
        """
        wire = _wire(ctx)
        if wire:
            _emit_guarantee(ctx, "wire", "exactly_once")
            return super().write(config, rows, wire)
        _emit_guarantee(ctx, "rest", "idempotent_by_key" if config.write_mode == "upsert" else "at_least_once")
        return deliver(_rest_delivery(config, rows.schema, ctx), rows)


def _wire(ctx: StepContext) -> StepContext | None:
    fields = wire_fields(ctx.connection)
    return None if fields is None else replace(ctx, connection=fields)


def _emit_guarantee(ctx: StepContext, channel: str, delivery: str) -> None:
    """Emit this connection's delivery guarantee; the plan, which does not know it, has the weakest."""
    ctx.emit("delivery", {"channel": channel, "class": delivery})


def _rest_delivery(config: Config, schema: Schema, ctx: StepContext) -> RestDelivery:
    """Return a delivery over REST; fails with DRV024 for options that REST lacks, with CMP012 for lists."""
    if config.channel == "wire":
        _needs_address(ctx, "channel: wire", "the connection has only URL and key")
    if config.write_mode == "replace":
        _needs_address(ctx, "write_mode: replace", "over REST readers would see a table that is neither old nor new")
    if ctx.on_reject == "quarantine":
        _needs_address(ctx, "on_reject: quarantine", "over REST a batch is refused as a whole")
    reasons = list_refusals({column.name: column.type for column in schema})
    check_columns(ctx, schema, reasons, by_case=True)
    prefix, dot, name = config.table.partition(".")
    table, schema_name = (name, prefix) if dot and config.schema is None else (config.table, config.schema)
    mode: Literal["append", "upsert"] = "upsert" if config.write_mode == "upsert" else "append"
    echo = config.returning == "representation"
    batch, largest = config.batch_size, config.max_cell_bytes
    return RestDelivery(ctx, table, schema_name, schema, mode, config.key, batch, config.retries, echo, largest)


def _needs_address(ctx: StepContext, what: str, why: str) -> NoReturn:
    fail("DRV024", step=ctx.step, what=what, why=why)
