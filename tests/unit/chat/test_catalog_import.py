"""Discovery results become choices: safe names, and nothing that cannot be shown."""

import pytest
from tests.unit.chat.worlds import CHOICES, FILES, SHOP, in_shop, names, source, table

from osiris.chat.choices import Column, ForeignKey, Writer, one_line, read_names, with_profiles


def step_names(*sources):
    return {each.id: each.name for each in read_names(names(*sources)).relations}


def test_relations_have_ids_and_names():
    assert step_names(SHOP, FILES) == {
        "@sqlite.shop/customers": "customers",
        "@sqlite.shop/orders": "orders",
        "@sqlite.shop/order_items": "order_items",
        "@sqlite.shop/secrets": "secrets",
        "data/flights.parquet": "flights",
        "data/airlines.csv": "airlines",
    }


def test_a_name_that_is_taken_gets_its_alias_or_a_number():
    sources = (
        source("@sqlite.shop", in_shop("orders")),
        source("@mysql.old", table("orders")),
        source("data/*", table("data/orders.csv"), table("data/orders.parquet")),
        source("more/*", table("more/orders.csv")),
    )

    assert list(step_names(*sources).values()) == ["orders", "old_orders", "file_orders", "orders_2", "orders_3"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Order Items", "order_items"),
        ("select", "t_select"),
        ("order", "t_order"),
        ("df", "t_df"),
        ("df_orders", "t_df_orders"),
        ("save", "t_save"),
        ("2024", "t_2024"),
        ("зака́зы", "t"),
        ("sales.orders", "orders"),
        ("x" * 150, "x" * 60),
    ],
)
def test_names_need_no_quotes_in_sql(name, safe):
    assert step_names(source("@sqlite.shop", in_shop(name))) == {f"@sqlite.shop/{name}": safe}


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\x00", "a\u202eb", "a\u200bb", "x" * 201, "_osiris_ledger", "s._OSIRIS_x"]
)
def test_what_cannot_be_shown_or_is_our_own_is_left_out(name):
    assert step_names(source("@sqlite.shop", in_shop(name))) == {}


def test_what_no_step_can_read_is_left_out():
    assert step_names(source("x.sqlite", {**table("t"), "step": None})) == {}


def test_a_relation_that_two_sources_have_is_there_once():
    assert len(read_names(names(FILES, source("data/flights.parquet", table("data/flights.parquet")))).relations) == 2


def test_columns_are_known_only_once_somebody_looked():
    told = names(source("@sqlite.shop", in_shop("orders")))
    before = read_names(told)
    key = {"columns": ["customer_id"], "table": "customers", "to": ["id"]}
    looked = in_shop(
        *("orders", "id int64", "customer_id int64", "hidden utf8"),
        comment="what was\nbought",
        primary_key=["id"],
        foreign_keys=[key],
        rows=3,
    )
    looked |= {"closed": ["hidden"], "profile": {"columns": {"id": {"distinct": 3}}}}
    tables = {"@sqlite.shop/orders": looked}

    after = with_profiles(before, {"tables": tables, "recalled": 0, "silent": {"@mysql.old": {"code": "DRV002"}}})

    assert before.relations[0].columns is None
    (orders,) = after.relations
    assert orders.columns == (Column("id", "int64", profile={"distinct": 3}), Column("customer_id", "int64"))
    assert orders.foreign_keys == (ForeignKey(("customer_id",), "customers", ("id",)),)
    assert (orders.primary_key, orders.rows, orders.comment) == (("id",), 3, "what was bought")
    assert orders.connection == "@sqlite.shop"
    assert after.silent == {"@mysql.old": {"code": "DRV002"}}


@pytest.mark.parametrize(("rows", "shown"), [([[1, "a"]], ([1, "a"],)), ([[1, "a", "left out"]], ())])
def test_samples_are_there_if_they_fit_the_columns(rows, shown):
    told = in_shop("orders", "id int64", "note utf8")
    told["profile"] = {"columns": {}, "samples": {"mode": "masked", "rows": rows}}

    assert read_names(names(source("@sqlite.shop", told))).relations[0].samples == shown


def test_writers_are_those_that_can_be_used():
    assert CHOICES.writer("duckdb.writer") == Writer(
        "duckdb.writer", None, ("append", "replace", "upsert"), ("@duckdb.warehouse",)
    )
    assert CHOICES.writer("filesystem.json_writer").ending == "jsonl"
    assert CHOICES.writer("postgres.writer") is None


def test_a_text_of_somebody_else_is_one_line():
    assert one_line(" a\t\n b\x1b[31m\u202e\u200bc\ud800 ", 50) == "a b[31mc"
    assert one_line("x" * 60, 50) == "x" * 49 + "…"
