"""A DuckDB with a few small tables, and the texts of the data folder."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

DATA = Path(__file__).parent / "data"
TABLES = """
CREATE TABLE orders AS SELECT * FROM (VALUES
  (1, 1, 10.00::DECIMAL(12, 2), TIMESTAMP '2024-01-05 10:00:00'), (2, 1, 250.50, TIMESTAMP '2024-01-06'),
  (3, 2, NULL, TIMESTAMP '2024-02-01'), (4, 3, 7.25, TIMESTAMP '2024-02-03'), (5, 9, 99.99, TIMESTAMP '2024-03-01')
) AS t(id, customer_id, amount, placed);
CREATE TABLE customers AS SELECT * FROM (VALUES
  (1, 'Anna', 'north'), (2, 'Béla', 'south'), (3, 'Cyril', 'north'), (4, 'dora', NULL)) AS t(id, name, region);
CREATE TABLE prices AS SELECT * FROM (VALUES
  (TIMESTAMP '2024-01-01', 5.0::DECIMAL(8, 2)), (TIMESTAMP '2024-02-01', 6.5)) AS t(since, price);
CREATE TABLE staff AS SELECT * FROM (VALUES
  (1, NULL, 'root'), (2, 1, 'a'), (3, 1, 'b'), (4, 2, 'c')) AS t(id, parent, name);
CREATE TABLE docs AS SELECT * FROM (VALUES
  (1, '{"a":1,"b":"x","c":[1,2]}'::JSON), (2, '{"a":null}'::JSON)) AS t(id, j);
"""


def lines(name):
    return [line for line in (DATA / name).read_text(encoding="utf-8").splitlines() if line.strip()]


@pytest.fixture(scope="session")
def small():
    """The engine with the tables that the query corpus reads."""
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute(TABLES)
    yield engine
    engine.close()
