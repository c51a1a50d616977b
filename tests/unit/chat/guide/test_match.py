"""Which option typed text means: exact first, then ignoring case, then with one typo; never one of several."""

import pytest

from osiris.chat.guide.draft import Option, match_options
from osiris.cli.render import safe


def options(*labels):
    return [Option(f"key of {label}", label) for label in labels]


def labels(text, known, *, several=False):
    found = match_options(text, options(*known), several=several, display=safe)
    return [each.label for each in found.options], [each.label for each in found.candidates]


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("id", ["ID", "id"], ["id"]),
        ("Id", ["id", "name"], ["id"]),
        ("2", ["2", "1"], ["2"]),
        ("2", ["a", "b"], ["b"]),
        ("#2", ["a", "b"], ["b"]),
        ("carier", ["carrier", "flight"], ["carrier"]),
        ("order-date", ["order_date", "date"], ["order_date"]),
        ("a\\x0ab", ["a\nb", "ab"], ["a\nb"]),
        ("first name", ["first name", "first"], ["first name"]),
    ],
)
def test_one_option_is_meant(text, known, expected):
    assert labels(text, known) == (expected, [])


@pytest.mark.parametrize(
    ("text", "known", "may"),
    [
        ("Id", ["ID", "id"], ["ID", "id"]),
        ("delay", ["dep_delay", "arr_delay", "carrier"], ["dep_delay", "arr_delay"]),
        ("name", ["first_name"], ["first_name"]),
        ("US", ["status", "bus"], ["status", "bus"]),
        ("customer", ["amount"], []),
        ("avg delay", ["average of dep_delay", "sum of dep_delay"], ["average of dep_delay"]),
        ("COUNT", ["number of rows", "discount", "sum of n"], ["number of rows", "discount"]),
        ("filter", ["Keep some rows", "Sort"], ["Keep some rows"]),
        ("3", ["a", "b"], []),
        ("", ["a"], []),
    ],
)
def test_what_is_not_certain_is_left_to_the_person(text, known, may):
    assert labels(text, known) == ([], may)


def test_several_are_named_with_commas_or_by_numbers():
    known = ["carrier", "month of time_hour", "a, b", "dest"]
    assert labels("carrier, month of time_hour", known, several=True)[0] == ["carrier", "month of time_hour"]
    assert labels("4 1", known, several=True)[0] == ["dest", "carrier"]
    assert labels("a, b", known, several=True)[0] == ["a, b"]


def test_of_several_each_must_be_meant_and_no_two_mean_the_same():
    known = ["carrier", "month of time_hour", "dest"]
    assert labels("carrier, airline", known, several=True) == ([], [])
    assert labels("carrier, carier", known, several=True) == ([], ["carrier"])
    assert labels("carrier, monthof time_hour", known, several=True)[0] in (["carrier", "month of time_hour"], [])
