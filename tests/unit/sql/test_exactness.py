"""A value that is called exact has a type of that kind in DuckDB, whatever the types of its parts are."""

from __future__ import annotations

from itertools import product

import duckdb
import pytest
from tests.unit.sql.cut_corpus import COLUMNS

from osiris.model import Field
from osiris.sql.exactness import Exactness, kind_of_type
from osiris.sql.flat import NotCut, read_flat
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import parse

TYPES = {
    **{f"int{bits}": name for bits, name in ((8, "TINYINT"), (16, "SMALLINT"), (32, "INTEGER"), (64, "BIGINT"))},
    **{f"uint{bits}": name for bits, name in ((8, "UTINYINT"), (32, "UINTEGER"), (64, "UBIGINT"))},
    "bool": "BOOLEAN", "decimal(4,1)": "DECIMAL(4,1)", "decimal(18,3)": "DECIMAL(18,3)",
    "decimal(38,0)": "DECIMAL(38,0)", "decimal(38,37)": "DECIMAL(38,37)", "float32": "FLOAT",
    "float64": "DOUBLE", "utf8": "VARCHAR", "binary": "BLOB",
    "date": "DATE", "time[us]": "TIME", "timestamp[us]": "TIMESTAMP", "timestamp[ns]": "TIMESTAMP_NS",
    "timestamp[us,UTC]": "TIMESTAMPTZ", "uuid": "UUID", "json": "JSON", "list<int32>": "INTEGER[]",
    "list<float64>": "DOUBLE[]",
}  # fmt: skip
NAMES = [f"c{number}" for number, _ in enumerate(TYPES)]
SCHEMA = tuple(Field(name, kind) for name, kind in zip(NAMES, TYPES, strict=True))
KINDS = {
    "bool": ("BOOLEAN",),
    "integer": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    "decimal": ("DECIMAL",),
    "text": ("VARCHAR", "BLOB"),
    "time": ("DATE", "TIME", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE"),
    "other": ("BLOB", "UUID"),
    "null": ('"NULL"',),
}
OF_ONE = """
{} -{} ({}) abs({}) round({}) round({},1) lower({}) upper({}) lcase({}) ucase({}) trim({}) ltrim({}) rtrim({}) md5({})
length({}) strlen({}) year({}) month({}) day({}) quarter({}) week({}) hour({}) minute({}) second({}) dayofweek({})
dayofyear({}) dayofmonth({}) weekofyear({}) last_day({}) date_trunc('month',{}) date_trunc('hour',{}) left({},2)
right({},2) substr({},2) substring({},2,1) lpad({},3,'a') rpad({},3,'a') replace({},'a','b') split_part({},'a',1)
regexp_replace({},'a','b') strpos({},'a') contains({},'a') starts_with({},'a') ends_with({},'a') {}||'a' {}+1 {}-1 {}*2
{}+0.5 {}*0.5 {}//2 {}%3 {}+99999999999999999999 coalesce({},0) coalesce({},0.5) coalesce({},'x') nullif({},0)
greatest({},1.5) least({},NULL) {}+1e0 {}>1 sum({}) min({}) max({}) avg({}) count({}) count_if({}) bool_or({})
bool_and({}) CAST({}AS\tVARCHAR) CAST({}AS\tDECIMAL(9,2)) CAST({}AS\tBIGINT) CAST({}AS\tHUGEINT) CAST({}AS\tUHUGEINT)
CAST({}AS\tDATE) CAST({}AS\tTIMESTAMP) CAST({}AS\tTIME) CAST({}AS\tDOUBLE) TRY_CAST({}AS\tINTEGER) extract(year\tFROM{})
extract(epoch\tFROM{}) extract(julian\tFROM{}) if({}IS\tNULL,1,2)
regexp_matches({},'a') ifnull({},1)
date_diff('day',{},{}) lag({})OVER() lead({},1)OVER() first_value({})OVER() last_value({})OVER() rank()OVER(ORDER\tBY{})
ntile(2)OVER(ORDER\tBY{}) row_number()OVER(ORDER\tBY{})
dense_rank()OVER(ORDER\tBY{}) make_date({},1,1) sum({})FILTER(WHERE\t{}IS\tNULL)
"""
OF_TWO = """
{}+{} {}-{} {}*{} {}//{} {}%{} {}||{} coalesce({},{}) greatest({},{}) least({},{}) nullif({},{}) ifnull({},{})
CASE\tWHEN\ttrue\tTHEN{}ELSE{}END if(true,{},{}) lag({},1,{})OVER()
"""


def spelled(form, *names):
    return form.replace("\t", " ").replace("{}", " {} ").format(*names, *names)


def kind_of(text):
    tree = parse(f"SELECT {text} AS v FROM types", DIALECTS["duckdb"].load_grammar())[0]
    try:
        flat = read_flat(tree, {"types": "types"}, {"types": SCHEMA})
    except NotCut:
        return None
    return Exactness(flat).kind(flat.outputs[0].value)


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as engine:
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, TYPES.values(), strict=True))
        engine.execute(f"CREATE TABLE types ({columns})")
        yield engine


def type_in_duckdb(engine, text):
    try:
        return str(engine.execute(f"DESCRIBE SELECT {text} AS v FROM types").fetchall()[0][1])
    except duckdb.Error:
        return None


def checked(engine, texts):
    """Return how many values have a kind, and a type in DuckDB, which must be one of the kind."""
    exact = 0
    for text in texts:
        kind = kind_of(text)
        found = type_in_duckdb(engine, text) if kind else None
        if kind and found:
            assert found.partition("(")[0] in KINDS[kind], (text, kind, found)
            exact += 1
    return exact


def test_values_of_one_column(engine):
    texts = [spelled(form, name) for form in OF_ONE.replace("\n", " ").strip().split(" ") for name in NAMES]
    assert checked(engine, texts) >= 700


@pytest.mark.parametrize("form", OF_TWO.replace("\n", " ").strip().split(" "))
def test_values_of_two_columns(engine, form):
    assert checked(engine, [spelled(form, one, other) for one, other in product(NAMES, NAMES)]) >= 1


def test_types():
    exact = {name for name in TYPES if kind_of_type(name)}
    assert exact == TYPES.keys() - {"float32", "float64", "json", "list<int32>", "list<float64>"}
    others = [
        "decimal(39,0)",
        "decimal(76,2)",
        "list<utf8>",
        'struct<"a":int32>',
        "float64",
        "time",
        "int128",
        "utf8[]",
    ]
    assert not [name for name in others if kind_of_type(name)]
    assert {kind_of_type(kind) for columns in COLUMNS.values() for kind, _ in columns.values()} >= {None, "decimal"}
