"""Mistakes in all shipped pipelines are caught, located, and fixed by the suggested fix.

`python -m tests.golden.mutation.score` prints the figures by operator.
"""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from tests.golden.mutation.corpus import cases
from tests.golden.mutation.mutant import OPERATORS
from tests.golden.mutation.same import SAME
from tests.golden.mutation.score import false_alarms, score, share, table

pytestmark = pytest.mark.long

CAUGHT, LOCATED = 0.99, 0.98
MENDED = {"all": 0.72, "some of each": 0.60}
"""Only what is certain has a fix, so that many a mistake is left to people; rare kinds weigh more in "some of each"."""


@pytest.fixture(scope="module", params=["some of each", pytest.param("all", marks=pytest.mark.long)])
def whole(request):
    """Whether all examples of components and all mistakes of each kind are tried; otherwise one example and two
    mistakes.
    """
    return request.param == "all"


@pytest.fixture(scope="module")
def names(whole):
    return [case.name for case in cases(whole=whole)]


@pytest.fixture(scope="module")
def scores(names, whole):
    return score(names, None if whole else 2)


@pytest.fixture(scope="module")
def alarms(names):
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(false_alarms, names))


def all_of(scores):
    return sum(scores.values(), Counter())


def test_there_are_many_kinds_of_mistakes_and_each_is_made(scores):
    assert len(OPERATORS) >= 25
    assert [name for name, counted in scores.items() if not counted["mutants"]] == []


def test_mistakes_are_caught_where_they_are(scores):
    total = all_of(scores)
    print("\n".join(table(scores)))
    assert share(total, "caught") >= CAUGHT
    assert share(total, "located") >= LOCATED


def test_the_first_fix_that_is_suggested_mends_most(scores, whole):
    total = all_of(scores)
    print("\n".join(table(scores)))
    assert share(total, "mended", of="mendable") >= MENDED["all" if whole else "some of each"]


def test_no_kind_of_mistake_goes_by(scores):
    assert {name for name, counted in scores.items() if share(counted, "caught") < 0.75} == set()


def test_what_is_no_mistake_is_no_alarm(alarms):
    assert [(name, found) for case in alarms for name, texts in case.items() for found in texts if found] == []
    assert all(sum(len(case[name]) for case in alarms) for name in SAME)
