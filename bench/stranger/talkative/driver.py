"""A driver that emits events."""

import random
import time
from dataclasses import dataclass

import pyarrow as pa

from osiris.model import Described, Field
from osiris.table import stream

SCHEMA = (Field("id", "int64"),)
PIECE = 1 << 20


@dataclass(frozen=True)
class Config:
    events: int
    pause: float = 0
    files: int = 0
    file_bytes: int = 0


class Driver:
    def describe(self, _config, _ctx):
        return Described(SCHEMA, "fixed")

    def read(self, config, _schema, ctx):
        def batches():
            for number in range(config.events):
                time.sleep(config.pause)
                ctx.emit("spoke", {"number": number, "at": time.time()})
            for number in range(config.files):
                leave(ctx.artifacts / f"{number}.bin", config.file_bytes, number)
            yield pa.RecordBatch.from_pydict({"id": [1]}, schema=pa.schema([("id", pa.int64())]))

        return stream(SCHEMA, batches(), "fixed")


def leave(path, size, seed):
    """Write reproducible bytes that cannot be compressed."""
    chance = random.Random(seed)
    with path.open("wb") as file:
        for start in range(0, size, PIECE):
            file.write(chance.randbytes(min(PIECE, size - start)))
