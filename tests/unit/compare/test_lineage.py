"""Columns followed upstream to their sources, and downstream to everything they affect."""

import pytest

from osiris.compare.lineage import Arrow, StepColumn, flow_of, label_of, read_lineage, source_name

TOTAL = StepColumn("joined", "total")
AMOUNT = StepColumn("orders", "amount")


def test_upstream_has_every_arrow_once_and_the_nearest_first(plans):
    lineage = read_lineage(plans.shop())
    report = StepColumn("report", "total")
    assert lineage.upstream(report) == [Arrow(TOTAL, report, "copy"), Arrow(AMOUNT, TOTAL, "aggregate")]
    assert lineage.upstream(AMOUNT) == []


def test_origins_are_source_columns_with_the_farthest_kind(plans):
    lineage = read_lineage(plans.shop())
    assert lineage.origins(StepColumn("report", "name")) == {StepColumn("people", "name"): "copy"}
    assert lineage.origins(StepColumn("report", "largest")) == {
        AMOUNT: "aggregate",
        StepColumn("orders", "id"): "value",
    }
    assert lineage.origins(AMOUNT) == {AMOUNT: "copy"}


def test_of_two_ways_the_farther_counts(plans):
    load = plans.step("load", "reader", columns=["x int64"], config={"path": "x"})
    one = plans.step(
        "one",
        "query",
        columns=["a int64", "b int64"],
        inputs=["load"],
        lineage={"columns": {"a": [["load", "x", "copy"]], "b": [["load", "x", "aggregate"]]}, "rows": []},
    )
    two = plans.step(
        "two",
        "query",
        columns=["c int64"],
        inputs=["one"],
        lineage={"columns": {"c": [["one", "a", "copy"], ["one", "b", "value"]]}, "rows": []},
    )
    lineage = read_lineage(plans.plan(load, one, two))
    assert lineage.origins(StepColumn("two", "c")) == {StepColumn("load", "x"): "aggregate"}
    assert lineage.reached({StepColumn("load", "x"): "copy"}).columns[StepColumn("two", "c")] == "aggregate"


def test_a_step_that_does_not_tell_may_use_everything(plans):
    lineage = read_lineage(plans.shop())
    assert set(lineage.origins(StepColumn("boxes", "size")).values()) == {"unknown"}
    assert {str(column) for column in lineage.origins(StepColumn("boxes", "size"))} == {
        "orders.amount",
        "orders.id",
        "people.name",
    }
    assert AMOUNT in lineage.row_origins("boxes")


def test_rows_are_decided_by_columns_of_all_steps_above(plans):
    lineage = read_lineage(plans.shop())
    deciding = [StepColumn("orders", "customer"), StepColumn("people", "id"), StepColumn("people", "name")]
    assert lineage.row_origins("report") == lineage.row_origins("joined") == deciding
    assert lineage.row_origins("orders") == []
    assert lineage.above("report") == ["report", "joined", "orders", "people"]


def test_reached_tells_columns_and_the_steps_whose_rows_are_decided(plans):
    lineage = read_lineage(plans.shop())
    found = lineage.reached({AMOUNT: "copy"})
    assert found.columns[StepColumn("report", "total")] == "aggregate"
    assert StepColumn("report", "name") not in found.columns
    assert found.rows == {"boxed", "boxes"}
    assert lineage.reached({StepColumn("orders", "customer"): "copy"}).rows == {"joined", "boxed", "boxes", "report"}
    assert lineage.reached({}, ["boxed"]).rows == {"boxed", "boxes"}


def test_a_column_that_nobody_made_has_no_origin(plans):
    load = plans.step("load", "reader", columns=["x int64"], config={"path": "x"})
    ones = plans.step("ones", "query", columns=["one int64"], inputs=["load"], lineage={"columns": {}, "rows": []})
    lineage = read_lineage(plans.plan(load, ones))
    assert lineage.origins(StepColumn("ones", "one")) == {}
    assert lineage.reached({StepColumn("load", "x"): "copy"}).columns == {StepColumn("load", "x"): "copy"}


@pytest.mark.parametrize(
    ("config", "connection", "expected"),
    [
        ({"path": "data/a.csv"}, None, "data/a.csv"),
        ({"path": "./data//a.csv"}, None, "data/a.csv"),
        ({"path": "a.csv"}, "@filesystem.drop", "drop/zone/a.csv"),
        ({"path": "a.csv"}, "@filesystem.plain", "a.csv"),
        ({"table": "orders"}, "@lake.main", "@lake.main.orders"),
        ({"table": "orders", "schema": "sales"}, "@lake.main", "@lake.main.sales.orders"),
        ({"table": "orders", "schema": "main"}, "@lake.main", "@lake.main.orders"),
        ({"query": "SELECT 1"}, "@lake.main", "@lake.main (load)"),
        ({}, None, "lake.reader (load)"),
    ],
)
def test_sources_and_targets_are_named_as_people_do(plans, config, connection, expected):
    load = plans.step("load", "reader", config=config, connection=connection)
    fields = {"@filesystem.drop": {"base_dir": "drop/zone"}, "@filesystem.plain": {}, "@lake.main": {"path": "l.db"}}
    assert label_of(load, fields) == expected


def test_columns_of_sources_are_named_as_people_do():
    assert source_name("data/a.csv", "x") == "data/a.csv#x"
    assert source_name("@lake.main.orders", "x") == "@lake.main.orders.x"


def test_a_long_chain_is_walked(plans):
    steps = [plans.step("s0000", "reader", columns=["x int64"], config={"path": "x"})]
    for number in range(1, 3000):
        above = steps[-1]["id"]
        lineage = {"columns": {"x": [[above, "x", "copy"]]}, "rows": []}
        steps.append(plans.step(f"s{number:04}", "query", columns=["x int64"], inputs=[above], lineage=lineage))
    walked = read_lineage(plans.plan(*steps))
    assert walked.origins(StepColumn("s2999", "x")) == {StepColumn("s0000", "x"): "copy"}
    assert len(walked.reached({StepColumn("s0000", "x"): "copy"}).columns) == 3000


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM orders", "@postgres.shop.orders"),
        ("SELECT * FROM public.orders", "@postgres.shop.orders"),
        ("SELECT * FROM sales.orders", "@postgres.shop.sales.orders"),
    ],
)
def test_a_table_of_a_query_is_named_like_one_of_a_step(query, expected):
    step = {"id": "rows", "mode": "read", "component": "postgres.extractor", "connection": "@postgres.shop"}
    step |= {"config": {"query": query}, "sql": {"query": "postgres"}}
    (read,) = flow_of([step], {}).reads
    assert read.sources == (expected,)
