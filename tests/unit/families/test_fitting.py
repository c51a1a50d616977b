"""A type holds another if each value of the other is a value of it."""

import pytest

from osiris.families.fitting import cast_hint, holds


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


@pytest.mark.parametrize(
    ("wide", "narrow", "offered"),
    [
        ("int32", "int64", True),
        ("decimal(5,2)", "decimal(10,4)", True),
        ("utf8", "int64", True),
        ("date", "utf8", True),
        ("int64", "int32", False),
        ("binary", "int64", False),
        ("list<int32>", "list<int64>", False),
        ("date", "int64", False),
        (None, "int64", False),
    ],
)
def test_a_cast_is_offered_where_it_can_be_done(wide, narrow, offered):
    assert bool(cast_hint("a", wide, narrow)) == offered
