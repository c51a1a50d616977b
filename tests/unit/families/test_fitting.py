"""A type holds another if each value of the other is a value of it."""

import pytest

from osiris.families.fitting import holds


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("utf8", "utf8"),
        ("int64", "int8"),
        ("int64", "uint32"),
        ("uint64", "uint8"),
        ("float64", "float32"),
        ("decimal(10,2)", "decimal(8,0)"),
        ("timestamp[us]", "timestamp[s]"),
        ("timestamp[ns,UTC]", "timestamp[ms,UTC]"),
        ("time[us]", "time[s]"),
    ],
)
def test_held(wide, narrow):
    assert holds(wide, narrow)
    assert wide == narrow or not holds(narrow, wide)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("int64", "uint64"),
        ("uint64", "int8"),
        ("float64", "int32"),
        ("decimal(10,2)", "decimal(10,1)"),
        ("decimal(10,2)", "decimal(10,3)"),
        ("timestamp[us]", "timestamp[us,UTC]"),
        ("timestamp[us,UTC]", "timestamp[us,Europe/Prague]"),
        ("utf8", "date"),
        ("list<int64>", "list<int8>"),
    ],
)
def test_not_held(wide, narrow):
    assert not holds(wide, narrow)
