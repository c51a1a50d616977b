"""Compiled functions give exactly the results of the Python functions, or None, for any input."""

import time

import numpy as np
import osiris_kernels
import pytest
from tests.chance import draw_seed, say_tried
from tests.kernels.cases import Case, judge, tried, twins
from tests.kernels.generators import GENERATORS

NAMES = sorted(twins())
CASES = 200
FUZZED = 60
"""Seconds for which each twin is tried in the long tests."""


def test_every_twin_has_a_generator():
    assert sorted(GENERATORS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_gives_the_same_result_or_none(name):
    assert tried(name, draw_seed(), range(CASES), getattr(osiris_kernels, name)) == []
    say_tried("inputs of compiled twins, plain and hostile, with the same result", CASES)


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_leaves_some_hostile_inputs_to_python(name):
    """Hostile inputs include some that are left to Python."""
    twin, python = getattr(osiris_kernels, name), twins()[name]
    with np.errstate(all="ignore"):
        assert not all(judge(Case(name, 1, number), twin, python) for number in range(1, 400, 2))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_twin_gives_the_same_result_or_none_for_a_minute(name):
    seed, first, end = draw_seed(), 0, time.monotonic() + FUZZED
    while time.monotonic() < end:
        assert tried(name, seed, range(first, first + 100), getattr(osiris_kernels, name)) == []
        first += 100
    say_tried("inputs of compiled twins, plain and hostile, with the same result", first)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda result: result + 1, "is now"),
        (lambda result: result.astype(np.float64), "is now"),
        (lambda result: result[:, :1], "is now"),
        (lambda result: result[:-1], "is now"),
        (lambda result: result.view(">i8"), "is now"),
    ],
)
def test_a_twin_that_gives_another_result_is_found(wrong, said):
    def twin(*args):
        return wrong(osiris_kernels.postgres_decimals(*args))

    with pytest.raises(AssertionError, match=said):
        tried("postgres_decimals", 1, range(0, 20, 2), twin)


def test_a_twin_that_answers_where_python_raises_is_found():
    def twin(*args):
        try:
            return twins()["columns_load"](*args)
        except IndexError:
            return np.zeros(len(args[2]), args[1])

    with pytest.raises(AssertionError, match="Python raises"):
        tried("columns_load", 1, range(1, 400, 2), twin)


def test_a_twin_that_changes_its_arguments_and_leaves_them_to_python_is_found():
    def twin(page, kind, at):
        if len(page.u1):
            page.u1[0] ^= 1

    with pytest.raises(AssertionError, match="changed the arguments"):
        tried("columns_load", 1, range(10), twin)


def test_a_twin_that_never_answers_is_found():
    assert tried("columns_load", 1, range(10), lambda *args: None) == [0, 2, 4, 6, 8]
