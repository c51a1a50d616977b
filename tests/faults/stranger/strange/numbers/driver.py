"""Counts."""

import time
from dataclasses import dataclass

import pyarrow as pa

from osiris.errors import Diagnostic, raise_all
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
    failures: int = 0
    code: str = "CON003"
    meets: tuple = ()
    gate: str | None = None


def fail_at_first(config, ctx):
    """Fail as often as the config says; the attempts are counted in a file."""
    with (ctx.root / f"failures-{ctx.step}").open("a+") as file:
        if file.tell() < config.failures:
            file.write("x")
            raise_all([Diagnostic(config.code, "away")])


def wait_for(ctx, name):
    """Report that this step is running, and wait until there is a file: that of another step, or a gate."""
    (ctx.root / f"here-{ctx.step}").touch()
    deadline = time.monotonic() + 300
    while not (ctx.root / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.01)


class Driver:
    def describe(self, config, ctx):
        return Described(SCHEMA, "fixed")

    def read(self, config, schema, ctx):
        def batches():
            for other in config.meets:
                wait_for(ctx, f"here-{other}")
            for first in range(0, config.rows, config.batch):
                time.sleep(config.pause)
                if first and config.gate:
                    wait_for(ctx, config.gate)
                if first and config.failures:
                    fail_at_first(config, ctx)
                numbers = range(first, min(config.rows, first + config.batch))
                ctx.count("rows_read", len(numbers) if config.claim is None else config.claim)
                yield pa.RecordBatch.from_pydict(
                    {"id": list(numbers), "text": [f"{config.text}{n * n}" for n in numbers]},
                    schema=pa.schema([pa.field("id", pa.int64(), nullable=False), ("text", pa.utf8())]),
                )

        return stream(SCHEMA, batches(), "fixed")
