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
    words, *stages = f"{expected.how} {expected.words}".split(" < ")
    check_feeds(answer, words.removesuffix(", merged"))
    assert (answer.merge is not None) == words.endswith(", merged")
    expected_stages = dict(each.split(": ") for each in stages)
    assert sorted(answer.stages) == sorted(expected_stages)
    for name, stage in answer.stages.items():
        check_feeds(stage, expected_stages[name])


def check_feeds(select, words):
    how, _, feeds = words.strip().partition(" ")
    fed = {name: feed for name, feed in select.feeds.items() if feed.how != "whole"}
    assert fed == ({} if how == "whole" else dict(feed_of(how, each) for each in feeds.split(" + ")))
    assert all(f"'{name}'" in select.why for name in fed)


def feed_of(how, words):
    name, _, columns = words.partition(" ")
    return name, Feed(how, tuple(filter(None, columns.split(", "))))


@pytest.mark.parametrize("expected", [each for each in CORPUS if each.how == "one:"], ids=lambda each: each.sql)
def test_one_task(expected):
    answer = cut_of(expected.sql)
    assert isinstance(answer, OneTask), answer
    assert expected.words.lower() in answer.reason.lower()
    assert answer.reason.endswith(".")
    assert answer.place is None or answer.place.line
