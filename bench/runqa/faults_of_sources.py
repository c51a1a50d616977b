"""Faults of sources and of access to them: logins, servers, tables, columns, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.projects import step
from bench.runqa.desk import PORT, SECRET, closed_port
from bench.runqa.truth import Fault, Truth, changes, names, steps

if TYPE_CHECKING:
    from bench.runqa.desk import Desk

CUSTOMERS = (
    "CREATE TABLE customers (id int PRIMARY KEY, name varchar(20), amount numeric(10, 2))",
    "INSERT INTO customers VALUES (1, 'Ada', 10.5), (2, 'Bob', 20), (3, 'Cyd', 7.25)",
)
NOT_READ = {"held_up": steps("customers totals save"), "written": {"save": "nothing"}, "rows": {"in": 0, "out": 0}}
"""The first of three steps in a chain could not read, so no row moved."""


def customers(desk: Desk, family: str) -> None:
    """Create a pipeline from a table through a query to a file, and run it successfully."""
    desk.connect(family, *CUSTOMERS)
    query = "SELECT name, sum(amount) AS amount FROM customers GROUP BY name ORDER BY name"
    desk.pipeline(
        step("customers", f"{family}.extractor", connection=f"@{family}.shop", table="customers"),
        step("totals", "duckdb.processor", "customers", query=query),
        step("save", "filesystem.csv_writer", "totals", path="output/totals.csv"),
    )
    desk.run()


def bad_credentials(desk: Desk) -> str:
    """Somebody changed the password."""
    customers(desk, "postgres")
    desk.env[SECRET] = "not the password"
    return desk.run(code=3)


def server_down(desk: Desk) -> str:
    """The connection has a port at which no server listens."""
    customers(desk, "postgres")
    desk.env[PORT] = str(closed_port())
    return desk.run(code=3)


def missing_table(desk: Desk) -> str:
    """Somebody dropped the table."""
    customers(desk, "mysql")
    desk.sql("DROP TABLE customers")
    return desk.run(code=1)


def renamed_column(desk: Desk) -> str:
    """Somebody renamed a column."""
    customers(desk, "postgres")
    desk.sql("ALTER TABLE customers RENAME COLUMN amount TO paid")
    return desk.run(code=6)


def no_rows(desk: Desk) -> str:
    """Somebody emptied the table."""
    customers(desk, "postgres")
    desk.sql("DELETE FROM customers")
    return desk.run()


def missing_file(desk: Desk) -> str:
    """Somebody moved the file that is read."""
    desk.pipeline(
        step("orders", "filesystem.csv_extractor", path="data/orders.csv"),
        step("save", "filesystem.parquet_writer", "orders", path="output/orders.parquet"),
    )
    desk.run()
    (desk.folder / "data/orders.csv").unlink()
    return desk.run(code=1)


SOURCES = (
    Fault(
        "bad_credentials",
        bad_credentials,
        Truth(
            verdict="failed",
            code="CON012",
            kind="auth",
            steps=names("customers"),
            root={"connection": "@postgres.shop"},
            may_change=names("environment"),
            next=names("connection"),
            **NOT_READ,
        ),
    ),
    Fault(
        "server_down",
        server_down,
        Truth(
            verdict="failed",
            code="CON011",
            kind="connection",
            steps=names("customers"),
            root={"connection": "@postgres.shop"},
            changed=changes("environment postgres.shop"),
            next=names("connection"),
            **NOT_READ,
        ),
    ),
    Fault(
        "missing_table",
        missing_table,
        Truth(
            verdict="failed",
            code="DRV012",
            kind="schema",
            steps=names("customers"),
            root={"table": "customers"},
            changed=changes("source_schema|source_data customers"),
            next=names("recompile connection"),
            **NOT_READ,
        ),
    ),
    Fault(
        "renamed_column",
        renamed_column,
        Truth(
            verdict="failed",
            code="DAT011",
            kind="schema",
            steps=names("customers"),
            root={"column": "amount"},
            changed=changes("source_schema amount"),
            next=names("recompile"),
            **NOT_READ,
        ),
    ),
    Fault(
        "no_rows",
        no_rows,
        Truth(
            verdict="complete:nothing_read",
            root={"step": "customers"},
            written={"save": "written"},
            rows={"in": 0, "out": 0, "customers.out": 0, "totals.in": 0, "totals.out": 0, "save.in": 0},
            changed=changes("rows_in 3 to 0"),
            may_change=names("source_data"),
            next=names("look"),
        ),
    ),
    Fault(
        "missing_file",
        missing_file,
        Truth(
            verdict="failed",
            code="DRV001",
            kind="schema",
            steps=names("orders"),
            root={"file": "data/orders.csv"},
            held_up=steps("orders save"),
            written={"save": "nothing"},
            rows={"in": 0, "out": 0},
            changed=changes("source_schema|source_data orders"),
            next=names("look run recompile"),
        ),
    ),
)
