"""Passes rows on."""

import itertools
from dataclasses import dataclass

from osiris.model import Described
from osiris.table import stream


@dataclass(frozen=True)
class Config:
    limit: int | None = None
    fail_after: int | None = None


class Driver:
    def describe(self, config, inputs, ctx):
        return Described(next(iter(inputs.values())), "fixed")

    def transform(self, config, inputs, schema, ctx):
        def batches():
            for source in inputs.values():
                for number, batch in enumerate(itertools.islice(source.batches(), config.limit)):
                    if number == config.fail_after:
                        raise ValueError(f"batch {number} is not to my taste")
                    yield batch

        return stream(schema, batches(), "fixed")
