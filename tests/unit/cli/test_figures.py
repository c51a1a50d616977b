"""Numbers are aligned, and nouns agree with them."""

import pytest

from osiris.cli.render import figures
from osiris.units import count


def test_numbers_are_right_aligned_and_words_are_not():
    head, *lines = figures([("a", 1234567, 0.4), ("longer", None, 1234.5678)], ("step", "rows", "ms"))
    assert head[0][1] == "step         rows     ms"
    assert lines == ["a       1,234,567      0", "longer             1,235"]


def test_large_numbers_keep_their_digits():
    assert figures([(2**63 - 1,)], ("n",))[1] == "9,223,372,036,854,775,807"


def test_truth_values_are_words():
    assert figures([(True,), (False,)], ("is",))[1:] == ["True", "False"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1024, "1,024 steps")])
def test_count(number, text):
    assert count(number, "step") == text
