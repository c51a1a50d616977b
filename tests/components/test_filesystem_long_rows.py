"""Rows of any length reach the statement that reads them, including the last row of a file."""

from __future__ import annotations

import pytest

from osiris.components.duckdb_processor.driver import Config as QueryConfig
from osiris.components.duckdb_processor.driver import Driver as Processor
from osiris.components.filesystem_csv_extractor.driver import Config, Driver
from osiris.driver import StepContext

QUERY = "SELECT count(*) AS n, count(w) AS filled, max(length(w)) AS longest FROM src"


def lengths(folder):
    context = StepContext("q", folder, folder, folder / "scratch", sources={"src": "src"})
    config = Config("*.csv", dtype={"w": "utf8"})
    schema = Driver().describe(config, context).schema
    inputs = {"src": Driver().read(config, schema, context)}
    described = Processor().describe(QueryConfig(QUERY), {"src": schema}, context)
    rows = Processor().transform(QueryConfig(QUERY), inputs, described.schema, context)
    return [tuple(row.values()) for batch in rows.batches() for row in batch.to_pylist()]


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize(("size", "end"), [(17_000_000, "\n"), (33_000_000, "")])
def test_a_long_row(tmp_path, place, size, end):
    rows = ["1,a", "2,b"]
    rows.insert(place, "3," + "x" * size)
    (tmp_path / "a.csv").write_text("id,w\n" + "\n".join(rows) + end, encoding="utf-8")
    assert lengths(tmp_path) == [(3, 3, size)]
