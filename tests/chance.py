"""Randomness in tests: the number of trials and the seed, which is printed and can be repeated with `pytest --seed N`.

Tests report here what they tried and how often; the JUnit report has it as properties of the test.
"""

from __future__ import annotations

import random

FEW, MANY = 3, 200
"""How often a process is killed at a random moment: in every run of the tests, and in the long ones."""

_given: list[int] = []
_tried: list[tuple[str, int]] = []


def give_seed(seed: int | None) -> None:
    """Use this seed for all random tests, if there is one."""
    _given[:] = [] if seed is None else [seed]


def draw_seed() -> int:
    """Return the seed of a test, printed so that a failure can be repeated."""
    seed = _given[0] if _given else random.randrange(1 << 32)
    print(f"seed {seed}")
    return seed


def say_tried(what: str, number: int) -> None:
    """Report what the test has tried, in the words of the page on reliability, and how often."""
    _tried.append((what, number))


def take_tried() -> list[tuple[str, int]]:
    """Return what was reported since the last call."""
    said = _tried[:]
    _tried.clear()
    return said
