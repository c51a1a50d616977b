"""What a plan will do: rows, targets, and new flows of data."""

import copy

import pytest

from osiris.api.plan import data_flows, plan_view
from osiris.model import Described, Manifest
from osiris.report.plan import columns_text, flow_text, size_text, target_text

REPORT = ("data/orders.csv", "output/report.csv")


def rows_of(plans, root, rows, keeping):
    load = plans.step("load", "reader", columns=["x int64"], config={"path": "x.csv"})
    turn = plans.step("turn", "query", columns=["x int64"], inputs=["load"], config={"query": "SELECT x FROM load"})
    save = plans.step("save", "writer", inputs=["turn"], config={"path": "y.csv"})
    described = {"load": Described((), rows=rows)}
    view = plan_view(root, plans.plan(load, turn, save), described, None, keeping=keeping)
    return [step.rows for step in view.steps]


def test_rows_go_as_far_as_they_are_certain(plans, tmp_path):
    assert rows_of(plans, tmp_path, 7, {"turn"}) == [7, 7, 7]
    assert rows_of(plans, tmp_path, 7, ()) == [7, None, None]
    assert rows_of(plans, tmp_path, None, {"turn"}) == [None, None, None]


def test_of_two_inputs_or_a_step_without_sql_no_rows_are_certain(plans, tmp_path):
    said = {name: Described((), rows=5) for name in ("orders", "people")}
    view = plan_view(tmp_path, plans.shop(), said, None)
    assert {step.id: step.rows for step in view.steps} == {
        "orders": 5,
        "people": 5,
        "joined": None,
        "boxed": None,
        "boxes": None,
        "report": None,
    }


def test_targets_say_what_will_happen_to_them(plans, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "report.csv").write_bytes(b"x" * 1234)
    view = plan_view(tmp_path, plans.shop(), {}, None)
    assert [target_text(target) for target in view.targets] == [
        "creates output/boxes.csv",
        "replaces output/report.csv (1 kB)",
    ]
    assert {target.delivery for target in view.targets} == {"atomic_replace"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"path": "output/${run.id}.csv"}, "creates output/${run.id}.csv"),
        ({"table": "t", "write_mode": "replace"}, "creates or replaces @lake.main.t"),
        ({"table": "t", "write_mode": "append"}, "appends to @lake.main.t"),
        ({"table": "t", "write_mode": "upsert"}, "upserts into @lake.main.t"),
        ({"table": "t"}, "writes @lake.main.t"),
    ],
)
def test_tables_and_names_of_each_run(plans, tmp_path, config, expected):
    load = plans.step("load", "reader", columns=["x int64"], config={"path": "x.csv"})
    connection = "@lake.main" if "table" in config else None
    save = plans.step("save", "writer", inputs=["load"], config=config, connection=connection)
    (target,) = plan_view(tmp_path, plans.plan(load, save), {}, None).targets
    assert target_text(target) == expected


@pytest.mark.parametrize(
    ("mode", "state", "expected"),
    [
        ("replace", "there", "replaces @lake.main.t"),
        ("append", "there", "appends to @lake.main.t"),
        ("replace", "absent", "creates @lake.main.t"),
        ("upsert", "absent", "creates @lake.main.t"),
    ],
)
def test_tables_that_were_looked_at(plans, tmp_path, mode, state, expected):
    load = plans.step("load", "reader", columns=["x int64"], config={"path": "x.csv"})
    config = {"table": "t", "write_mode": mode}
    save = plans.step("save", "writer", inputs=["load"], config=config, connection="@lake.main")
    (target,) = plan_view(tmp_path, plans.plan(load, save), {}, None, {"save": state}).targets
    assert target_text(target) == expected


def test_the_first_plan_has_only_new_flows(plans, tmp_path):
    view = plan_view(tmp_path, plans.shop(), {}, None)
    assert view.previous is None
    assert view.new_flows == view.flows
    assert {(flow.source, flow.target): dict(flow.columns) for flow in view.flows}[REPORT] == {
        "amount": "aggregate",
        "id": "value",
    }


def test_a_plan_that_is_as_it_was_has_no_new_flow(plans, tmp_path):
    assert plan_view(tmp_path, plans.shop(), {}, plans.shop()).new_flows == ()


def changed(manifest, columns):
    data = copy.deepcopy(dict(manifest.data))
    next(step for step in data["steps"] if step["id"] == "joined")["lineage"]["columns"] |= columns
    return Manifest(data)


def test_columns_that_newly_reach_a_target_are_named(plans, tmp_path):
    after = changed(plans.shop(), {"name": [["people", "name", "copy"], ["orders", "customer", "value"]]})
    flows = plan_view(tmp_path, after, {}, plans.shop()).new_flows
    assert [flow_text(flow) for flow in flows] == [
        "data/orders.csv -> output/boxes.csv: customer (unknown)",
        "data/orders.csv -> output/report.csv: customer (value)",
    ]
    assert not any(flow.whole for flow in flows)


def test_a_column_that_comes_closer_to_a_copy_is_new_and_one_that_goes_away_is_not(plans, tmp_path):
    closer = changed(plans.shop(), {"total": [["orders", "amount", "copy"]]})
    (flow,) = plan_view(tmp_path, closer, {}, plans.shop()).new_flows
    assert (flow.target, dict(flow.columns)) == ("output/report.csv", {"amount": "copy"})
    assert plan_view(tmp_path, plans.shop(), {}, closer).new_flows == ()


def test_a_source_that_only_decides_rows_flows_too(plans):
    load = plans.step("load", "reader", columns=["x int64"], config={"path": "x.csv"})
    lineage = {"columns": {"one": []}, "rows": [["load", "x"]]}
    turn = plans.step("turn", "query", columns=["one int64"], inputs=["load"], lineage=lineage)
    save = plans.step("save", "writer", inputs=["turn"], config={"path": "y.csv"})
    assert data_flows(plans.plan(load, turn, save)) == {("x.csv", "y.csv"): {}}


def test_the_view_is_plain_data(plans, tmp_path):
    data = plan_view(tmp_path, plans.shop(), {}, None).to_json()
    assert data["steps"][0]["columns"][0] == {"name": "id", "type": "int64", "nullable": True}
    assert data["flows"][0].keys() == {"source", "target", "columns", "whole"}


def test_words_for_people(plans, tmp_path):
    columns = plan_view(tmp_path, plans.shop(), {}, None).steps[0].columns
    assert columns_text(columns) == "id int64, customer int64, amount float64"
    assert columns_text(columns, 2) == "id int64, customer int64, … (3 columns)"
    assert [size_text(number) for number in (0, 999, 1000, 12_345_678, 999_600, 10**16)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "12 MB",
        "1 MB",
        "10000 TB",
    ]
