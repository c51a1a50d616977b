"""Plans written by hand, for code that only reads them."""

import pytest

from osiris.model import Manifest

MODES = {"reader": "read", "query": "transform", "box": "transform", "writer": "write"}


def step(name, component, *, columns=(), inputs=(), config=None, **more):
    """Return a step as manifests have it; `columns` are `name type`, `inputs` ids of the steps it reads."""
    fields = [dict(zip(("name", "type"), column.split(" ", 1), strict=True), nullable=True) for column in columns]
    mode = MODES[component]
    return {
        "id": name,
        "component": f"lake.{component}",
        "mode": mode,
        "config": config or {},
        "sql": {"query": "duckdb"} if "query" in (config or {}) else {},
        "connection": None,
        "needs": sorted(inputs),
        "inputs": {source: source for source in inputs},
        "delivery": "atomic_replace" if mode == "write" else None,
        "schema": None if mode == "write" else fields,
        "order": "free",
        "lineage": None,
        "fused": [],
        **more,
    }


def plan(*steps, name="p", fingerprint="a" * 64, connections=None):
    data = {"name": name, "description": None}
    return Manifest({"pipeline": data, "fingerprint": fingerprint, "connections": connections or {}, "steps": steps})


def shop(**more):
    """Return a plan of three sources, a join, a step without lineage, and two targets."""
    orders = step(
        "orders", "reader", columns=["id int64", "customer int64", "amount float64"], config={"path": "data/orders.csv"}
    )
    people = step("people", "reader", columns=["id int64", "name utf8"], config={"path": "data/people.csv"})
    joined = step(
        "joined",
        "query",
        columns=["name utf8", "total float64", "largest float64"],
        inputs=["orders", "people"],
        config={"query": "SELECT 1 AS name"},
        lineage={
            "columns": {
                "name": [["people", "name", "copy"]],
                "total": [["orders", "amount", "aggregate"]],
                "largest": [["orders", "amount", "aggregate"], ["orders", "id", "value"]],
            },
            "rows": [["orders", "customer"], ["people", "id"], ["people", "name"]],
        },
    )
    boxed = step("boxed", "box", columns=["size int64", "note utf8"], inputs=["joined"])
    report = step("report", "writer", inputs=["joined"], config={"path": "output/report.csv"})
    boxes = step("boxes", "writer", inputs=["boxed"], config={"path": "output/boxes.csv"})
    return plan(orders, people, joined, boxed, boxes, report, **more)


class Plans:
    """Functions that make plans."""

    step, plan, shop = staticmethod(step), staticmethod(plan), staticmethod(shop)


@pytest.fixture
def plans():
    return Plans
