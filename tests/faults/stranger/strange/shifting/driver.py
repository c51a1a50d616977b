"""A source whose columns and state are defined by a file, and which may be unreachable."""

import json
import time
from dataclasses import dataclass

import pyarrow as pa

from osiris.errors import Diagnostic, raise_all
from osiris.model import Described, Field
from osiris.table import stream


@dataclass(frozen=True)
class Config:
    path: str


def told(config, ctx):
    found = json.loads((ctx.root / config.path).read_text())
    if "code" in found:
        raise_all([Diagnostic(found["code"], "so it is")])
    return found


class Driver:
    def describe(self, config, ctx):
        found = told(config, ctx)
        time.sleep(found.get("pause", 0))
        return Described(tuple(Field(*column) for column in found["columns"]), "fixed", state=found.get("state"))

    def read(self, config, schema, ctx):
        ctx.emit("read", {})
        told(config, ctx)
        row = {column.name: ["one" if column.type == "utf8" else 1] for column in schema}
        return stream(schema, iter([pa.RecordBatch.from_pydict(row)]), "fixed")
