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
    fed = {name: feed for name, feed in answer.feeds.items() if feed.how != "whole"}
    assert fed == dict(map(feed_of(expected.how), expected.words.removesuffix(", merged").split(" + ")))
    assert (answer.merge is not None) == ("merged" in expected.words)
    assert all(f"'{name}'" in answer.why for name in fed)


def feed_of(how):
    def feed(words):
        name, _, columns = words.partition(" ")
        return name, Feed(how, tuple(filter(None, columns.split(", "))))

    return feed


@pytest.mark.parametrize("expected", [each for each in CORPUS if each.how == "one:"], ids=lambda each: each.sql)
def test_one_task(expected):
    answer = cut_of(expected.sql)
    assert isinstance(answer, OneTask), answer
    assert expected.words.lower() in answer.reason.lower()
    assert answer.reason.endswith(".")
    assert answer.place is None or answer.place.line
