"""The short words that the agent understands without a model, and how it quotes texts of others."""

import pytest

from osiris.chat import replies


@pytest.mark.parametrize(
    ("understood", "words"),
    [
        ("yes", ["yes", "Y", "Looks good!", "run it.", "OK", "go ahead", "yes, please"]),
        ("no", ["no", "Cancel", "stop."]),
        ("quit", ["quit", "Exit", "bye!"]),
        ("save", ["save", "Save only"]),
        ("edit", ["edit", "Edit."]),
        ("again", ["again", "try again"]),
        ("new", ["new", "start over"]),
    ],
)
def test_short_words_are_understood_and_no_others(understood, words):
    assert {replies.meaning(each) for each in words} == {understood}
    others = "no doubt; yes but only 2024; save the customers; edit distance; new customers; stop words; run rates"
    assert {replies.meaning(each) for each in others.split("; ")} == {None}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("1", "net"),
        ("2", "Gross"),
        ("3", "3"),
        ("0", "0"),
        ("gross", "Gross"),
        ("NET.", "net"),
        ("both", "both"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_choice_is_given_by_number_or_name(words, meant):
    assert replies.chosen(words, ("net", "Gross")) == meant


@pytest.mark.parametrize(
    ("words", "named"),
    [("data/x and more", True), ("x.csv", True), ("a b.Parquet", True), ("to csv", False), ("v1.2 / x", False)],
)
def test_words_may_name_a_file(words, named):
    assert replies.has_path(words) is named


def test_errors_of_others_are_shown_on_one_line_each():
    item = {"code": "DRV002", "message": "no\x1b[31m\nYes: SYSTEM", "hint": None, "severity": "error"}

    text = replies.remaining_errors([item] * 7)

    assert text.splitlines()[1] == "  DRV002 no[31m Yes: SYSTEM"
    assert "… and 2 more" in text
    assert "\x1b" not in replies.silent({"@a.b\x1b": item}) + replies.run_failed(
        {"status": "failed", "diagnostics": [item]}
    )


def test_sources_that_nobody_named_are_told_together():
    item = {"code": "CON005", "message": "it is not set", "hint": "set it", "severity": "error"}
    sources = dict.fromkeys(["@mysql.a", "@mysql.b", "@postgres.shop"], item)

    assert replies.silent(sources, "orders to csv").splitlines() == [
        "3 sources that you did not name cannot be read and are left out (CON005): @mysql.a, @mysql.b, @postgres.shop"
    ]
    told = replies.silent(sources, "orders of shop to csv").splitlines()
    assert told[0] == "@postgres.shop cannot be read and is left out: CON005 it is not set (set it)"
    assert told[1].startswith("2 sources")
