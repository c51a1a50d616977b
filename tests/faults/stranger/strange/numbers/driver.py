"""Counts."""

import time
from dataclasses import dataclass

import pyarrow as pa

from osiris.model import Described, Field
from osiris.table import stream

SCHEMA = (Field("id", "int64", nullable=False), Field("text", "utf8"))


@dataclass(frozen=True)
class Config:
    rows: int
    batch: int = 1000
    pause: float = 0
    claim: int | None = None
    text: str = "n"


class Driver:
    def describe(self, config, ctx):
        return Described(SCHEMA, "fixed")

    def read(self, config, schema, ctx):
        def batches():
            for first in range(0, config.rows, config.batch):
                time.sleep(config.pause)
                numbers = range(first, min(config.rows, first + config.batch))
                ctx.count("rows_read", len(numbers) if config.claim is None else config.claim)
                yield pa.RecordBatch.from_pydict(
                    {"id": list(numbers), "text": [f"{config.text}{n * n}" for n in numbers]},
                    schema=pa.schema([pa.field("id", pa.int64(), nullable=False), ("text", pa.utf8())]),
                )

        return stream(SCHEMA, batches(), "fixed")
