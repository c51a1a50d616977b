"""Choices as discovery makes them, without a source."""

from osiris.chat.choices import read_names

WRITERS = [
    {"component": "duckdb.writer", "ending": None, "modes": ["append", "replace", "upsert"], "connections": []},
    {"component": "filesystem.csv_writer", "ending": "csv", "modes": [], "connections": []},
    {"component": "filesystem.json_writer", "ending": "jsonl", "modes": [], "connections": []},
    {"component": "filesystem.parquet_writer", "ending": "parquet", "modes": [], "connections": []},
    {"component": "sqlite.writer", "ending": None, "modes": ["append", "replace", "upsert"], "connections": []},
    {"component": "postgres.writer", "ending": None, "modes": ["append", "replace", "upsert"], "connections": []},
]
COMPONENTS = {"csv": "filesystem.csv_extractor", "parquet": "filesystem.parquet_extractor"}


def table(name, *columns, config=None, component=None, comment=None, primary_key=(), foreign_keys=(), rows=None):
    """Return a table in the form of `discover`; columns are `name type`."""
    told = [
        {**dict(zip(("name", "type"), each.split(), strict=True)), "nullable": True, "comment": None}
        for each in columns
    ]
    ending = name.rpartition(".")[2]
    step = {
        "component": component or COMPONENTS.get(ending, "sqlite.extractor"),
        "mode": "read",
        "config": config or {"path": name},
    }
    return {
        "name": name,
        "comment": comment,
        "rows": rows,
        "columns": told or None,
        "primary_key": list(primary_key),
        "foreign_keys": list(foreign_keys),
        "closed": [],
        "step": step,
        "profile": None,
    }


def source(target, *tables):
    connection = target if target.startswith("@") else None
    return {"target": target, "connection": connection, "recalled": False, "tables": list(tables)}


def names(*sources, targets=("@duckdb.warehouse",)):
    """Return the result of `names`: sources, and the connections that can be written to."""
    own = [
        {
            **each,
            "connections": [name for name in targets if name.startswith(f"@{each['component'].partition('.')[0]}.")],
        }
        for each in WRITERS
    ]
    writers = [each for each in own if each["ending"] or each["connections"]]
    return {"connections": list(targets), "writers": writers, "sources": list(sources), "silent": {}}


def in_shop(name, *columns, **more):
    return table(name, *columns, config={"connection": "@sqlite.shop", "table": name}, **more)


SHOP = source(
    "@sqlite.shop",
    in_shop("customers", "id int64", "name utf8", "country utf8", primary_key=["id"]),
    in_shop("orders", "id int64", "customer_id int64", "total int64", primary_key=["id"]),
    in_shop("order_items", "order_id int64", "sku utf8"),
    in_shop("secrets", "id int64", "token utf8"),
)
FILES = source("data/*", table("data/flights.parquet", "carrier utf8"), table("data/airlines.csv", "carrier utf8"))
CHOICES = read_names(names(SHOP, FILES))
