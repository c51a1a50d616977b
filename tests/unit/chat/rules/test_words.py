"""What the rules read in words: nothing is passed over, nothing is guessed, further words change what came."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.chat.rules.held import DEVELOPMENT, discovered, messages_of, propose, rows_of

from osiris.chat.choices import Choices, Column, Relation, Writer
from osiris.chat.port import Request
from osiris.chat.proposal import Proposal, Question, Refusal, read
from osiris.chat.rules import Rules
from osiris.evaluation.cases import load_cases

PIPELINES = [each for each in load_cases(DEVELOPMENT) if each.expect == "pipeline"]


def sql_of(world, *said):
    found = propose(world, *said)
    assert isinstance(found, Proposal), found
    return " ".join((found.sql or "").split())


@pytest.mark.parametrize("case", [pytest.param(each, id=each.id) for each in PIPELINES])
def test_a_word_that_means_nothing_is_never_passed_over(case):
    first, _, rest = case.request.partition(" ")
    assert not isinstance(propose(case.world, f"{first} zorgle {rest}"), Proposal)
    assert not isinstance(propose(case.world, f"{case.request} zorgle"), Proposal)


WORDS = """
    customers orders products categories total status name city email price date Prague Boots number of count
    average sum min by for each sorted descending top 5 with without and or not is in from 2024 since March
    before between 10 over under more than at least parquet into warehouse output/x.csv append replace upsert
    key id table distinct all columns except rename as rounded to last year 'Anna' Germany > = , ( ) monthly
    most highest cheapest
"""


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=12))
def test_any_words_get_an_answer_that_can_be_read_and_a_statement_that_runs(words):
    _, choices = discovered("shop")
    asked = Request("synthesis", messages_of(" ".join(words)), choices)
    found = read("synthesis", Rules().complete(asked).value, choices)
    if isinstance(found, Proposal):
        rows_of("shop", found)


def test_the_same_words_make_the_same_proposal():
    _, choices = discovered("shop")
    asked = Request("synthesis", messages_of("number of orders per status to csv"), choices)
    assert Rules().complete(asked) == Rules().complete(asked)


def test_the_demo_request_needs_no_question():
    found = propose("flights", "flights per carrier and month with the average delay, to parquet")
    assert isinstance(found, Proposal)
    assert found.target.component == "filesystem.parquet_writer"
    assert any("dep_delay and arr_delay" in each for each in found.assumptions)


@pytest.mark.parametrize(
    ("request_", "about"),
    [
        ("export the customers", "target"),
        ("load customers into the warehouse", "mode"),
        ("load the number of orders per status into the warehouse, replace", "name"),
        ("upsert first name and email of customers into warehouse.people", "key"),
        ("the largest orders to csv", "limit"),
        ("the first 10 orders to csv", "top"),
        ("to csv", "table"),
    ],
)
def test_what_is_missing_is_asked(request_, about):
    found = propose("shop", request_)
    assert isinstance(found, Question), found
    assert found.about == about


@pytest.mark.parametrize("fast", [False, True])
def test_a_target_is_never_assumed(fast):
    assert isinstance(propose("shop", "export the customers", fast=fast), Question)


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (["orders to csv", "only 2024"], "WHERE order_date >= DATE '2024-01-01' AND order_date < DATE '2025-01-01'"),
        (["orders to csv", "add the customer's city"], "SELECT orders.*, customers.city"),
        (["number of orders per status to csv", "top 2 instead"], "ORDER BY orders DESC, status LIMIT 2"),
        (["products to csv", ("accept", "no, only the discontinued ones")], "WHERE discontinued"),
        (["products to csv", "sort by price"], "ORDER BY list_price, id"),
        (["customers to csv", "drop the email column"], "last_name, city"),
        (["orders per month csv", "only paid"], "WHERE status = 'paid' GROUP BY"),
        (["total spend per country csv", ("word spend", "order total")], "sum(orders.total) AS total"),
        (["orders from last year as csv", ("time last year", "2023")], "DATE '2023-01-01'"),
        (["number of orders per customer csv", ("label customers", "2")], "GROUP BY customers.id"),
    ],
)
def test_further_words_change_the_request(said, part):
    assert part in sql_of("shop", *said)


def test_another_target_takes_the_place_of_the_first():
    found = propose("shop", "customers to csv", "as parquet instead")
    assert found.target.component == "filesystem.parquet_writer"


def test_what_the_agent_asked_to_confirm_is_no_word_of_the_request():
    assert isinstance(propose("shop", "customers to csv", ("grounding", "yes")), Proposal)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("custmers", "customers"),
        ("oredrs", "orders"),
        ("prodcuts", "products"),
        ("categoreis", "categories"),
        ("cstomrs", None),
    ],
)
def test_small_typing_errors_are_put_right_and_told(typed, meant):
    found = propose("shop", f"export {typed} to csv")
    if meant is None:
        assert isinstance(found, Question)
    else:
        assert found.assumptions == (f"'{typed}' is read as '{meant}'",)


@pytest.mark.parametrize("word", ["stores", "sales", "scores"])
def test_another_word_is_no_typing_error(word):
    found = propose("shop", f"{word} to csv")
    assert isinstance(found, Question)
    assert found.about == f"word {word}"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("write products to @sqlite.shop/products, append", "is what is read"),
        ("append customers to output/customers.csv", "a file is always written anew"),
        ("products to output/products.xlsx", "cannot write .xlsx"),
        ("purge the orders", "delete or change"),
        ("the cheapest product per category as csv", "the first of each group"),
    ],
)
def test_what_cannot_be_done_is_said(said, reason):
    found = propose("shop", said)
    assert isinstance(found, Refusal), found
    assert reason in found.reason


def test_a_table_of_secrets_is_looked_at_only_if_it_is_named():
    named, _ = discovered("shop")

    def looked_at(text):
        return Rules().complete(Request("intent", messages_of(text), named)).value["tables"]

    assert "@sqlite.shop/api_tokens" not in looked_at("orders per customer to csv")
    assert "@sqlite.shop/api_tokens" in looked_at("api tokens to csv")


def test_what_did_not_pass_is_handed_back_in_words():
    _, choices = discovered("shop")
    asked = Request("regenerate", messages_of("orders to csv"), choices, problems=({"message": "no such column"},))
    assert "no such column" in Rules().complete(asked).value["cannot"]


def test_averages_of_floats_do_not_depend_on_their_order():
    columns = (Column("place", "utf8"), Column("wind", "float64"))
    gusts = Relation("data/gusts.csv", "gusts", "data/*", "data/gusts.csv", {}, columns)
    choices = Choices((gusts,), (Writer("filesystem.csv_writer", "csv", ()),))
    value = Rules().complete(Request("synthesis", messages_of("average wind per place to csv"), choices)).value
    assert "favg(wind)" in value["sql"]


@pytest.mark.parametrize(
    ("names", "key", "asks"), [(3, (), False), (2, (), True), (2, ("id",), True), (2, ("id", "name"), False)]
)
def test_a_name_that_several_have_is_asked_about_also_where_a_file_declares_no_key(names, key, asks):
    distinct = {"id": 3, "name": names, "amount": 3}
    types = {"id": "int64", "name": "utf8", "amount": "int64"}
    columns = tuple(Column(name, kind, profile={"distinct": distinct[name]}) for name, kind in types.items())
    people = Relation("data/people.csv", "people", "data/*", "data/people.csv", {}, columns, primary_key=key, rows=3)
    choices = Choices((people,), (Writer("filesystem.csv_writer", "csv", ()),))
    asked = Request("synthesis", messages_of("total amount per person from data/people.csv to csv"), choices)
    found = read("synthesis", Rules().complete(asked).value, choices)
    assert isinstance(found, Question if asks else Proposal), found
    if asks:
        assert found.text == "Several people have the same name. Are they one group?"


@pytest.mark.parametrize("column", ["cost per unit", "net sum", "nett", "nmae", "order by"])
def test_a_column_that_is_named_as_it_is_is_neither_split_nor_corrected(column):
    columns = tuple(Column(name, kind) for name, kind in (("region", "utf8"), (column, "int64"), ("net", "int64")))
    sales = Relation("data/sales.csv", "sales", "data/*", "data/sales.csv", {}, columns)
    choices = Choices((sales,), (Writer("filesystem.csv_writer", "csv", ()),))
    words = messages_of(f"sum of {column} per region from data/sales.csv to csv")
    found = read("synthesis", Rules().complete(Request("synthesis", words, choices)).value, choices)
    assert isinstance(found, Proposal), found
    assert f"sum({column})" in found.sql.replace('"', "")
