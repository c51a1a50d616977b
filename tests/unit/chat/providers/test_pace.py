"""Limits per minute and per conversation; the clock is the test's, because minutes are long."""

import pytest

from osiris.chat.provider_api import Usage
from osiris.chat.providers.hosted import Budget, Pace
from osiris.errors import InvalidInput


class Clock:
    def __init__(self):
        self.now = 0.0

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def times(requests, tokens, *sizes):
    """Return the times at which requests are sent."""
    clock = Clock()
    pace = Pace(requests, tokens, clock.time, clock.sleep)
    found = []
    for size in sizes:
        pace.wait(size)
        found.append(clock.now)
        pace.sent(size)
        clock.now += 1
    return found


def test_without_limits_nothing_waits():
    assert times(None, None, *[10**9] * 4) == [0, 1, 2, 3]


def test_a_request_too_many_waits_until_the_oldest_is_a_minute_old():
    assert times(2, None, 1, 1, 1, 1, 1) == [0, 1, 60, 61, 120]


def test_tokens_too_many_wait_until_there_is_room():
    assert times(None, 100, 40, 40, 40, 20) == [0, 1, 60, 61]


def test_a_request_above_the_limit_waits_for_an_empty_window():
    assert times(None, 100, 40, 500, 40) == [0, 60, 120]


def test_a_budget_counts_what_was_spent_before():
    budget = Budget(1000, None, Usage(300, 200))
    budget.check(500)
    budget.spend(Usage(1, 0))
    with pytest.raises(InvalidInput, match="LLM006"):
        budget.check(500)


def test_a_price_that_is_not_known_costs_nothing():
    budget = Budget(1000, 0.01, Usage())
    budget.spend(Usage(1, 1, 1, None))
    budget.check(1)
    budget.spend(Usage(1, 1, 1, 0.01))
    with pytest.raises(InvalidInput, match="LLM007"):
        budget.check(1)
