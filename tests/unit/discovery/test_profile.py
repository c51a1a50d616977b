"""The profile of rows, and the values it shows: nothing personal, secret or freely written."""

from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from osiris.driver import Sampled
from osiris.runner.worker.profile import profile_of
from osiris.table import stream
from osiris.types import schema_of

ROWS = 100


def look(columns, *, mode="none", whole=True, names=None):
    table = pa.table(columns)
    sample = Sampled(stream(schema_of(table.schema), table.to_batches(), "free"), "the first rows", whole)
    with duckdb.connect() as engine:
        return profile_of(engine, sample, names or list(columns), mode=mode, requested=True)


def of(name, values, **more):
    return look({name: values}, **more)["columns"][name]


def test_numbers():
    told = of("total", pa.array([Decimal("1.50"), None, Decimal("9812.50"), Decimal("-3.00")], pa.decimal128(10, 2)))
    assert told == {"null_share": 0.25, "distinct": 3, "min": "-3.00", "max": "9812.50"}


def test_few_values_are_listed_with_their_shares():
    told = of("status", ["paid"] * 71 + ["open"] * 20 + ["void"] * 9)
    assert told["values"] == [
        {"value": "paid", "share": 0.71},
        {"value": "open", "share": 0.2},
        {"value": "void", "share": 0.09},
    ]
    assert "min" not in told


def test_names_of_people_are_not_listed_though_they_repeat():
    told = of("customer", ["Ann Smith", "Bo Jones"] * 50, mode="masked")
    assert told["personal"] == "name"
    assert "Ann" not in str(told)


def test_codes_have_a_range_and_patterns():
    told = of("code", [f"AB-{n:04}" for n in range(ROWS)])
    assert (told["min"], told["max"], told["patterns"]) == ("AB-0000", "AB-0099", [{"pattern": "A-9", "share": 1.0}])
    assert told["length"] == {"min": 7, "max": 7, "mean": 7.0}


@pytest.mark.parametrize("text", ["Jan Novák", "Ждан {}", "李雷", "jnovak{}", "user name"])
def test_what_is_written_freely_is_not_shown_nor_its_letters(text):
    values = [f"{text}{n}" for n in range(ROWS)]
    told = look({"label": values}, mode="masked")
    shown = str(told)
    assert not any(letter in shown.replace("label", "") for letter in "NЖ李")
    assert "min" not in told["columns"]["label"]
    assert told["samples"]["rows"][0] == [f"<text, {len(values[0])} characters>"]


@pytest.mark.parametrize("column", ["note", "OrderNote", "LName", "FNm"])
def test_few_values_that_repeat_are_not_listed_where_the_column_is_personal(column):
    told = of(column, ["call back", "asked twice"] * (ROWS // 2))
    assert told.keys() == {"null_share", "personal", "distinct", "length"}


def test_names_of_people_are_known_by_their_values_whatever_their_column_is_called():
    told = of("owned_since", ["Anna Nováková", "Petr Dvořák"] * (ROWS // 2))
    assert told["personal"] == "name"
    assert "Anna" not in str(told)
    assert "values" in of("town", ["New York", "San Jose"] * (ROWS // 2))


def test_columns_that_are_personal_by_their_values_show_none():
    told = look({"contact": [f"user{n}@example.com" for n in range(ROWS)]}, mode="masked")
    assert told["columns"]["contact"].keys() == {"null_share", "personal", "distinct", "length"}
    assert told["samples"]["rows"][0] == ["<e-mail>"]
    assert "example.com" not in str(told)


def test_one_personal_value_among_many_is_not_shown():
    values = ["4111111111111111"] * 5 + [f"A-{n}" for n in range(9)] * 5
    told = look({"reference": values}, mode="masked")
    assert "4111" not in str(told)
    assert {"value": "<card or account>", "share": 0.1} in told["columns"]["reference"]["values"]


def test_numbers_that_look_like_cards_by_chance_are_shown():
    told = of("id", list(range(4_000_000_000_000_000, 4_000_000_000_000_000 + ROWS)))
    assert "personal" not in told


def test_numbers_that_all_are_cards_are_not():
    cards = [4111111111111111, 4242424242424242, 5555555555554444, 378282246310005]
    assert of("reference", cards).keys() == {"null_share", "personal", "distinct"}


def test_a_name_beside_an_address_is_somebodys():
    told = look({"name": ["Ann"] * ROWS}, names=["name", "email"])
    assert told["columns"]["name"]["personal"] == "name"
    assert of("name", ["bolt"] * ROWS)["values"]


def test_rows_as_they_are_have_no_secrets():
    token = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
    columns = {
        "email": ["jane@example.com"],
        "password": ["letmein"],
        "note": [f"token {token}"],
        "data": pa.array(['{"api_key": "abcdefgh12345678"}'], pa.json_()),
        "long": ["x" * 1000],
    }
    told = look(columns, mode="raw")
    (row,) = told["samples"]["rows"]
    assert row[:4] == ["jane@example.com", "<secret>", "<secret>", "<secret>"]
    assert len(row[4]) == 201
    assert token not in str(told)


def test_what_has_no_plain_text_is_only_measured():
    columns = {
        "blob": [b"\x00\x01"],
        "tags": [["a", "b"]],
        "deep": [{"x": 1}],
        "wide": pa.array([Decimal(7)], pa.decimal256(60, 0)),
    }
    told = look(columns, mode="masked")
    assert told["columns"]["blob"] == {"null_share": 0.0, "length": {"min": 2, "max": 2, "mean": 2.0}}
    assert told["columns"]["tags"] == {"null_share": 0.0}
    assert told["samples"]["rows"][0] == [
        "<binary, 8 characters>",
        "<list, 6 characters>",
        "<struct, 8 characters>",
        "7",
    ]


def test_no_rows():
    told = look({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())}, mode="masked")
    assert told["columns"] == {"a": {"null_share": None}, "b": {"null_share": None}}
    assert told["samples"]["rows"] == []


def test_how_rows_were_chosen_is_said():
    assert look({"a": [1, 2]})["method"] == "all rows"
    assert look({"a": [1, 2]}, whole=False)["method"] == "2 rows: the first rows"
