"""A pipeline that a request can express is parsed into it; anything else becomes SQL of a step, or no request."""

import pytest
from tests.unit.chat.test_render import CHOICES, CUSTOMERS, request, sql
from tests.unit.chat.test_request_json import EXAMPLES

from osiris.chat.parse_request import parse_request
from osiris.chat.render import render_request
from osiris.chat.request import Check, Filter, Group, Measure, Output, Parameter, Request, Sort, Source, Step, Typed

WHOLE = Request(
    "whole",
    (Source("@sqlite.shop/orders", ("status", "qty", "d"), "latin-1", (Typed("qty", "int32"),), "quarantine", "raw"),),
    (
        Step(
            "t",
            "raw",
            filters=(Filter("d", ">=", parameter="since"), Filter("status", "is not empty")),
            group=(Group("status"), Group("d", "month", "m")),
            measures=(Measure("n", "count"), Measure("part", "share of total", of="n")),
            sort=(Sort("n", descending=True),),
            checks=(
                Check("row_count", minimum="1"),
                Check("unique", ("status", "m")),
                Check("range", ("n",), minimum="0"),
            ),
        ),
    ),
    (
        Output("t", "filesystem.csv_writer", path="output/other.csv", name="report"),
        Output("t", "duckdb.writer", "@duckdb.warehouse", table="t", mode="upsert", key=("status", "m")),
    ),
    (Parameter("since", "date", "2025-01-01"), Parameter("most", "integer", "3")),
)


@pytest.mark.parametrize("given", [*(example for example in EXAMPLES if not example.assumptions), WHOLE])
def test_a_request_comes_back(given):
    text = render_request(given, CHOICES)
    again = parse_request(text, CHOICES)

    assert render_request(again, CHOICES) == text
    assert [step.sql is None for step in again.steps] == [step.sql is None for step in given.steps]
    assert (again.sources, again.outputs, again.parameters) == (given.sources, given.outputs, given.parameters)


def test_the_parts_of_a_step_come_back_as_they_were():
    assert parse_request(render_request(WHOLE, CHOICES), CHOICES) == WHOLE


STEP = Step("t", "orders", joins=(CUSTOMERS,), filters=(Filter("orders.status", "=", ("paid",)),))
TEXT = render_request(request(STEP, Step("u", "t", limit=3)), CHOICES)


def test_another_value_or_layout_is_the_same_request_otherwise():
    edited = TEXT.replace("'paid'", "'it''s ${not}'").replace("${not}", "open").replace("LEFT JOIN", "left  join")
    again = parse_request(edited, CHOICES)

    assert again.steps[0].filters == (Filter("status", "=", ("it's open",)),)
    assert again.steps[0].joins == (CUSTOMERS,)


@pytest.mark.parametrize(
    "edit",
    [
        ("= 'paid'", "LIKE 'paid'"),
        ("= 'paid'", "= upper('paid')"),
        ("orders.customer_id = customers.id", "orders.customer_id = customers.id AND orders.qty > 1"),
        ("orders.customer_id = customers.id", "orders.customer_id >= customers.id"),
        ("LEFT JOIN", "FULL JOIN"),
        ("WHERE orders.status = 'paid'", "WHERE orders.status = 'paid' -- only these"),
        ("orders.amount,", "orders.amount + 1 AS amount,"),
        ("FROM orders", "FROM orders AS orders"),
    ],
)
def test_sql_that_no_step_says_is_kept_as_it_is(edit):
    assert edit[0] in TEXT
    edited = TEXT.replace(*edit, 1)
    again = parse_request(edited, CHOICES)

    assert again.steps[0].sql is not None
    assert again.steps[0].sql.split() == sql_of(edited).split()
    assert again.steps[1] == Step("u", "t", limit=3)


def sql_of(text):
    import yaml

    return next(each for each in yaml.safe_load(text)["steps"] if each["id"] == "t")["config"]["query"]


@pytest.mark.parametrize(
    "edit",
    [
        ("name: totals", "name: totals # nightly"),
        ("name: totals", "name: totals\nmetadata: {owner: me}"),
        ("name: totals", "name: totals\nschedule: daily"),
        ("table: orders", "table: orders, timeout: 5m"),
        ("table: orders", "table: other"),
        ("needs: [t]", "inputs: {rows: '@t'}"),
        ("filesystem.parquet_writer", "filesystem.unknown_writer"),
        ("config: {path: output/totals.parquet}", "config: {path: output/totals.parquet, compression: zstd}"),
        ("name: totals", "name: [totals"),
        ("component: duckdb.processor", "component: duckdb.other"),
    ],
)
def test_what_a_request_cannot_say_is_none(edit):
    assert edit[0] in TEXT

    assert parse_request(TEXT.replace(*edit, 1), CHOICES) is None


def test_nothing_is_lost_where_steps_follow_each_other_without_needs():
    text = TEXT.replace("    needs: [orders, customers]\n", "", 1)

    assert parse_request(text, CHOICES) is None
    assert sql(STEP)
