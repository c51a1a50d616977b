"""Create a project folder with a history: plans, runs that succeeded, failed or were interrupted, conversations.

    python -m tests.comparator.make OSIRIS FOLDER

`OSIRIS` is the command of the version that creates the folder. The result is stored in `projects`: later versions must
be able to read what earlier ones wrote.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

CONFIG = """\
run: {memory: 1GB, threads: 1, parallel: 1, continue_within: 36500d}
"""
CONNECTIONS = """\
version: 1
connections:
  sqlite:
    shop: {path: data/shop.db, default: true}
"""
ORDERS = [(1, "Ada", 12.5, "paid"), (2, "Bob", 3.0, "open"), (3, "Ada", 7.25, "paid"), (4, "Eve", None, "lost")]
PIPELINES = {
    "copied": """\
oml_version: 0.2.0
name: copied
description: Orders as they are, in a table and in a file.
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv}}
  - id: add
    component: sqlite.writer
    mode: write
    config: {connection: "@sqlite.shop", table: kept, write_mode: append}
    needs: [orders]
  - id: file
    component: filesystem.parquet_writer
    mode: write
    config: {path: output/orders.parquet}
    needs: [orders]
""",
    "paid": """\
oml_version: 0.2.0
name: paid
params:
  status: {type: string, default: paid}
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv}}
  - id: sums
    component: duckdb.processor
    mode: transform
    inputs: {orders: "@orders"}
    config:
      query: |
        SELECT name, count(*) AS n, sum(amount) AS total FROM orders WHERE status = '${params.status}' GROUP BY name
      checks: [{row_count: {min: 1}}, {not_null: [name]}]
  - {id: file, component: filesystem.csv_writer, mode: write, config: {path: output/paid.csv}, needs: [sums]}
""",
    "refused": """\
oml_version: 0.2.0
name: refused
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: data/orders.csv, checks: [{not_null: [amount]}]}
  - {id: file, component: filesystem.csv_writer, mode: write, config: {path: output/refused.csv}, needs: [orders]}
""",
    "broken": """\
oml_version: 0.2.0
name: broken
steps:
  - {id: orders, component: filesystem.csv_extracter, mode: read, config: {pth: data/orders.csv}}
  - {id: file, component: filesystem.csv_writer, mode: write, config: {path: output/broken.csv}, needs: [order]}
""",
}


def lay_out(folder: Path) -> None:
    """Write the files of the project."""
    for name in ("data", "pipelines"):
        (folder / name).mkdir(parents=True)
    (folder / "osiris.yaml").write_text(CONFIG)
    (folder / "osiris_connections.yaml").write_text(CONNECTIONS)
    rows = [",".join("" if cell is None else str(cell) for cell in row) for row in ORDERS]
    (folder / "data/orders.csv").write_text("\n".join(["id,name,amount,status", *rows, ""]))
    with sqlite3.connect(folder / "data/shop.db") as database:
        database.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        database.executemany("INSERT INTO people VALUES (?, ?)", [(1, "Ada"), (2, "Bob")])
    database.close()
    (folder / "query.sql").write_text("SELECT name, count(*) AS n FROM orders GROUP BY ALL\n")
    (folder / "delete.sql").write_text("DELETE FROM orders\n")
    for name, text in PIPELINES.items():
        (folder / f"pipelines/{name}.yaml").write_text(text)


def main() -> None:
    """Create the project and its history."""
    osiris, folder = sys.argv[1], Path(sys.argv[2])
    lay_out(folder)

    def call(*args: str, stdin: str = "", **variables: str) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": "/", "TZ": "UTC", **variables}
        done = subprocess.run([osiris, *args], cwd=folder, env=environment, input=stdin, text=True, capture_output=True)
        print(done.returncode, *args)
        print(done.stdout, done.stderr[-700:])

    call("run", "pipelines/copied.yaml")
    call("run", "pipelines/paid.yaml")
    call("run", "pipelines/paid.yaml", "--param", "status=open")
    call("run", "pipelines/refused.yaml")
    call("new", stdin="data/orders.csv\nGroup and measure\nname\nnumber of rows\n")
    call("new", stdin="data/orders.csv\nWrite the result\nCSV file\nSave it, do not run it\n")
    call("run", "pipelines/copied.yaml", "--new-run", OSIRIS_FAULT="worker/file.rename:1:kill")
    call("run", "pipelines/paid.yaml", "--new-run", OSIRIS_FAULT="host/journal.append:12:kill")


if __name__ == "__main__":
    main()
