"""The trust programme tries what it says: each of its tests is there."""

from pathlib import Path

import pytest
from bench.trust.kinds import KINDS

TREE = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_kind_names_tests_that_are_there(kind):
    assert [name for name in kind.tests if not (TREE / name).exists()] == []
