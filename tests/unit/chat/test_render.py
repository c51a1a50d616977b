"""A request is rendered to the text that a person would write: every part, and every name that needs quotes."""

import duckdb
import pytest
import yaml
from tests.unit.chat.worlds import in_shop, names, source

from osiris.chat.choices import read_names
from osiris.chat.parse_request import parse_request
from osiris.chat.render import fields_of, problems_of, render_request
from osiris.chat.request import (
    Check,
    Chosen,
    Computed,
    Filter,
    Group,
    Join,
    Match,
    Measure,
    Output,
    Parameter,
    Pick,
    Pivot,
    Request,
    Sort,
    Source,
    Step,
    Typed,
)
from osiris.errors import InvalidInput
from osiris.sql import check

ORDERS = (
    *("id int64", "customer_id int64", "amount decimal(10,2)", "qty int32", "price float64", "d date"),
    *("ts timestamp[us]", "status utf8", "ok bool", "order utf8"),
)
CUSTOMER = ("id int64", "name utf8", "status utf8")
CHOICES = read_names(names(source("@sqlite.shop", in_shop("orders", *ORDERS), in_shop("customers", *CUSTOMER))))
SOURCES = (Source("@sqlite.shop/orders"), Source("@sqlite.shop/customers"))
CUSTOMERS = Join("customers", (Match("customer_id", "id"),), "keep")


def request(*steps, **more):
    outputs = more.pop("outputs", (Output(steps[-1].name, "filesystem.parquet_writer"),))
    return Request("totals", SOURCES, steps, outputs, **more)


def sql(*steps, **more):
    document = yaml.safe_load(render_request(request(*steps, **more), CHOICES))
    return [step["config"]["query"] for step in document["steps"] if step["component"] == "duckdb.processor"][
        -1
    ].strip()


def test_groups_and_measures_read_as_one_would_write_them():
    step = Step(
        "per_status",
        "orders",
        filters=(Filter("status", "=", ("paid",)), Filter("ts", "<=", ("2025-12-31",))),
        group=(Group("status"), Group("d", "month")),
        measures=(Measure("n", "count"), Measure("amount", "sum", "amount")),
        sort=(Sort("amount", descending=True),),
        limit=10,
    )
    assert sql(step) == (
        "SELECT status, CAST(date_trunc('month', d) AS DATE) AS month, count(*) AS n, sum(amount) AS amount\n"
        "FROM orders\n"
        "WHERE status = 'paid'\n"
        "  AND CAST(ts AS DATE) <= DATE '2025-12-31'\n"
        "GROUP BY status, CAST(date_trunc('month', d) AS DATE)\n"
        "ORDER BY amount DESC\n"
        "LIMIT 10"
    )


def test_what_is_computed_stands_below_what_uses_it():
    step = Step(
        "t",
        "orders",
        compute=(Computed("total", "multiply", "amount", "qty"), Computed("order_2", "upper", "order")),
        group=(Group("order_2"),),
        measures=(Measure("total", "sum", "total"), Measure("price", "average", "price")),
    )
    assert sql(step) == (
        "WITH computed AS (\n"
        '  SELECT *, amount * qty AS total, upper("order") AS order_2\n'
        "  FROM orders\n"
        ")\n"
        "SELECT order_2, sum(total) AS total, avg(price ORDER BY price) AS price\n"
        "FROM computed\n"
        "GROUP BY order_2"
    )


def test_of_two_columns_with_one_name_the_joined_one_is_named_by_its_step():
    step = Step("t", "orders", joins=(CUSTOMERS,), columns=(Chosen("id"), Chosen("customers.status"), Chosen("name")))

    assert sql(step) == (
        "SELECT orders.id, customers.status AS customers_status, customers.name\n"
        "FROM orders\n"
        "LEFT JOIN customers ON orders.customer_id = customers.id"
    )
    assert [each.name for each in fields_of(request(step), CHOICES, "t")] == ["id", "customers_status", "name"]


def test_what_is_joined_a_second_time_has_a_number():
    again = Join("customers", (Match("qty", "id"),))
    step = Step("t", "orders", joins=(CUSTOMERS, again), columns=(Chosen("name"), Chosen("customers_2.name", "other")))

    assert "JOIN customers AS customers_2 ON orders.qty = customers_2.id" in sql(step)
    assert "customers_2.name AS other" in sql(step)


def test_keys_of_what_is_joined_come_out_only_if_they_are_chosen():
    fields = fields_of(request(Step("t", "orders", joins=(CUSTOMERS,))), CHOICES, "t")

    assert [each.name for each in fields][-2:] == ["name", "customers_status"]


def test_a_day_of_a_timestamp_is_the_whole_day_and_empty_values_differ_from_others():
    step = Step("t", "orders", filters=(Filter("ts", "=", ("2025-01-31",)), Filter("status", "not in", ("a", "b"))))

    assert "CAST(ts AS DATE) = DATE '2025-01-31'" in sql(step)
    assert "(status NOT IN ('a', 'b') OR status IS NULL)" in sql(step)


@pytest.mark.parametrize(("one", "other"), [("ts", "d"), ("d", "ts")])
def test_a_day_of_another_column_is_the_whole_day_too(one, other):
    step = Step("t", "orders", filters=(Filter(one, "=", other=other),))

    written = {"ts": "CAST(ts AS DATE)", "d": "d"}
    assert f"WHERE {written[one]} = {written[other]}" in sql(step)
    assert parse_request(render_request(request(step), CHOICES), CHOICES).steps == (step,)


@pytest.mark.parametrize("operator", ["between", "in", "not in"])
def test_days_are_not_mixed_with_moments(operator):
    step = Step("t", "orders", filters=(Filter("ts", operator, ("2025-01-01 06:00", "2025-01-31")),))

    with pytest.raises(InvalidInput) as caught:
        sql(step)
    assert "whole days" in caught.value.diagnostics[0].message


def test_texts_never_become_syntax_or_placeholders():
    step = Step("t", "orders", filters=(Filter("status", "=", ("a'; DROP ${params.x} {{ y }}\n  b",)),))

    text = "'a''; DROP $' || '{params.x} {' || '{ y }}' || chr(10) || '  b'"
    assert f"status = {text}" in sql(step)


def test_a_parameter_stands_by_its_name_and_has_a_default_of_its_type():
    step = Step("t", "orders", filters=(Filter("d", ">=", parameter="since"), Filter("qty", ">", parameter="least")))
    given = request(step, parameters=(Parameter("since", "date", "2025-01-01"), Parameter("least", "integer", "3")))
    document = yaml.safe_load(render_request(given, CHOICES))

    assert document["params"] == {
        "since": {"type": "date", "default": "2025-01-01"},
        "least": {"type": "integer", "default": 3},
    }
    assert "WHERE d >= ${params.since}\n  AND qty > ${params.least}" in sql(step, parameters=given.parameters)


def test_sources_outputs_and_checks_have_their_options():
    checks = (Check("row_count", minimum="1"), Check("unique", ("status",)), Check("range", ("n",), minimum="0"))
    step = Step("t", "orders", group=(Group("status"),), measures=(Measure("n", "count"),), checks=checks)
    outputs = (
        Output("t", "filesystem.parquet_writer", partition_by=("status",)),
        Output("t", "duckdb.writer", "@duckdb.warehouse", table="t", mode="upsert", key=("status",)),
    )
    read = Source("@sqlite.shop/orders", ("status", "qty"), "latin-1", (Typed("qty", "utf8"),), "quarantine", "raw")
    given = Request(
        "totals", (read,), (Step("t", "raw", group=step.group, measures=step.measures, checks=checks),), outputs
    )
    document = yaml.safe_load(render_request(given, CHOICES, "in words"))

    assert document["oml_version"] == "0.2.0"
    assert document["description"] == "in words"
    by_id = {each["id"]: each["config"] for each in document["steps"]}
    assert by_id["raw"] == {
        "connection": "@sqlite.shop",
        "table": "orders",
        "columns": ["status", "qty"],
        "encoding": "latin-1",
        "dtype": {"qty": "utf8"},
        "on_reject": "quarantine",
    }
    assert by_id["t"]["checks"] == [
        {"row_count": {"min": 1}},
        {"unique": ["status"]},
        {"range": {"column": "n", "min": 0}},
    ]
    assert by_id["save_t"] == {"path": "output/totals_t/", "partition_by": ["status"]}
    assert by_id["save_t_2"] == {
        "connection": "@duckdb.warehouse",
        "table": "t",
        "write_mode": "upsert",
        "primary_key": ["status"],
    }


def test_raw_sql_is_kept_and_its_columns_are_known():
    raw = Step("t", sql="SELECT id, amount * 2 AS double\r\nFROM orders;\n", inputs=("orders",))

    assert sql(raw) == "SELECT id, amount * 2 AS double\nFROM orders"
    assert [(each.name, each.type) for each in fields_of(request(raw), CHOICES, "t")] == [
        ("id", "int64"),
        ("double", "decimal(18,2)"),
    ]


SPELLED = [
    ("decimal(10,2) 1.234,5", {"1.234,50": "1234.50", "7,05": "7.05", "-12": "-12.00", None: None}),
    ("date %d.%m.%Y or %Y-%m-%d", {"31.12.1939": "1939-12-31", "2025-01-05": "2025-01-05", None: None}),
]


@pytest.mark.parametrize(("value", "rows"), SPELLED)
def test_a_text_is_converted_as_it_is_spelled_and_comes_back(value, rows):
    made = request(Step("t", "orders", compute=(Computed("x", "convert", "status", value=value),)))
    with duckdb.connect() as engine:
        engine.execute("CREATE TABLE orders (status VARCHAR)")
        engine.executemany("INSERT INTO orders VALUES (?)", [(text,) for text in rows])
        query = sql(made.steps[0]).replace("SELECT *,", "SELECT status,")
        assert {text: None if x is None else str(x) for text, x in engine.execute(query).fetchall()} == rows
    assert parse_request(render_request(made, CHOICES), CHOICES).steps == made.steps


@pytest.mark.parametrize("text", ["7.5", "1234.56", "1,234.5", "1.23,5", "x", ""])
def test_a_number_that_is_spelled_otherwise_fails_the_run(text):
    query = sql(Step("t", "orders", compute=(Computed("x", "convert", "status", value=SPELLED[0][0]),)))
    with duckdb.connect() as engine:
        engine.execute("CREATE TABLE orders AS SELECT ? AS status", [text])
        with pytest.raises(duckdb.ConversionException):
            engine.execute(query).fetchall()


def test_a_column_called_as_a_joined_one_would_be_is_refused():
    choices = read_names(
        names(source("@sqlite.shop", in_shop("a", "id int64", "b.id int64"), in_shop("b", "id int64", "v utf8")))
    )
    step = Step("t", "a", joins=(Join("b", (Match("id", "id"),)),))
    asked = Request(
        "p",
        tuple(Source(f"@sqlite.shop/{each}") for each in "ab"),
        (step,),
        (Output("t", "filesystem.parquet_writer"),),
    )
    (problem,) = problems_of(asked, choices)
    assert "b.id" in problem.problem


@pytest.mark.parametrize(
    ("step", "pointer", "hint"),
    [
        (Step("t", "order"), "/steps/0/input", "orders"),
        (Step("t", "orders", filters=(Filter("statu", "=", ("x",)),)), "/steps/0/filters/0/column", "status"),
        (Step("t", "orders", filters=(Filter("qty", "=", ("many",)),)), "/steps/0/filters/0/values", "1234.5"),
        (Step("t", "orders", filters=(Filter("d", "=", ("31.12.2024",)),)), "/steps/0/filters/0/values", "2025-12-31"),
        (Step("t", "orders", filters=(Filter("qty", "contains", ("1",)),)), "/steps/0/filters/0/operator", None),
        (Step("t", "orders", compute=(Computed("qty", "absolute", "qty"),)), "/steps/0/compute/0/name", "another name"),
        (Step("t", "orders", compute=(Computed("x", "add", "status", "qty"),)), "/steps/0/compute/0/column", "convert"),
        (Step("t", "orders", measures=(Measure("x", "sum", "status"),)), "/steps/0/measures/0/column", "convert"),
        (Step("t", "orders", joins=(Join("customers", (Match("status", "id"),)),)), "/steps/0/joins/0/on/0", "convert"),
        (Step("t", "orders", pick=Pick(("status",), ())), "/steps/0/pick", None),
        (Step("t", "orders", pivot=Pivot("status", (), "count")), "/steps/0/pivot/values", "name the values"),
        (Step("t", "orders", sort=(Sort("x"),)), "/steps/0/sort/0/column", None),
        (Step("t", "orders", limit=10**30), "/steps/0/limit", None),
        (Step("t", "orders", compute=(Computed("x", "upper", "status", new="y"),)), "/steps/0/compute/0/new", None),
        (Step("t", "orders", compute=(Computed("x", "upper", "status", value="y"),)), "/steps/0/compute/0/value", None),
        (Step("t", "orders", compute=(Computed("x", "upper", "status", "id"),)), "/steps/0/compute/0/value", None),
        (Step("t", "orders", measures=(Measure("x", "sum", "qty", of="y"),)), "/steps/0/measures/0/of", "column"),
        (
            Step("t", "orders", measures=(Measure("n", "count"), Measure("x", "share of total", "qty", of="n"))),
            "/steps/0/measures/1/column",
            "'of'",
        ),
        (
            Step("t", "orders", columns=(Chosen("qty", "Amount"), Chosen("id")), sort=(Sort("amount"),)),
            "/steps/0/sort/0/column",
            "another name",
        ),
        (Step("orders", "orders"), "/steps/0/name", "another name"),
        (Step("select", "orders"), "/steps/0/name", "SQL word"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(step, pointer, hint):
    (problem,) = problems_of(request(step), CHOICES)

    assert problem.pointer == pointer
    assert hint is None or hint in problem.hint
    with pytest.raises(InvalidInput) as caught:
        render_request(request(step), CHOICES)
    assert [(each.code, each.location.pointer) for each in caught.value.diagnostics] == [("CHT041", pointer)]


def test_every_word_of_the_engine_can_name_a_column():
    words = [
        word for (word,) in duckdb.sql("SELECT DISTINCT keyword_name FROM duckdb_keywords() ORDER BY 1").fetchall()
    ]
    choices = read_names(names(source("@sqlite.shop", in_shop("orders", *(f"{word} int64" for word in words)))))
    step = Step("t", "orders", group=tuple(map(Group, words)))
    given = Request("x", SOURCES[:1], (step,), (Output("t", "filesystem.csv_writer"),))
    document = yaml.safe_load(render_request(given, choices))
    verdict = check(document["steps"][1]["config"]["query"], "duckdb", relations={"orders": words})

    assert verdict.ok, verdict.diagnostics
    engine = duckdb.connect()
    columns = [f'"{word}" BIGINT' for word in words]
    engine.execute(f"CREATE TABLE orders ({', '.join(columns)})")
    assert [each[0] for each in engine.execute(verdict.canonical).description] == words
