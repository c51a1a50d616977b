"""Writes a JSON Lines file: deterministic bytes, published atomically."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.files.target_files import TextConfig, check_file_columns, check_text, writing_text
from osiris.families.json_text import Unwritable, first_unwritable, objects, refusal
from osiris.families.text_format import characters, pieces

if TYPE_CHECKING:
    import pyarrow as pa

    from osiris.driver import StepContext, Written
    from osiris.model import Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config(TextConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""


class Driver:
    """A writer of JSON files."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns without a text format, with DRV007 for a path that cannot be written."""
        check_text(ctx, config, "json")
        check_file_columns(ctx, schema, refusal)

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Write all rows, and publish the file atomically; fails with DAT015 for a value without a text format."""
        written = 0
        with writing_text(ctx, config, "json") as (file, sink):
            for batch in rows.batches():
                for piece in pieces(batch):
                    sink.write(characters(_objects(piece, ctx, written)))
                    written += piece.num_rows
        return file.written(written)


def _objects(batch: pa.RecordBatch, ctx: StepContext, before: int) -> pa.Array:
    """Return rows as lines of JSON; `before` is the number of earlier rows. Fails with DAT015."""
    try:
        return objects(batch.schema.names, batch.columns, "\n")
    except Unwritable as error:
        row, first = first_unwritable(batch.column(error.column))
        value = f"{first.value} in row {before + row + 1}"
        fail("DAT015", step=ctx.step, column=error.column, value=value, reason=first.reason)
