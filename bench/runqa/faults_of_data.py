"""Faults of rows: values that do not fit, missing rows, and too many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.projects import step
from bench.runqa.desk import SECRET
from bench.runqa.truth import Fault, Truth, changes, names, steps

if TYPE_CHECKING:
    from bench.runqa.desk import Desk

ITEMS = "id,name,quantity\n1,a,10\n2,b,20\n3,c,30\n"
TABLE = "CREATE TABLE items (id int PRIMARY KEY, name varchar(20) NOT NULL, quantity smallint)"
REST = """
connections:
  supabase:
    shop: {{url: "{url}", key: "${{{variable}}}"}}
"""
READ = {"path": "items.csv", "dtype": {"id": "int32", "name": "utf8", "quantity": "int16"}}
LOOK = names("look run")
"""If data must be fixed first, the right commands inspect it, or run again once that is done."""


def load(desk: Desk, family: str, write_mode: str, **read: object) -> None:
    """Create a pipeline from a file into a table of a server, and run it successfully."""
    desk.connect(family, TABLE)
    desk.write("items.csv", ITEMS)
    key = {"primary_key": ["id"]} if write_mode == "upsert" else {}
    desk.pipeline(
        step("items", "filesystem.csv_extractor", **READ | read),
        step(
            "load",
            f"{family}.writer",
            "items",
            connection=f"@{family}.shop",
            table="items",
            write_mode=write_mode,
            **key,
        ),
        oml_version="0.2.0",
    )
    desk.run()


def after(desk: Desk, text: str | None, code: int) -> str:
    """Run with another file if one is given; the table must stay unchanged."""
    if text:
        desk.write("items.csv", text)
    before = desk.count("items")
    session = desk.run(code=code)
    assert desk.count("items") == before
    return session


def overflow(desk: Desk) -> str:
    """A quantity is too large for the smallint that it is cast to."""
    load(
        desk,
        "postgres",
        "upsert",
        dtype={"id": "int32", "name": "utf8", "quantity": "int64"},
        cast={"quantity": "int16"},
    )
    return after(desk, ITEMS + "4,d,40000\n", 1)


def null_in_not_null(desk: Desk) -> str:
    """A name is missing where the table has NOT NULL."""
    load(desk, "postgres", "upsert")
    return after(desk, ITEMS + "4,,40\n", 1)


def duplicate_key(desk: Desk) -> str:
    """Two rows of an upsert have the same key."""
    load(desk, "mysql", "upsert")
    return after(desk, ITEMS + "3,d,40\n", 1)


def row_is_there(desk: Desk) -> str:
    """The same rows are appended a second time to a table with a primary key; the file has not changed."""
    load(desk, "postgres", "append")
    return after(desk, None, 1)


def check_failed(desk: Desk) -> str:
    """A quantity is out of the range that a check allows."""
    load(desk, "mysql", "upsert", checks=[{"name": "few at a time", "range": {"column": "quantity", "max": 100}}])
    return after(desk, ITEMS + "4,d,101\n", 6)


def target_changed(desk: Desk) -> str:
    """The target table has lost a column."""
    load(desk, "postgres", "upsert")
    desk.sql("ALTER TABLE items DROP COLUMN quantity")
    return after(desk, None, 6)


def half_written(desk: Desk) -> str:
    """Over REST, where every two rows are a transaction, the table rejects the fourth row: two are already written."""
    from tests.servers import start_postgrest

    server = desk.servers["postgres"]
    with start_postgrest(server.fields(server.new_database())) as rest:
        rest.run(TABLE.replace("smallint", "smallint CHECK (quantity < 100)"))
        desk.write("osiris_connections.yaml", REST.format(url=rest.url, variable=SECRET))
        desk.env[SECRET] = rest.service_key
        upsert = {"write_mode": "upsert", "primary_key": ["id"], "batch_size": 2}
        desk.write("items.csv", ITEMS)
        desk.pipeline(
            step("items", "filesystem.csv_extractor", **READ),
            step("load", "supabase.writer", "items", connection="@supabase.shop", table="items", **upsert),
        )
        desk.run()
        desk.write("items.csv", ITEMS.replace("c,30", "changed,31").replace("b,20", "changed,21") + "4,d,101\n")
        session = desk.run(code=1)
        assert rest.rows("SELECT count(*) FROM items WHERE name = 'changed'") == [(1,)]
        return session


def filtered(desk: Desk) -> None:
    """Create a filter over the orders of the example, and run it successfully."""
    desk.pipeline(
        step("orders", "filesystem.csv_extractor", path="data/orders.csv"),
        step(
            "recent",
            "duckdb.processor",
            "orders",
            query="SELECT order_id, amount FROM orders WHERE ordered_on >= ${params.since} ORDER BY order_id",
        ),
        step("save", "filesystem.parquet_writer", "recent", path="output/recent.parquet"),
        params={"since": {"type": "date", "default": "2000-01-01"}},
    )
    desk.run()


def filter_drops_all(desk: Desk) -> str:
    """A parameter is set to a day after all orders."""
    filtered(desk)
    return desk.run("--param", "since=2999-01-01")


def filter_edited(desk: Desk) -> str:
    """Somebody inverted the comparison."""
    filtered(desk)
    path = desk.folder / "pipelines/case.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("ordered_on >=", "ordered_on <"), encoding="utf-8")
    return desk.run()


def fan_out(desk: Desk) -> str:
    """The names that orders are joined with exist three times each."""
    desk.write("items.csv", ITEMS)
    desk.write("names.csv", "name,label\na,A\nb,B\nc,C\n")
    query = "SELECT i.id, n.label FROM items AS i JOIN names AS n ON i.name = n.name ORDER BY i.id, n.label"
    desk.pipeline(
        step("items", "filesystem.csv_extractor", path="items.csv"),
        step("names", "filesystem.csv_extractor", path="names.csv"),
        step("joined", "duckdb.processor", "items", "names", query=query),
        step("save", "filesystem.csv_writer", "joined", path="output/joined.csv"),
    )
    desk.run()
    desk.write("items.csv", ITEMS + "".join(f"{n},{'abc'[n % 3]},1\n" for n in range(4, 10)))
    desk.run()
    desk.write("names.csv", "name,label\n" + "a,A\nb,B\nc,C\n" * 3)
    return desk.run()


def bad_rows(desk: Desk) -> str:
    """Of 10,000 rows, 4,000 have no number where one is needed; they are rejected."""
    desk.connect("postgres", "CREATE TABLE arrivals (id int, amount numeric(12, 2))")
    good = "id,amount\n" + "".join(f"{n},{n}.50\n" for n in range(10_000))
    words = {0: "n/a", 1: "twelve", 2: "1,5", 3: "x9"}
    bad = "id,amount\n" + "".join(f'{n},"{words[n % 10]}"\n' if n % 10 < 4 else f"{n},{n}.50\n" for n in range(10_000))
    dtype = {"id": "int32", "amount": "decimal(12,2)"}
    desk.write("arrivals.csv", good)
    desk.pipeline(
        step("arrivals", "filesystem.csv_extractor", path="arrivals.csv", dtype=dtype, on_reject="quarantine"),
        step("load", "postgres.writer", "arrivals", connection="@postgres.shop", table="arrivals"),
    )
    desk.run()
    desk.write("arrivals.csv", bad)
    session = desk.run()
    assert desk.count("arrivals") == 16_000
    return session


REFUSED = {"held_up": steps("items load"), "written": {"load": "nothing"}, "rows": {"out": 0}, "next": LOOK}
"""No row of the file was written to the table."""

DATA = (
    Fault(
        "overflow",
        overflow,
        Truth(
            verdict="failed",
            code="DAT014",
            kind="data",
            steps=names("items"),
            root={"column": "quantity"},
            changed=changes("source_data items"),
            **REFUSED,
        ),
    ),
    Fault(
        "null_in_not_null",
        null_in_not_null,
        Truth(
            verdict="failed",
            code="DAT032",
            kind="data",
            steps=names("load"),
            root={"table": "items", "column": "name"},
            changed=changes("source_data items"),
            **REFUSED | {"held_up": steps("load", "items")},
        ),
    ),
    Fault(
        "duplicate_key",
        duplicate_key,
        Truth(
            verdict="failed",
            code="DAT028",
            kind="data",
            steps=names("load"),
            root={"key": "id"},
            changed=changes("source_data items"),
            **REFUSED | {"held_up": steps("load", "items")},
        ),
    ),
    Fault(
        "row_is_there",
        row_is_there,
        Truth(
            verdict="failed",
            code="DAT032",
            kind="data",
            steps=names("load"),
            root={"table": "items"},
            **REFUSED | {"held_up": steps("load", "items")},
        ),
    ),
    Fault(
        "check_failed",
        check_failed,
        Truth(
            verdict="failed",
            code="DAT030",
            kind="data",
            steps=names("items"),
            root={"check": "few at a time"},
            changed=changes("source_data items"),
            **REFUSED,
        ),
    ),
    Fault(
        "schema_mismatch",
        target_changed,
        Truth(
            verdict="failed",
            code="DAT029",
            kind="schema",
            steps=names("load"),
            root={"table": "items", "column": "quantity"},
            may_change=names("target"),
            **REFUSED | {"rows": {"in": 0, "out": 0}, "next": names("look run connection")},
        ),
    ),
    Fault(
        "half_written",
        half_written,
        Truth(
            verdict="failed",
            code="DAT035",
            kind="data",
            steps=names("load"),
            root={"table": "items"},
            held_up=steps("load", "items"),
            written={"load": "unknown"},
            part=True,
            changed=changes("source_data items"),
            retry=None,
            next=LOOK,
        ),
    ),
    Fault(
        "filter_drops_all",
        filter_drops_all,
        Truth(
            verdict="complete:all_filtered",
            root={"step": "recent"},
            written={"save": "written"},
            rows={"in": 8, "out": 0, "recent.in": 8, "recent.out": 0, "recent.filtered": 8, "save.in": 0},
            changed=changes("parameter since"),
            may_change=names("pipeline"),
            next=names("look"),
        ),
    ),
    Fault(
        "filter_edited",
        filter_edited,
        Truth(
            verdict="complete:all_filtered",
            root={"step": "recent"},
            written={"save": "written"},
            rows={"in": 8, "out": 0, "recent.in": 8, "recent.out": 0, "recent.filtered": 8},
            changed=changes("pipeline recent"),
            next=names("look"),
        ),
    ),
    Fault(
        "fan_out",
        fan_out,
        Truth(
            verdict="complete:fan_out",
            root={"step": "joined"},
            written={"save": "written"},
            rows={"in": 18, "out": 27, "joined.in": 18, "joined.out": 27, "names.out": 9, "items.out": 9},
            changed=changes("source_data names"),
            next=names("look"),
        ),
    ),
    Fault(
        "bad_rows",
        bad_rows,
        Truth(
            verdict="complete:rows_rejected",
            root={"step": "arrivals", "column": "amount"},
            written={"load": "written"},
            rows={"out": 6000, "rejected": 4000, "arrivals.rejected": 4000, "arrivals.out": 6000, "load.in": 6000},
            changed=changes("source_data arrivals"),
            retry=False,
            next=names("look"),
        ),
    ),
)
