"""The catalogue of faults and canaries is complete, and each test that it names exists."""

import re
import tomllib
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
CATALOGUE = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))
NAMES = [*(f"F-{number}" for number in range(1, 29)), *(f"K-{number}" for number in range(1, 8))]
TESTS = sorted({test for entry in CATALOGUE.values() for test in entry.get("tests", ())})


def test_every_fault_is_tried_or_said_to_be_missing():
    assert list(CATALOGUE) == NAMES
    for entry in CATALOGUE.values():
        assert entry.keys() <= {"title", "tests", "missing"}
        assert entry["title"]
        assert entry.get("tests") or entry.get("missing")


@pytest.mark.parametrize("test", TESTS)
def test_a_test_of_the_catalogue_is_there(test):
    path, name = test.split("::")
    assert re.search(rf"^def {name}\(", (TREE / path).read_text(encoding="utf-8"), re.MULTILINE)
