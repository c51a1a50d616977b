"""The inputs of the statements that may be cut, and the statements with what is expected of them."""

from __future__ import annotations

from typing import NamedTuple

from tests.unit.sql.conftest import lines

from osiris.model import Field
from osiris.sql.check_text import check
from osiris.sql.cuts import cut

COLUMNS = {
    "df": {
        "id": ("int32", "INTEGER"), "x": ("int32", "INTEGER"), "s": ("utf8", "VARCHAR"),
        "d": ("timestamp[us]", "TIMESTAMP"), "amt": ("decimal(9,2)", "DECIMAL(9, 2)"), "f": ("float64", "DOUBLE"),
        "l": ("list<int32>", "INTEGER[]"), "g": ("list<float64>", "DOUBLE[]"), "j": ("json", "JSON"),
        "Mixed Name": ("utf8", "VARCHAR"), "id_1": ("int32", "INTEGER"), "tz": ("timestamp[us,UTC]", "TIMESTAMPTZ"),
        "st": ('struct<"id":int32,"x":int32,"f":float64>', "STRUCT(id INTEGER, x INTEGER, f DOUBLE)"),
        "u": ("uuid", "UUID"), "b": ("binary", "BLOB"), "big": ("uint64", "UBIGINT"), "dt": ("date", "DATE"),
        "bo": ("bool", "BOOLEAN"),
    },
    "w": {"id": ("int32", "INTEGER"), "v": ("int32", "INTEGER"), "name": ("utf8", "VARCHAR")},
    "Rates": {"since": ("timestamp[us]", "TIMESTAMP"), "cur": ("utf8", "VARCHAR"), "rate": ("int32", "INTEGER")},
    "other": {
        "id": ("int32", "INTEGER"), "x": ("int32", "INTEGER"), "s": ("utf8", "VARCHAR"), "f": ("float64", "DOUBLE"),
        "far": ("int64", "BIGINT"), "pos": ("uint64", "UBIGINT"), "amt": ("decimal(9,1)", "DECIMAL(9, 1)"),
        "dt": ("date", "DATE"),
    },
}  # fmt: skip
"""The types of the inputs' columns: ours, and the engine's."""
SCHEMAS = {name: tuple(Field(each, kind) for each, (kind, _) in columns.items()) for name, columns in COLUMNS.items()}
NAMES = {"df": "df", "input_df": "df", "w": "w", "rates": "Rates", "df_rates": "Rates", "other": "other"}


class Expected(NamedTuple):
    """A statement; the inputs that are cut and how, or the words of the reason why it is one task."""

    sql: str
    how: str
    words: str


def corpus():
    split = (line.rpartition(" -- ") for line in lines("cuts.sql"))
    return [Expected(sql, *told.partition(" ")[::2]) for sql, _, told in split]


def canonical(sql):
    verdict = check(sql, "duckdb", relations=[*NAMES])
    assert verdict.canonical, (sql, verdict.diagnostics)
    return verdict.canonical


def cut_of(sql, cut_input=None):
    return cut(canonical(sql), NAMES, SCHEMAS, cut_input)
