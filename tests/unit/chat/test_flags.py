"""Flags become a request and back, and a word that is not exactly a name is never taken for another one."""

import shlex

import pytest
from tests.unit.chat.worlds import in_shop, names, source, table

from osiris.chat.choices import read_names
from osiris.chat.flags import request_of
from osiris.chat.guide.flag_line import command_line
from osiris.chat.request import (
    Chosen,
    Computed,
    Filter,
    Group,
    Join,
    Match,
    Measure,
    Output,
    Pick,
    Request,
    Sort,
    Source,
    Step,
    Typed,
)
from osiris.cli.new import FLAGS
from osiris.errors import InvalidInput

ORDERS = ("id int64", "customer_id int64", "amount decimal(10,2)", "qty int64", "status utf8", "d date", "Region utf8")
CHOICES = read_names(
    names(
        source(
            "data/*",
            table("data/orders.csv", *ORDERS, "AT utf8", "code utf8"),
            table("data/odd.csv", "AT utf8", "at utf8"),
            table("data/years.csv", "2023 int64", "2024 int64", "kg int64"),
        ),
        source("@sqlite.shop", in_shop("customers", "id int64", "name utf8", "status utf8")),
        targets=("@duckdb.warehouse",),
    )
)
SINGLE_QUOTED = "status = 'paid'"
HOME = {"from": ("data/orders.csv",), "to": ("output/x.parquet",)}
PARQUET = Output("result", "filesystem.parquet_writer", path="output/x.parquet")


def read(**flags):
    given = {name.replace("_", "-"): (value,) if isinstance(value, str) else value for name, value in flags.items()}
    return request_of({**HOME, **given}, CHOICES)


def made(*sources, output=PARQUET, name="x", **parts):
    step = Step("result", "orders", **parts)
    return Request(name, (Source("data/orders.csv"), *map(Source, sources)), (step,), (output,))


def flags_of(line):
    """Return the flags of a command line, as a shell and the command parse them."""
    words = shlex.split(line)[2:]
    found = {}
    while words:
        name = words.pop(0).removeprefix("--")
        found.setdefault(name, []).append("" if name == "count" else words.pop(0))
    assert found.keys() <= {*FLAGS}
    return {name: tuple(values) for name, values in found.items()}


CASES = [
    (
        {},
        Request("x", (Source("data/orders.csv"),), (), (Output("orders", PARQUET.component, path="output/x.parquet"),)),
    ),
    ({"where": "status = paid"}, made(filters=(Filter("status", "=", ("paid",)),))),
    (
        {"where": ("AT = AT", "code = col:AT", "amount >= -5.5")},
        made(filters=(Filter("AT", "=", ("AT",)), Filter("code", "=", other="AT"), Filter("amount", ">=", ("-5.5",)))),
    ),
    (
        {"where": ('status in US, AT, "a, b"', "d between 2024-01-01 and 2024-12-31", "status is not empty")},
        made(
            filters=(
                Filter("status", "in", ("US", "AT", "a, b")),
                Filter("d", "between", ("2024-01-01", "2024-12-31")),
                Filter("status", "is not empty"),
            )
        ),
    ),
    (
        {"where": ("status = on the and or = in", "status contains  col:x y")[:1]},
        made(filters=(Filter("status", "=", ("on the and or = in",)),)),
    ),
    (
        {"group": ("status", "month(d) as m"), "count": "", "sum": "amount", "avg": "qty as q", "share": "sum_amount"},
        made(
            group=(Group("status"), Group("d", "month", "m")),
            measures=(
                Measure("rows", "count"),
                Measure("sum_amount", "sum", "amount"),
                Measure("q", "average", "qty"),
                Measure("share_sum_amount", "share of total", of="sum_amount"),
            ),
        ),
    ),
    (
        {
            "group": "status",
            "sum": "amount",
            "count": "",
            "ratio": "sum_amount / rows as per",
            "sort": "per desc",
            "limit": "3",
        },
        made(
            group=(Group("status"),),
            measures=(
                Measure("rows", "count"),
                Measure("sum_amount", "sum", "amount"),
                Measure("per", "ratio", of="sum_amount", over="rows"),
            ),
            sort=(Sort("per", descending=True),),
            limit=3,
        ),
    ),
    (
        {
            "compute": (
                "total = amount * qty",
                "half = total / 2",
                "when = year(d)",
                'who = join-text(status, col:code, ", ")',
            ),
            "columns": 'total, who as "the one", customers.status',
            "left-join": "@sqlite.shop/customers on customer_id = id",
        },
        made(
            "@sqlite.shop/customers",
            joins=(Join("customers", (Match("customer_id", "id"),), "keep"),),
            compute=(
                Computed("total", "multiply", "amount", "qty"),
                Computed("half", "divide", "total", value="2"),
                Computed("when", "year", "d"),
                Computed("who", "join text", "status", "code", ", "),
            ),
            columns=(Chosen("total"), Chosen("who", "the one"), Chosen("customers.status")),
        ),
    ),
    ({"latest": "d per customer_id"}, made(pick=Pick(("customer_id",), (Sort("d", True),)))),
    ({"first": "d per status, code"}, made(pick=Pick(("status", "code"), (Sort("d"),)))),
    ({"top": "3 amount per status"}, made(pick=Pick(("status",), (Sort("amount", True),), 3))),
    (
        {
            "to": "@duckdb.warehouse/app.orders",
            "mode": "upsert",
            "key": "id, AT",
            "group": ("id", "AT"),
            "name": "load",
        },
        made(
            group=(Group("id"), Group("AT")),
            output=Output("result", "duckdb.writer", "@duckdb.warehouse", None, "app.orders", "upsert", ("id", "AT")),
            name="load",
        ),
    ),
    (
        {"to": "output/x/", "partition-by": "status", "dtype": "status = utf8", "encoding": "latin-1"},
        Request(
            "x",
            (Source("data/orders.csv", None, "latin-1", (Typed("status", "utf8"),)),),
            (),
            (Output("orders", PARQUET.component, path="output/x/", partition_by=("status",)),),
        ),
    ),
]


@pytest.mark.parametrize(("flags", "expected"), CASES)
def test_flags_say_a_request_and_a_request_its_flags(flags, expected):
    asked = read(**flags)

    assert asked.request == expected
    assert asked.notes == ()
    again = request_of(flags_of(command_line(expected, CHOICES)), CHOICES)
    assert again.request == expected


def test_a_name_that_differs_in_case_is_told():
    asked = read(where="STATUS = paid", group="region")

    assert asked.request.steps[0].filters == (Filter("status", "=", ("paid",)),)
    assert asked.notes == ("column 'status' for 'STATUS'", "column 'Region' for 'region'")


@pytest.mark.parametrize(
    ("flags", "flag", "hint"),
    [
        ({"where": "statu = paid"}, "--where 'statu = paid'", "status"),
        ({"from": "data/odd.csv", "where": "At = x"}, "--where 'At = x'", None),
        ({"where": ("STATUS = x", "Status = x")}, "--where 'Status = x'", "as it is"),
        ({"where": "status"}, "--where status", "status = paid"),
        ({"where": "qty = many"}, "--where", "1234.5"),
        ({"where": "status between a and b and c"}, "--where 'status between a and b and c'", None),
        ({"sum": "status"}, "--sum", "convert"),
        ({"from": "data/order.csv"}, "--from data/order.csv", "orders"),
        ({"from": ("data/orders.csv", "@sqlite.shop/customers")}, "--from @sqlite.shop/customers", "--join"),
        ({"join": "customers"}, "--join customers", " on "),
        ({"to": "output/x.xlsx"}, "--to output/x.xlsx", "parquet"),
        ({"to": "@duckdb.warehouse/t"}, "--to @duckdb.warehouse/t", "--mode append"),
        ({"to": "@duckdb.warehouse/t", "mode": "upsert"}, "--key", None),
        ({"limit": "0"}, "--limit 0", None),
        ({"compute": "total = amount ** 2"}, "--compute 'total = amount ** 2'", "COLUMN * COLUMN"),
        ({"share": "amount"}, "--share amount", None),
        ({"name": "No name"}, "--name", "lower-case"),
        ({"where": "status == paid"}, "--where 'status == paid'", "double quotes, if it is meant"),
        ({"where": "status <> paid"}, "--where 'status <> paid'", "double quotes, if it is meant"),
        ({"where": "status = 'paid'"}, f"--where {shlex.quote(SINGLE_QUOTED)}", "double quotes, if it is meant"),
        ({"where": "status in (paid, open)"}, "--where 'status in (paid, open)'", "double quotes, if it is meant"),
        ({"where": "status in paid, col:code"}, "--where 'status in paid, col:code'", "give a column alone"),
        (
            {"where": "d between 2024-01-01 and col:d"},
            "--where 'd between 2024-01-01 and col:d'",
            "give a column alone",
        ),
        ({"where": "status = paid and qty = 1"}, "--where 'status = paid and qty = 1'", "its own --where"),
        ({"where": "status = null"}, "--where 'status = null'", "is empty"),
        ({"compute": "x = constant(Smith, John)"}, "--compute 'x = constant(Smith, John)'", "quotes"),
        ({"compute": "x = round(qty, 2, 3)"}, "--compute 'x = round(qty, 2, 3)'", None),
        ({"limit": "9" * 5000}, f"--limit {'9' * 5000}", None),
        ({"where": "Region ="}, "--where 'Region ='", "is empty"),
        ({"from": "data/years.csv", "compute": "growth = 2024 - 2023"}, "--compute 'growth = 2024 - 2023'", '"2024"'),
        ({"from": "data/years.csv", "compute": "x = kg * 2023"}, "--compute 'x = kg * 2023'", "+2023"),
        ({"latest": "d per status", "top": "3 qty per status"}, "--latest and --top", "pipeline of its own"),
        ({"first": "d per status", "latest": "d per status"}, "--latest and --first", None),
    ],
)
def test_what_does_not_fit_names_the_flag_and_what_would(flags, flag, hint):
    with pytest.raises(InvalidInput) as caught:
        read(**flags)
    (found,) = caught.value.diagnostics
    assert found.code == "CHT042"
    assert found.message.startswith(f"{flag}:")
    assert hint is None or hint in found.hint


def test_what_looks_like_sql_is_a_value_in_double_quotes():
    asked = read(where=('status = "= paid"', "code = \"'x'\"", 'status in "(a", b', 'Region = ""'))

    sides = [each.values for each in asked.request.steps[0].filters]
    assert sides == [("= paid",), ("'x'",), ("(a", "b"), ("",)]
    assert read(**flags_of(command_line(asked.request, CHOICES))).request == asked.request


@pytest.mark.parametrize("made", ['"2024" - "2023"', '"2024" - col:2023', '"2024" - col:"2023"'])
def test_a_column_that_is_called_like_a_number_stands_in_quotes(made):
    asked = read(**{"from": "data/years.csv", "compute": (f"growth = {made}", "more = kg * +2023", "half = kg / 2")})

    growth, more, half = asked.request.steps[0].compute
    assert growth == Computed("growth", "subtract", "2024", "2023")
    assert (more.value, half.value) == ("+2023", "2")
    assert read(**flags_of(command_line(asked.request, CHOICES))).request == asked.request


def test_a_key_in_another_case_is_that_of_the_first_table():
    asked = read(join="@sqlite.shop/customers on CUSTOMER_ID = ID")

    assert asked.request.steps[0].joins == (Join("customers", (Match("customer_id", "id"),), "drop"),)
    joined = read(join="@sqlite.shop/customers on ID = ID")
    assert joined.request.steps[0].joins == (Join("customers", (Match("id", "id"),), "drop"),)


def test_what_is_said_of_the_first_table_alone_is_told():
    asked = read(join="@sqlite.shop/customers on customer_id = id", encoding="latin-1", on_reject="quarantine")

    assert asked.notes == ("--encoding, --on-reject for 'data/orders.csv' alone",)


def test_what_flags_cannot_say_has_no_command():
    either = (Filter("status", "=", ("a",), either=1), Filter("qty", "=", ("1",), either=1))
    assert command_line(made(filters=either), CHOICES) is None
    two = made()
    assert (
        command_line(Request("x", two.sources, (*two.steps, Step("b", "result", limit=1)), two.outputs), CHOICES)
        is None
    )
