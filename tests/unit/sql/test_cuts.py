"""How each statement of the corpus is cut, or why it is one task. That cuts give the same rows is a property test."""

from __future__ import annotations

import pytest
from tests.unit.sql.cut_corpus import corpus, cut_of

from osiris.sql.cuts import Cut, Feed, OneTask

CORPUS = corpus()
CUTS = [each for each in CORPUS if each.how != "one:"]


def test_corpus_has_many_of_each_kind():
    assert len({each.sql for each in CUTS if each.how == "split"}) >= 20
    assert len({each.sql for each in CUTS if each.how == "bucket"}) >= 50
    assert len(CORPUS) - len(CUTS) >= 70


@pytest.mark.parametrize("expected", CUTS, ids=lambda each: each.sql)
def test_cut(expected):
    answer = cut_of(expected.sql)
    assert isinstance(answer, Cut), answer
    words, _, merged = expected.words.partition(", merged")
    name, _, columns = (words + merged).removesuffix(", merged").partition(" ")
    feed = Feed(expected.how, tuple(filter(None, columns.split(", "))))
    assert answer.feeds[name] == feed
    assert {each.how for key, each in answer.feeds.items() if key != name} <= {"whole"}
    assert (answer.merge is not None) == ("merged" in expected.words)
    assert f"'{name}'" in answer.why


@pytest.mark.parametrize("expected", [each for each in CORPUS if each.how == "one:"], ids=lambda each: each.sql)
def test_one_task(expected):
    answer = cut_of(expected.sql)
    assert isinstance(answer, OneTask), answer
    assert expected.words.lower() in answer.reason.lower()
    assert answer.reason.endswith(".")
    assert answer.place is None or answer.place.line
