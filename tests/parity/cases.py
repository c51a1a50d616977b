"""Pipelines that must do the same on every target, with their projects' files and faults before the run."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from osiris.registry import load_registry
from osiris.testing.trial import Trial, rows_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONNECTIONS = """connections:
  filesystem:
    store: {base_dir: data}
  sqlite:
    shop: {path: data/shop.sqlite, default: true}
    made: {path: output/made.sqlite}
  duckdb:
    shop: {path: data/shop.duckdb, default: true}
    made: {path: output/made.duckdb}
"""


def read(kind="csv", path="data/orders.csv", more="", name="orders", needs=""):
    config = f"path: {path}{more}"
    return f"{{id: {name}, component: filesystem.{kind}_extractor, mode: read, {needs} config: {{{config}}}}}"


def write(kind="csv", path="output/out.csv", name="out", needs=""):
    return f"{{id: {name}, component: filesystem.{kind}_writer, mode: write, {needs} config: {{path: {path}}}}}"


READ, WRITE = read(), write()


def sql(query, name="shaped", more=""):
    return f'{{id: {name}, component: duckdb.processor, mode: transform, {more} config: {{query: "{query}"}}}}'


def nothing(_folder):
    """Change nothing."""


def leave_an_output(folder):
    """Write output as an earlier run would have."""
    (folder / "output").mkdir()
    shutil.copy(folder / "data" / "orders.csv", folder / "output" / "out.csv")


def leave_a_stranger(folder):
    """Put another user's files where the case publishes its own."""
    (folder / "output" / "by_customer").mkdir(parents=True)
    shutil.copy(folder / "data" / "orders.csv", folder / "output" / "by_customer" / "mine.csv")


def publish_lake(folder, path="data/lake/"):
    """Publish a folder as an earlier run would have."""
    rows = pa.table({"id": [1, 2, 3, 4], "amount": [1.5, None, 2.5, 0.0], "city": ["Brno", "a/b", None, "brno"]})
    config = {"path": path, "partition_by": ["city"]}
    Trial(load_registry(), "filesystem.parquet_writer", folder, config).write(rows_of(rows))
    shutil.rmtree(folder / ".step")


def publish_output(folder):
    """Publish other rows where the case publishes its own, as an earlier run would have."""
    publish_lake(folder, "output/by_customer/")


def publish_half(folder):
    """Publish some of the rows where the case publishes all, as an earlier run would have."""
    registry, config = load_registry(), {"path": "output/by_customer/", "partition_by": ["customer"]}
    rows = table_of(Trial(registry, "filesystem.csv_extractor", folder, {"path": "data/orders.csv"}).read())
    Trial(registry, "filesystem.parquet_writer", folder, config).write(rows_of(rows.slice(0, 20)))
    shutil.rmtree(folder / ".step")


@dataclass(frozen=True)
class Case:
    """Steps, one per line. `prepare` runs before compiling, and `breaks` between that and the run."""

    steps: tuple[str, ...]
    breaks: Callable[[Path], None] = nothing
    exit_code: int = 0
    head: str = ""
    version: str = "0.1.0"
    prepare: Callable[[Path], None] = nothing

    def text(self, name):
        steps = "".join(f"  - {step}\n" for step in self.steps)
        return f'oml_version: "{self.version}"\nname: {name}\n{self.head}steps:\n{steps}'


def lay_out(folder):
    """Write the files that the steps of all cases read."""
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "osiris.yaml").write_text("")
    (folder / "osiris_connections.yaml").write_text(CONNECTIONS)
    rows = [(n, f"Zoë {n % 3}", n * 3 % 7, f"2025-01-{n % 28 + 1:02d}") for n in range(1, 41)]
    text = "id,customer,amount,day\n" + "".join(f"{i},{c},{a}.50,{d}\n" for i, c, a, d in rows)
    (data / "orders.csv").write_text(text)
    (data / "customers.csv").write_text("customer,city\nZoë 0,Praha\nZoë 1,Brno\n")
    (data / "empty.csv").write_text("id,name\n")
    (data / "bad.csv").write_text("id,price\n" + "".join(f"{n},{n}.25\n" for n in range(30)) + "x,1.00\n31,wrong\n")
    for part in ("a", "b", "c"):
        (data / f"part-{part}.csv").write_text(f"id,part\n1,{part}\n2,{part}\n")
    (data / "lines.jsonl").write_text('{"id": 1, "tags": ["a"]}\n{"id": 2, "tags": []}\n')
    pq.write_table(pa.table({"id": [1, 2, 3], "amount": [1.5, None, 2.5]}), data / "rows.parquet")
    with sqlite3.connect(data / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT)")
        shop.executemany("INSERT INTO orders VALUES (?, ?)", [(1, "Ada"), (2, "Boris")])
    shop.close()
    with duckdb.connect(data / "shop.duckdb") as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer VARCHAR)")
        shop.execute("INSERT INTO orders VALUES (1, 'Ada'), (2, 'Boris')")


def lose(folder):
    """Remove the source with its folder: a sandbox sees no neighbouring files, so none can be suggested."""
    shutil.rmtree(folder / "data")


def spoil(folder):
    with (folder / "data" / "orders.csv").open("a") as file:
        file.write("41,Zoë,wrong,2025-01-01\n")


def occupy(folder):
    (folder / "output" / "out.csv").mkdir(parents=True)


def to(family, table, more="", name="out", connection="shop", needs=""):
    config = f'connection: "@{family}.{connection}", table: {table}{more}'
    return f"{{id: {name}, component: {family}.writer, mode: write, {needs} config: {{{config}}}}}"


def source(family, connection="shop"):
    config = f'connection: "@{family}.{connection}", table: orders'
    return f"{{id: rows, component: {family}.extractor, mode: read, config: {{{config}}}}}"


TOTALS = "SELECT customer, sum(amount) AS total FROM orders GROUP BY customer ORDER BY customer"
JOINED = "SELECT o.id, c.city FROM df_orders o LEFT JOIN df_names c USING (customer) ORDER BY o.id"
WRONG = "SELECT CAST(customer AS INTEGER) AS n FROM orders"
AGAIN = 'retry: {max: 2, backoff: 10ms, "on": [DRV001]}'

FOREVER = f"SELECT count(*) AS n FROM orders, {', '.join(f'orders {name}' for name in 'bcdefghi')}"
BAD = ', dtype: {id: int64, price: "decimal(9,2)"}, on_reject: quarantine'
FIRST = write(path="output/a.csv", name="first", needs="needs: [orders],")
BY_CUSTOMER = write("parquet", "output/by_customer/, partition_by: [customer]")
AFTER_ORDERS = "needs: [orders],"

CASES = {
    "copied": Case((READ, WRITE)),
    "shaped": Case((READ, sql(TOTALS), WRITE)),
    "joined": Case(
        (
            READ,
            read(path="data/customers.csv", name="names", needs="needs: [],"),
            sql(JOINED, more='inputs: {df_orders: "${orders.df}", df_names: "${names.df}"},'),
            WRITE,
        )
    ),
    "several_files": Case((read(path='"data/part-*.csv"'), WRITE)),
    "based": Case((read(path="orders.csv", more=', connection: "@filesystem.store"'), WRITE)),
    "json": Case((read("json", "data/lines.jsonl"), write("json", "output/deep/out.jsonl"))),
    "parquet": Case((read("parquet", "data/rows.parquet"), write("parquet", "output/out.parquet"))),
    "published": Case((READ, BY_CUSTOMER)),
    "published_again": Case((READ, BY_CUSTOMER), prepare=publish_output),
    "published_read": Case((read("parquet", "data/lake/"), WRITE), prepare=publish_lake),
    "published_beside": Case((READ, BY_CUSTOMER.replace("output/by_customer/", "lake/"))),
    "published_read_again": Case(
        (
            READ,
            BY_CUSTOMER,
            read("parquet", "output/by_customer/", name="again", needs="needs: [out],"),
            read("parquet", '"output/by_customer/**/*.parquet"', name="parts", needs="needs: [out],"),
            write(path="c.csv", name="copy", needs="needs: [again],"),
            write(path="d.csv", name="rest", needs="needs: [parts],"),
        ),
        prepare=publish_half,
    ),
    "two_writers": Case((READ, FIRST, write("json", "b.jsonl", "other", AFTER_ORDERS))),
    "read_again": Case(
        (
            READ,
            WRITE,
            read(path="output/out.csv", name="again", needs="needs: [out],"),
            write(path="c.csv", name="copy"),
        ),
        prepare=leave_an_output,
    ),
    "named_by_run": Case((READ, write(path='"output/${run.id}.csv"'))),
    "with_params": Case(
        (READ, sql("SELECT * FROM orders WHERE amount >= ${params.least} ORDER BY id"), WRITE),
        head="params:\n  least: {type: integer, default: 3}\n",
    ),
    "empty": Case((read(path="data/empty.csv"), WRITE)),
    "quarantined": Case((read(path="data/bad.csv", more=BAD), WRITE)),
    "checked": Case((read(more=", checks: [{row_count: {min: 1}}, {unique: [id]}]"), WRITE), version="0.2.0"),
    "check_fails": Case((read(more=", checks: [{unique: [customer]}]"), WRITE), exit_code=6, version="0.2.0"),
    "sqlite_read": Case((source("sqlite"), WRITE)),
    "sqlite_made": Case((READ, to("sqlite", "orders", connection="made"))),
    "sqlite_appended": Case((source("sqlite"), to("sqlite", "copies", ", write_mode: append"))),
    "sqlite_twice": Case(
        (
            READ,
            to("sqlite", "first", name="one", connection="made", needs=AFTER_ORDERS),
            to("sqlite", "second", name="two", connection="made", needs=AFTER_ORDERS),
        )
    ),
    "duckdb_read": Case((source("duckdb"), WRITE)),
    "duckdb_made": Case((READ, to("duckdb", "orders", connection="made"))),
    "duckdb_upserted": Case(
        (
            sql("SELECT 2::INTEGER AS id, 'Carla' AS customer", "rows", "needs: [],"),
            to("duckdb", "orders", ", write_mode: upsert, primary_key: [id]"),
        )
    ),
    "source_lost": Case((READ, WRITE), lose, 1),
    "source_spoiled": Case((READ, sql(TOTALS), WRITE), spoil, 1),
    "transform_fails": Case((READ, sql(WRONG), WRITE), exit_code=1),
    "target_taken": Case((READ, WRITE), occupy, 1),
    "later_step_fails": Case((READ, FIRST, sql(WRONG, more="needs: [orders, first],"), WRITE), exit_code=1),
    "retried_in_vain": Case((read(more=f", {AGAIN}"), WRITE), lose, 1),
}
