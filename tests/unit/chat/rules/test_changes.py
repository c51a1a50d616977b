"""Further words change what they are about and nothing else; names that nobody can say, and targets that are new."""

import pytest
from tests.unit.chat.rules.held import messages_of, propose

from osiris.chat.choices import Choices, Column, Relation, Writer
from osiris.chat.port import Request
from osiris.chat.proposal import Proposal, Question, read
from osiris.chat.rules import Rules

BIG = "orders with total over 50 to output/big.csv"
MARCH = "orders in March 2024 to output/big.csv"
STATES = "number of orders per status to csv"


def plan(*said, world="shop"):
    found = propose(world, *said)
    assert isinstance(found, Proposal), found
    return found


def sql(found):
    return " ".join((found.sql or "").split())


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ([BIG, "only status paid, as parquet instead"], ["total > 50", "status = 'paid'"]),
        ([BIG, "only status paid instead"], ["total > 50", "status = 'paid'"]),
        ([BIG, "as parquet instead, only status paid"], ["total > 50", "status = 'paid'"]),
        ([BIG, "only status paid, as parquet rather"], ["total > 50", "status = 'paid'"]),
        ([MARCH, "only status paid, as json instead"], ["DATE '2024-03-01'", "status = 'paid'"]),
        ([MARCH, "only total over 50 instead"], ["DATE '2024-03-01'", "total > 50"]),
        ([STATES, "per month, as parquet instead"], ["GROUP BY status, strftime"]),
        ([STATES, "average total, as parquet instead"], ["count(*)", "avg(total)"]),
        (["first name and city of customers to csv", "add email, as parquet instead"], ["city", "email"]),
        (["first name and city of customers to csv", "add email, only Prague"], ["city", "email", "'Prague'"]),
    ],
)
def test_instead_and_only_take_nothing_away_but_what_they_stand_beside(said, parts):
    found = plan(*said)
    assert all(part in sql(found) for part in parts), sql(found)
    assert not [each for each in found.assumptions if "no longer applies" in each]


@pytest.mark.parametrize(
    ("said", "part", "gone", "told"),
    [
        (["orders to csv", "only status paid", "only status shipped instead"], "'shipped'", "paid", "status = 'paid'"),
        ([BIG, "over 100 instead"], "total > 100", "> 50", "total > 50"),
        ([BIG, "total over 100 instead"], "total > 100", "> 50", "total > 50"),
        ([MARCH, "only April 2024 instead"], "DATE '2024-04-01'", "2024-03", "'in March 2024'"),
        ([MARCH, "order date after 2024-06-01 instead"], "2024-06", "2024-03", "'in March 2024'"),
        (["orders with status paid or shipped csv", "status open instead"], "'open'", "paid", "status = 'paid' or"),
        (
            ["customers whose email is missing csv", "email is not missing instead"],
            "email IS NOT NULL",
            "IS NULL",
            "email is empty",
        ),
        ([STATES, "per month instead"], "GROUP BY strftime", "status", "per status"),
        ([STATES, "average total instead"], "avg(total)", "count", "count of orders"),
        (["first name of customers to csv", "only email"], "SELECT email", "first_name", "the column first name"),
    ],
)
def test_what_takes_the_place_of_another_is_told(said, part, gone, told):
    found = plan(*said)
    assert part in sql(found)
    assert gone not in sql(found)
    assert any(each.startswith(told) and each.endswith("no longer applies") for each in found.assumptions)


def test_a_condition_that_goes_leaves_those_of_other_columns():
    found = plan("orders with total over 50 and status paid to csv", "only status shipped instead")
    assert "total > 50 AND status = 'shipped'" in sql(found)
    assert "status = 'paid' no longer applies" in found.assumptions


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (["orders with total over 50 or status paid to csv", "status shipped instead"], "OR"),
        (["orders with status paid or total over 50 to csv", "status shipped instead"], "OR"),
        (["orders with status paid and total over 50 to csv", "status shipped instead"], "AND"),
    ],
)
def test_what_takes_the_place_of_a_condition_is_joined_as_that_was(said, part):
    found = sql(plan(*said))
    assert "'shipped'" in found
    assert "total > 50" in found
    assert f" {part} " in found
    assert "'paid'" not in found


def test_a_condition_on_what_is_computed_is_none_on_its_column():
    found = sql(plan("orders per status with average total over 50 csv", "only total over 10 instead"))
    assert "WHERE total > 10" in found
    assert "HAVING avg(total) > 50" in found


@pytest.mark.parametrize("name", ["#", "__", "***", "%_%", "\u2013"])
def test_names_of_signs_alone_spoil_no_request(name):
    columns = (Column(name, "utf8", profile={"values": [{"value": "--"}]}), Column("place", "utf8"))
    odd = Relation("data/gusts.csv", "gusts", "data/*", "data/gusts.csv", {}, columns)
    signs = Relation("@sqlite.app/__", "t", "@sqlite.app", "__", {"connection": "@sqlite.app"}, columns)
    choices = Choices((odd, signs), (Writer("filesystem.csv_writer", "csv", ()),))
    for purpose in ("intent", "synthesis"):
        value = Rules().complete(Request(purpose, messages_of("gusts to csv"), choices)).value
        assert value["cannot"] is None
        assert value["question"] is None


@pytest.mark.parametrize(
    "request_",
    [
        "upsert data/orders.csv into table orders in sqlite.app, key order_id",
        "upsert data/orders.csv into table orders in @sqlite.app, key order_id",
        "upsert data/orders.csv into the table orders of @sqlite.app by order_id",
        "upsert data/orders.csv into the table orders of sqlite.app by order_id",
        "upsert data/orders.csv into the orders table in sqlite.app, key order_id",
        "upsert data/orders.csv into orders in @sqlite.app by order_id",
        "upsert data/orders.csv into sqlite.app table orders, key order_id",
        "upsert data/orders.csv into sqlite.app, key order_id",
        "upsert data/orders.csv into app.orders, key order_id",
    ],
)
def test_a_table_that_does_not_exist_yet_is_written_where_it_was_said(request_):
    columns = (Column("order_id", "int64"), Column("region", "utf8"), Column("amount", "float64"))
    orders = Relation("data/orders.csv", "orders", "data/*", "data/orders.csv", {}, columns)
    choices = Choices(
        (orders,), (Writer("sqlite.writer", None, ("append", "replace", "upsert"), ("@sqlite.app", "@sqlite.other")),)
    )
    value = Rules().complete(Request("synthesis", messages_of(request_), choices)).value
    found = read("synthesis", value, choices)
    assert isinstance(found, Proposal), found
    target = found.target
    assert (target.connection, target.table, target.mode) == ("@sqlite.app", "orders", "upsert")
    assert list(target.key) == ["order_id"]


def test_a_connection_without_its_sign_is_read_from_as_well():
    found = plan("export orders from sqlite.shop to csv")
    assert [each.relation for each in found.sources] == ["@sqlite.shop/orders"]


@pytest.mark.parametrize(
    ("world", "request_", "about"),
    [
        ("shop", "sum of discount per customer to csv", "word discount"),
        ("shop", "orders per weather and the average of gusts to csv", "word weather"),
        ("flights", "flights to MIA per carrier with count to csv", "value MIA"),
        ("flights", "flights to MIA per carrier with count to csv, summed", "value MIA"),
    ],
)
def test_the_word_that_nothing_explains_is_the_one_asked_about(world, request_, about):
    found = propose(world, request_)
    assert isinstance(found, Question), found
    assert found.about == about


def test_a_word_that_stays_unread_is_asked_about_once_the_value_is_settled():
    found = propose("flights", "flights to MIA per carrier to csv, summed", ("value MIA", "dest"))
    assert isinstance(found, Question), found
    assert found.about == "word summed"


def test_a_count_beside_groups_counts_their_rows():
    assert "count(*) AS flights FROM flights GROUP BY carrier" in sql(
        plan("flights per carrier with count to csv", world="flights")
    )


@pytest.mark.parametrize(
    "said",
    [
        [BIG, "call it x", ("word call", "only status paid")],
        [BIG, "call it x", ("word call", "only status paid"), "sort by id"],
        [BIG, "call it x", "only status paid"],
        [BIG, "make a chart", "only status paid"],
    ],
)
def test_a_change_that_is_not_understood_leaves_the_plan_before(said):
    found = plan(*said)
    assert "WHERE total > 50 AND status = 'paid'" in sql(found)
    assert f"'{said[1]}' was not understood and is passed over" in found.assumptions


def test_another_word_for_an_unknown_one_is_put_in_its_place_and_passes_nothing_over():
    found = propose("shop", "orders to csv", "per blorp and spend", ("word blorp", "status"))
    assert isinstance(found, Question), found
    assert found.about == "word spend"


def test_a_change_that_is_not_understood_is_asked_about_while_it_is_the_last():
    assert propose("shop", BIG, "call it x").about == "word call"
