"""What data people say, kind by kind: it is read right, and its doubtful neighbour is asked about."""

import pytest
from tests.unit.chat.rules.held import propose

from osiris.chat.proposal import Proposal, Question, Refusal


def sql(world, *said, fast=False):
    found = propose(world, *said, fast=fast)
    assert isinstance(found, Proposal), found
    return " ".join((found.sql or "").split())


@pytest.mark.parametrize(
    ("world", "request_", "part"),
    [
        ("flights", "flights excluding carrier UA to csv", "WHERE carrier <> 'UA'"),
        ("flights", "flights excluding UA and AA, csv", "carrier NOT IN ('UA', 'AA')"),
        ("shop", "orders exclude status open, csv", "status <> 'open'"),
        ("shop", "orders minus cancelled ones, csv", "status <> 'cancelled'"),
        ("shop", "products except discontinued ones, csv", "NOT discontinued"),
        ("shop", "customers excluding those from Germany, csv", "lower(countries.name) <> 'germany'"),
        ("shop", "orders excluding total over 500, csv", "NOT (total > 500)"),
        ("shop", "orders excluding those before 2024, csv", "NOT (order_date < DATE '2024-01-01')"),
        ("shop", "orders excluding cancelled, in 2024, csv", "status <> 'cancelled' AND order_date >="),
        ("tpch", "orders before 1995 excluding priority 1-URGENT, csv", "o_orderpriority <> '1-URGENT'"),
    ],
)
def test_rows_of_which_something_is_said_are_left_out(world, request_, part):
    found = sql(world, request_)
    assert part in found
    assert found.startswith(("SELECT *", "SELECT customers.*"))


@pytest.mark.parametrize(
    ("world", "request_"),
    [
        ("shop", "orders excluding cancelled and over 500, csv"),
        ("shop", "orders excluding cancelled, total over 100, csv"),
        ("shop", "orders excluding those not paid, csv"),
        ("shop", "orders except those in 2023 and 2024, csv"),
        ("shop", "products excluding weight over 5 kg, csv"),
        ("flights", "flights excluding origin JFK and dest MIA, csv"),
        ("flights", "flights excluding planes with 2 engines, csv"),
    ],
)
def test_what_else_may_be_left_out_is_asked(world, request_):
    assert isinstance(propose(world, request_), Question)


def test_columns_are_left_out_as_before():
    assert sql("flights", "flights except year, month and day, csv").startswith("SELECT dep_time,")


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ("orders over two thousand, csv", "total > 2000"),
        ("orders over twenty five, csv", "total > 25"),
        ("orders over 1.5 thousand, csv", "total > 1500"),
        ("orders over a million, csv", "total > 1000000"),
        ("top two hundred orders by total, csv", "LIMIT 200"),
        ("a dozen biggest orders, csv", "LIMIT 12"),
        ("products with price of one, csv", "list_price = 1"),
        ("products with a price between one hundred and two hundred, csv", "BETWEEN 100 AND 200"),
    ],
)
def test_numbers_in_words(request_, part):
    assert part in sql("shop", request_)


@pytest.mark.parametrize(
    "request_",
    [
        "orders over one hundred and fifty, csv",
        "orders above two thousand five hundred, csv",
        "orders with total over two hundred and fifty, csv",
        "orders whose total is below a hundred and fifty, csv",
        "orders with total above 100 and 300, csv",
        "customers with two orders, csv",
        "products with two names, csv",
    ],
)
def test_numbers_that_go_on_are_asked_about(request_):
    assert isinstance(propose("shop", request_), Question)


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ("first 10 customers by signup date, csv", "ORDER BY signup_date, id LIMIT 10"),
        ("last 10 orders by order date, csv", "ORDER BY order_date DESC, id LIMIT 10"),
        ("last 10 orders, newest first, csv", "ORDER BY order_date DESC, id LIMIT 10"),
        ("top 10 orders by total, csv", "ORDER BY total DESC, id LIMIT 10"),
        ("bottom 5 products by price, csv", "ORDER BY list_price, id LIMIT 5"),
    ],
)
def test_the_end_from_which_rows_are_taken(request_, part):
    assert part in sql("shop", request_)


@pytest.mark.parametrize(
    ("request_", "about", "reply", "part"),
    [
        ("first 10 orders by total, csv", "end total", "the smallest total first", "ORDER BY total, id"),
        ("first 10 orders by total, csv", "end total", "the largest total first", "ORDER BY total DESC, id"),
        ("last 10 orders sorted by order date, csv", "order", "order date descending", "ORDER BY order_date DESC"),
    ],
)
def test_an_end_that_is_not_sure_is_asked(request_, about, reply, part):
    question = propose("shop", request_)
    assert isinstance(question, Question)
    assert question.about == about
    assert part in sql("shop", request_, (about, reply))


@pytest.mark.parametrize(
    ("world", "request_", "part"),
    [
        ("flights", "flights per day of month, csv", 'GROUP BY "day"'),
        ("shop", "number of orders per day of the month, csv", "GROUP BY day(order_date)"),
        ("shop", "number of orders per day of the week, csv", "GROUP BY dayname(order_date)"),
        ("shop", "orders placed between January and March 2024, csv", "< DATE '2024-04-01'"),
        ("shop", "orders between 100 and 200, csv", "total BETWEEN 100 AND 200"),
        ("shop", "products priced between 20 and 50, csv", "list_price BETWEEN 20 AND 50"),
        ("shop", "customers whose last name starts with S, csv", "last_name ILIKE 'S%'"),
        ("shop", "customers whose email ends with example.com, csv", "email ILIKE '%example.com'"),
        ("shop", "orders into table big_orders of duckdb, replace, only those over 500", "total > 500"),
        ("shop", "number of order items by product category, csv", "GROUP BY categories.name"),
        ("tpch", "customers with negative account balance, csv", "c_acctbal < 0"),
        ("tpch", "customers from FRANCE, csv", "lower(nation.n_name) = 'france'"),
        ("tpch", "average quantity by ship mode, csv", "GROUP BY l_shipmode"),
        ("flights", "number of flights per carrier name, csv", "GROUP BY airlines.name"),
        ("flights", "airports higher than 1000, csv", "alt > 1000"),
    ],
)
def test_words_that_leave_no_doubt(world, request_, part):
    assert part in sql(world, request_)


@pytest.mark.parametrize(
    ("world", "request_"),
    [
        ("flights", "flights longer than 2000 miles, csv"),
        ("flights", "the number of planes by engine type, csv"),
        ("flights", "carrier name and flight number, csv"),
        ("tpch", "line items shipped by AIR, csv"),
        ("tpch", "orders between November and February 1996, csv"),
        ("shop", "emails of customers with newsletter, csv"),
        ("shop", "last month's orders, csv"),
        ("shop", "sum of orders by status, csv"),
        ("clinic", "doctors and salary, csv"),
        ("clinic", "doctors and salary and hire date, csv"),
    ],
)
def test_words_that_leave_a_doubt(world, request_):
    assert isinstance(propose(world, request_), Question)


def test_a_sum_of_a_table_is_what_was_answered():
    assert "sum(total)" in sql("shop", "sum of orders by status, csv", ("count orders", "sum of orders.total"))
    assert "count(*)" in sql("shop", "sum of orders by status, csv", ("count orders", "number of orders"))


def test_what_stands_beside_a_table_is_what_was_answered():
    said = ("clinic", "doctors and salary, csv")
    assert sql(*said, ("with doctor.Salary", "only Salary")) == 'SELECT "Salary" FROM doctor'
    found = propose(*said, ("with doctor.Salary", "all columns"))
    assert isinstance(found, Proposal)
    assert found.sql is None


def test_a_file_has_the_name_that_was_said():
    found = propose("shop", "export products as parquet file named catalog")
    assert isinstance(found, Proposal)
    assert found.target.path == "output/catalog.parquet"


def test_json_is_also_called_newline_delimited():
    found = propose("shop", "write customers as newline delimited json")
    assert isinstance(found, Proposal)
    assert found.target.path == "output/customers.jsonl"


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ("first 10 orders by total, csv", "the smallest total first"),
        ("the largest orders, csv", "the first 10 are taken"),
        ("number of orders per status, csv", "rows are sorted by status"),
        ("orders, csv", "the file is called orders"),
        ("products excluding weight over 5 kg, csv", "keep them"),
        ("orders from 2024-03-01, csv", "that day alone"),
    ],
)
def test_what_is_fast_is_assumed_and_said(request_, told):
    found = propose("shop", request_, fast=True)
    assert isinstance(found, Proposal), found
    assert any(told in each for each in found.assumptions)
    slow = propose("shop", request_)
    assert isinstance(slow, Question) or not any(told in each for each in slow.assumptions)


@pytest.mark.parametrize(
    "request_",
    [
        "number of orders per status",
        "export names, csv",
        "orders by status csv",
        "load products into duckdb",
        "last month's orders, csv",
        "average total by status, csv",
    ],
)
def test_a_target_or_a_column_is_never_assumed(request_):
    assert isinstance(propose("shop", request_, fast=True), Question)


@pytest.mark.parametrize(
    ("said", "part", "told"),
    [
        (["orders csv", "only status paid", "only status shipped"], "WHERE status = 'shipped'", "status = 'paid'"),
        (["orders with total over 50 csv", "only total over 100"], "WHERE total > 100", "total > 50"),
        (["orders in 2024 csv", "only March 2024"], "WHERE order_date >= DATE '2024-03-01'", "'in 2024'"),
        (["customers csv", "only from Prague", "only from Austin"], "WHERE city = 'Austin'", "'Prague'"),
        (["orders csv", "excluding cancelled", "only paid"], "WHERE status = 'paid'", "'cancelled'"),
        (["products csv", "only discontinued", "only not discontinued"], "WHERE NOT discontinued", "discontinued"),
    ],
)
def test_a_change_of_the_same_column_takes_its_place(said, part, told):
    found = propose("shop", *said)
    assert isinstance(found, Proposal)
    assert part in " ".join(found.sql.split())
    assert f"{told} no longer applies" in found.assumptions


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (["orders csv", "only status paid", "also status shipped"], "status IN ('paid', 'shipped')"),
        (["orders csv", "only paid", "also status shipped"], "status IN ('paid', 'shipped')"),
        (["orders csv", "only status paid", "status shipped as well"], "status IN ('paid', 'shipped')"),
        (["customers csv", "only city Prague", "and city Austin"], "city IN ('Prague', 'Austin')"),
        (["orders with total over 50 csv", "only total under 100"], "total > 50 AND total < 100"),
        (["orders since 2024 csv", "only before 2025"], "< DATE '2025-01-01'"),
        (["orders with total over 50 csv", "only status paid"], "total > 50 AND status = 'paid'"),
        (["orders in 2024 csv", "only shipped in March 2024"], "shipped_date >= DATE '2024-03-01'"),
    ],
)
def test_also_adds_and_so_does_what_bounds_the_other_side(said, part):
    found = propose("shop", *said)
    assert isinstance(found, Proposal)
    assert part in " ".join(found.sql.split())
    assert not [each for each in found.assumptions if "no longer applies" in each]


def test_first_of_each_group_is_refused():
    assert isinstance(propose("flights", "longest flight per carrier, csv"), Refusal)
