"""Rows are the same for a reader, or not: what may differ is told here, one line each."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from bench.evaluation.rows import same_rows

GOLD = [("Aarau", 3, Decimal("1.50")), ("Bern", 5, None)]
TYPES = ("VARCHAR", "BIGINT", "DECIMAL(9,2)")


@pytest.mark.parametrize(
    "found",
    [
        [("Bern", 5, None), ("Aarau", 3, 1.5)],
        [("Bern", "5", ""), ("Aarau", "3", "1.50")],
        [(None, "Bern", 5.0), (1.5000000000001, "Aarau", 3)],
    ],
)
def test_order_of_rows_and_columns_and_spelling_of_numbers_are_free(found):
    assert same_rows(TYPES, GOLD, found, ordered=False)


@pytest.mark.parametrize(
    "found",
    [
        [],
        GOLD[:1],
        [*GOLD, GOLD[0]],
        [("Aarau", 3, Decimal("1.51")), ("Bern", 5, None)],
        [("aarau", 3, Decimal("1.50")), ("Bern", 5, None)],
        [("Aarau", 3, None), ("Bern", 5, Decimal("1.50"))],
        [("Aarau", 3), ("Bern", 5)],
        [("Aarau", 3, 1.5, 1), ("Bern", 5, None, 1)],
    ],
)
def test_values_rows_and_numbers_of_them_are_not(found):
    assert not same_rows(TYPES, GOLD, found, ordered=False)


def test_an_order_that_was_asked_for_counts():
    assert same_rows(TYPES, GOLD, list(GOLD), ordered=True)
    assert not same_rows(TYPES, GOLD, GOLD[::-1], ordered=True)


def test_columns_that_have_the_same_values_are_told_apart_by_their_rows():
    gold = [(1, 2), (2, 1)]
    assert same_rows(("INTEGER", "INTEGER"), gold, [(2, 1), (1, 2)], ordered=False)
    assert not same_rows(("INTEGER", "INTEGER"), gold, [(1, 1), (2, 2)], ordered=False)


def test_leading_zeros_are_text_and_moments_may_be_spelled_otherwise():
    assert not same_rows(("VARCHAR",), [("0815",)], [("815",)], ordered=False)
    assert same_rows(("DATE",), [(date(2024, 1, 31),)], [("2024-01-31T00:00:00Z",)], ordered=False)
    moment = datetime(2024, 1, 31, 12, 30, 1, 500000)  # noqa: DTZ001 - a timestamp without a zone
    assert same_rows(("TIMESTAMP",), [(moment,)], [("2024-01-31T12:30:01.5",)], ordered=False)
    assert not same_rows(("TIMESTAMP",), [(moment,)], [("2024-01-31T12:30:01",)], ordered=False)


def test_nothing_is_the_same_as_nothing():
    assert same_rows(("VARCHAR",), [], [], ordered=True)
