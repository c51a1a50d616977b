"""Writes lines."""

import itertools
import time
from dataclasses import dataclass

from osiris.driver import Written
from osiris.errors import fail
from osiris.files import publish, relative, resolve_path, sweep

PLAIN = ("bool", "int", "uint", "float", "decimal", "utf8")


@dataclass(frozen=True)
class Config:
    path: str
    batches: int | None = None
    lose: int = 0
    after: float = 0


class Driver:
    def check(self, config, schema, ctx):
        for column in schema:
            if not column.type.startswith(PLAIN):
                fail("CMP012", step=ctx.step, column=column.name, type=column.type, reason="lines are text")

    def write(self, config, rows, ctx):
        target = resolve_path(ctx.root, config.path, writing=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        count = 0
        with publish(target) as file:
            for batch in itertools.islice(rows.batches(), config.batches):
                for row in batch.to_pylist():
                    file.write(("\t".join(str(value) for value in row.values()) + "\n").encode())
                count += batch.num_rows
            time.sleep(config.after)
        return Written(count - config.lose, target.stat().st_size, (relative(ctx.root, target),))
