"""A type holds another if each value of the other is one of its values."""

import re

import duckdb
import pytest

from osiris.errors import OsirisError
from osiris.families.type_compat import cast_hint, holds, uncarried
from osiris.model import Field
from osiris.registry import load_registry
from osiris.testing.trial import Trial
from osiris.testing.values import samples


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


WRITERS = {
    "filesystem.csv_writer": {"path": "out.csv"},
    "filesystem.json_writer": {"path": "out.jsonl"},
    "filesystem.parquet_writer": {"path": "out.parquet"},
    "duckdb.writer": {"table": "t"},
    "sqlite.writer": {"table": "t"},
    "mysql.writer": {"table": "t"},
    "postgres.writer": {"table": "t"},
    "supabase.writer": {"table": "t"},
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_type_that_a_target_lacks_is_refused_with_what_it_has(writer, tmp_path):
    """What the rejection suggests is then accepted: a cast to a type, or SQL."""
    trial = Trial(load_registry(), writer, tmp_path, WRITERS[writer], {"path": "data.db"})
    for kind in sorted({sample.type for sample in samples()}):
        try:
            trial.check((Field("a b", kind),))
        except OsirisError as error:
            (found,) = error.diagnostics
            assert (found.code, bool(found.hint)) == ("CMP012", True)
            cast = re.fullmatch(r'write cast: \{"a b": "(.+)"\} into the config of this step', found.hint)
            made = re.fullmatch(r'make a text of it in a SQL step before: .+\("a b".*\) AS "a b"', found.hint)
            assert cast or made, (kind, found.hint)
            trial.check((Field("a b", cast[1] if cast else "utf8"),))


def test_what_sql_makes_of_a_value_is_a_text():
    for kind in ("list<int64>", 'struct<"x":int64>', "uuid", "binary"):
        made = uncarried("s", 'a"b', kind, "it has none").hint.partition("before: ")[2]
        values = {"list<int64>": "[1]", "uuid": "uuid()", "binary": "'a'::BLOB"}
        source = f'SELECT {values.get(kind, "{x: 1}")} AS "a""b"'
        assert duckdb.sql(f"SELECT {made} FROM ({source})").types == ["VARCHAR"]


def test_a_name_that_a_target_lacks_is_not_mended_by_a_cast():
    assert "write cast" not in uncarried("s", "xmin", "uint64", "PostgreSQL has a column of that name").hint
