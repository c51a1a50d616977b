"""Answers stay within their limit whatever they contain, say what is left out, and are JSON in plain characters."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.errors import diagnostic
from osiris.mcp.pages import BUDGET, Reply, laid_out, shortened, size_of, written

TEXTS = st.text(max_size=40) | st.integers(1, 5000).map(lambda n: "é\u202e<" * n)
VALUES = st.recursive(
    TEXTS | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(TEXTS, inner, max_size=8),
    max_leaves=30,
)


@given(st.lists(VALUES, max_size=30), VALUES, st.booleans(), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_bounded(items, rest, full, limit):
    problems = [diagnostic("PRJ008", problem=str(rest)[:9_000]) for _ in range(20)]
    reply = Reply({"items": items, "rest": rest}, "items", diagnostics=problems)
    seen, cursor, rounds = 0, None, 0
    while rounds < 100:
        words = {"detail": "full" if full else "brief", "limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = laid_out(reply, words)
        assert size_of(answer) <= BUDGET
        seen += len(answer["data"]["items"])
        cursor, rounds = answer.get("next_cursor"), rounds + 1
        if cursor is None:
            break
    assert seen == len(items)
    assert len(answer["diagnostics"]) + answer.get("more_diagnostics", 0) == 20


@pytest.mark.long
@given(VALUES)
@settings(max_examples=30, deadline=None)
def test_a_full_answer_comes_in_pages(value):
    data = {"value": value, "more": "x" * 20_000}
    text, cursor = "", None
    while True:
        answer = laid_out(Reply(data), {"detail": "full"} | ({"cursor": cursor} if cursor else {}))
        assert size_of(answer) <= BUDGET
        text += answer["data"]["json"]
        cursor = answer.get("next_cursor")
        if cursor is None:
            break
    assert json.loads(text) == json.loads(json.dumps(data))


@given(VALUES, st.integers(80, 4000))
@settings(max_examples=30, deadline=None)
def test_shortened(value, room):
    assert size_of(shortened(value, room)) <= max(room, 80)


def test_small_values_stay_as_they_are():
    assert shortened({"a": [1, "x" * 50]}, 1000) == {"a": [1, "x" * 50]}


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_no_character_moves_text(value):
    text = written(value)
    assert json.loads(text) == json.loads(json.dumps(value))
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
