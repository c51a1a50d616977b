"""Rows are compared as a reader would: names, positions and spelling are free, values are not."""

import pytest
from bench.evaluation.rows import difference

COLUMNS = [{"name": "Região", "type": "text", "accept": ["region"]}, {"name": "kwh", "type": "num", "tol": 0.1}]
GOLD = "Região,kwh\n01,2.5\nN,\n"


def compared(tmp_path, found, columns=COLUMNS, gold=GOLD, **free):
    (tmp_path / "gold.csv").write_text(gold, encoding="utf-8")
    (tmp_path / "found.csv").write_text(found, encoding="utf-8")
    return difference({"columns": columns, **free}, tmp_path / "gold.csv", tmp_path / "found.csv")


@pytest.mark.parametrize(
    "found",
    [
        "regiao,kwh\n01,2.5\nN,\n",
        "KWH;x;REGION\n;9;N\n2,55;9;01\n",
        "a,b\nN,NULL\n01,2.45\n",
    ],
)
def test_rows_that_are_the_same(tmp_path, found):
    assert compared(tmp_path, found) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ("regiao,kwh\n1,2.5\nN,\n", "rows differ"),
        ("regiao,kwh\n01,2.7\nN,\n", "value differs"),
        ("regiao,kwh\n01,2.5\n", "1 rows, expected 2"),
        ("regiao\n01\nN\n", "1 columns, expected 2"),
        ("regiao,kwh\n01,2.5\nN,0\n", "value differs"),
    ],
)
def test_rows_that_are_not(tmp_path, found, why):
    assert compared(tmp_path, found).startswith(why)


def test_order_counts_where_it_was_asked_for(tmp_path):
    found = "region,kwh\nN,\n01,2.5\n"
    assert compared(tmp_path, found) == ""
    assert compared(tmp_path, found, order=["Região"]) == "order"


def test_a_month_may_be_two_columns_or_a_day(tmp_path):
    columns, gold = [{"name": "month", "type": "month"}, {"name": "n", "type": "int"}], "month,n\n2025-03,4\n"
    for found in ("m,n\n2025-03-01,4\n", "m,n\n03/2025,4.0\n", "year,month,n\n2025,3,4\n"):
        assert compared(tmp_path, found, columns, gold) == ""
    assert compared(tmp_path, "m,n\n2025-04-01,4\n", columns, gold).startswith("rows differ")


def test_empty_figures_and_rows_are_free_where_the_gold_says_so(tmp_path):
    assert compared(tmp_path, "region,kwh\n01,2.5\nN,0\n", null_is_zero=True) == ""
    assert compared(tmp_path, "region,kwh\n01,2.5\n", zero_ok="Região") == ""
    assert compared(tmp_path, "region,kwh\n01,2.5\n", null_rows_optional="kwh") == ""
    assert compared(tmp_path, "kwh\n2.5\n\n", optional=["Região"]) == ""
