"""Schemas of queries, as the engine binds them."""

from __future__ import annotations

import json

import pytest

from osiris.errors import OsirisError
from osiris.model import Field
from osiris.sql import check
from osiris.sql.binding.bind import bind

ORDERS = (
    Field("id", "int64"),
    Field("amount", "decimal(12,2)"),
    Field("placed", "timestamp[us]"),
    Field("naïve", "utf8"),
)


def types(sql, parameters=None, **inputs):
    inputs = inputs or {"orders": ORDERS}
    verdict = check(sql, "duckdb", relations=inputs.keys(), parameters=parameters or ())
    assert verdict.ok, [str(d) for d in verdict.diagnostics]
    return [(field.name, field.type) for field in bind(verdict, inputs, parameters or {})]


def problems(sql, **inputs):
    with pytest.raises(OsirisError) as caught:
        types(sql, **inputs)
    return caught.value.diagnostics


TYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"),
    *("decimal(5,2)", "decimal(38,10)", "utf8", "binary", "date", "time[us]", "time[ns]", "uuid", "json"),
    *("timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]", "timestamp[us,UTC]", "timestamp[ns,UTC]"),
    *("list<int32>", "list<bool>", "list<list<utf8>>", 'struct<"a":int32,"b":list<bool>>', 'list<struct<"x y":uuid>>'),
)


def test_every_type_passes_unchanged():
    schema = tuple(Field(f"c{number}", kind) for number, kind in enumerate(TYPES))
    assert types("SELECT * FROM t", t=schema) == [(field.name, field.type) for field in schema]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("time[s]", "time[us]"),
        ("time[ms]", "time[us]"),
        ("timestamp[s,UTC]", "timestamp[us,UTC]"),
        ("timestamp[us,Europe/Prague]", "timestamp[us,UTC]"),
    ],
)
def test_types_that_the_engine_holds_in_a_finer_one(given, found):
    assert types("SELECT * FROM t", t=(Field("a", given),)) == [("a", found)]


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("count(*)", "int64"),
        ("sum(id)", "decimal(38,0)"),
        ("sum(amount)", "decimal(38,2)"),
        ("avg(amount)", "float64"),
        ("max(placed)::DATE", "date"),
        ("1::UHUGEINT", "decimal(38,0)"),
        ("'a'::ENUM('a', 'b')", "utf8"),
        ("NULL", "int32"),
        ("[1, 2]::INT[2]", "list<int32>"),
        ("{'total': sum(id)}", 'struct<"total":decimal(38,0)>'),
        ("[1::HUGEINT]", "list<decimal(38,0)>"),
        ("map_entries(MAP {'a': 1})", 'list<struct<"key":utf8,"value":int32>>'),
        ("first('{}'::JSON)", "json"),
    ],
)
def test_types_of_expressions(expression, kind):
    assert types(f"SELECT {expression} AS r FROM orders") == [("r", kind)]


@pytest.mark.parametrize(
    "expression",
    ["INTERVAL 1 DAY", "MAP {'a': 1}", "'101'::BIT", "TIMETZ '10:00:00+01'", "union_value(k := 1)", "[INTERVAL 1 DAY]"],
)
def test_types_that_no_step_can_be_handed(expression):
    (found,) = problems(f"SELECT {expression} AS r FROM orders")
    assert (found.code, found.hint is not None) == ("DAT006", True)
    assert "'r'" in found.message


def test_too_many_digits():
    (found,) = problems("SELECT 1 AS x FROM t", t=(Field("wide", "list<decimal(50,2)>"),))
    assert (found.code, "'wide'" in found.message) == ("DAT006", True)


@pytest.mark.parametrize(
    ("column", "place", "hint"),
    [
        ("o.amuont", 9, "did you mean 'amount' (decimal(12,2))?"),
        ('"o"."amo unt"', 11, "did you mean 'amount' (decimal(12,2))?"),
        ("x.amount", 7, "available: o"),
        ("o.zzz", 9, "columns: amount decimal(12,2), id int64, naïve utf8, placed timestamp[us]"),
    ],
)
def test_unknown_name_behind_the_name_of_a_table(column, place, hint):
    (found,) = problems(f"SELECT\n  1 + {column}\nFROM orders AS o")
    assert (found.code, found.location.line, found.location.column) == ("SQL009", 2, place)
    assert found.hint == hint


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("a JOIN b ON a.name = b.id", (5, 6)),
        ("a, b WHERE a.name IS DISTINCT FROM b.id", (5, 3)),
        ("a JOIN (SELECT id AS name FROM b) AS c USING (name)", (9, 10)),
    ],
)
def test_text_is_not_compared_with_numbers(rest, place):
    a, b = (Field("name", "utf8"),), (Field("id", "int64"),)
    (found,) = problems(f"SELECT 1 AS x FROM {rest}", a=a, b=b)
    assert (found.location.line, found.location.column) == place
    assert (found.code, found.message) == ("SQL009", "this compares utf8 with int64")
    assert found.hint == "CAST one of them to the type that is meant"


@pytest.mark.parametrize(
    "rest", ["a JOIN b ON a.name = b.doc", "a, b WHERE a.name = CAST(b.id AS TEXT)", "a WHERE born = '2020-01-01'"]
)
def test_text_is_compared_with_what_it_can_be(rest):
    a, b = (Field("name", "utf8"), Field("born", "date")), (Field("id", "int64"), Field("doc", "json"))
    assert types(f"SELECT 1 AS x FROM {rest}", a=a, b=b)


def test_unknown_column_with_place_and_near_name():
    (found,) = problems("SELECT id,\n amuont FROM orders")
    assert (found.code, found.location.line, found.location.column) == ("SQL009", 3, 3)
    assert (found.message, found.hint) == ("there is no column 'amuont'", "did you mean 'amount' (decimal(12,2))?")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("SELECT id, sum(amount) AS n FROM a GROUP BY day", "add id to GROUP BY, or aggregate it, for example min(id)"),
        ("SELECT a.id, max(day) AS n FROM a", "add GROUP BY a.id, or aggregate it, for example min(a.id)"),
        ("SELECT id FROM a, b", "write a.id or b.id"),
        ("SELECT a.day, a.idd FROM a GROUP BY a.day", "did you mean 'id' (int64)?"),
        ("SELECT day, idd FROM a GROUP BY day", "did you mean 'id' (int64)?"),
        ("SELECT x.id FROM a AS x JOIN b AS y ON x.id = y.id WHERE id > 1", "write x.id or y.id"),
        ("SELECT sum(name) AS n FROM b", "correct the statement; CAST(column AS type) converts a column"),
        ("SELECT (SELECT id FROM b WHERE n = 1) FROM a", "columns: amount int64, day date, id int64, name utf8"),
    ],
)
def test_hint_of_a_column_that_is_there_and_cannot_be_used(query, hint):
    a = (Field("id", "int64"), Field("amount", "int64"), Field("day", "date"))
    b = (Field("id", "int64"), Field("name", "utf8"))
    assert problems(query, a=a, b=b)[0].hint == hint


def test_places_count_characters_and_not_bytes():
    (found,) = problems("SELECT 'ščř' || x AS naïf FROM orders")
    assert (found.location.line, found.location.column) == (2, 12)


def test_unknown_column_lists_the_columns():
    (found,) = problems("SELECT zzz FROM orders")
    assert found.hint == "columns: amount decimal(12,2), id int64, naïve utf8, placed timestamp[us]"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT upper(id, 1) AS x FROM orders", "upper"),
        ("SELECT sum(naïve) AS x FROM orders", "sum(VARCHAR)"),
        ("SELECT id FROM orders GROUP BY amount", "GROUP BY"),
        ("SELECT id, id FROM orders", "two columns of the result are called 'id'"),
        ("SELECT id, 1 AS ID FROM orders", "'id' and 'ID'"),
    ],
)
def test_other_misfits(sql, words):
    (found,) = problems(sql)
    assert found.code == "SQL009"
    assert words in found.message


def test_inputs_whose_columns_differ_in_case_only():
    (found,) = problems("SELECT 1 AS x FROM t", t=(Field("a", "int64"), Field("A", "int64")))
    assert found.code == "SQL009"
    assert "'a' and 'A'" in found.message


ODD_NAMES = (
    *([""], ["", "v0"], ["v1", ""], ["a", "", "v1"], ["", "f0", "column0", "unnamed"], ["v0"], ["v0", "v1"]),
    *(["a\0b"], ["a\0b", "a"], ["a\0b", "a\0c"], ["\0"]),
    *(["a", "A"], ["a", "a_1", "A"], ["é", "É"], ["k", "\u212a"], ["é", "e\u0301"], ["ß", "SS"], ["i", "İ"]),
    *(["s", "\u017f"], ["\u01c4", "\u01c5"], ["\u03c3", "\u03c2"]),
    *([" a", "a ", "a"], ["a.b", 'a"b', "a'b"], ["*", "#1", "1", "?"], ["\n", "\t", "\ufeff", "\u200b"], ["x" * 300]),
    *(["rowid", "filename", "t"], ["select", "from", "true", "null"], ["ž 😀", "\uffff"]),
)


@pytest.mark.parametrize("names", ODD_NAMES)
def test_names_of_an_input_are_kept_or_refused(names):
    schema = tuple(Field(name, "int64") for name in names)
    changed = any(not name or "\0" in name for name in names) or len({name.lower() for name in names}) < len(names)
    if changed:
        assert [found.code for found in problems("SELECT * FROM t", t=schema)] == ["SQL009"]
    else:
        assert types("SELECT * FROM t", t=schema) == [(name, "int64") for name in names]


@pytest.mark.parametrize("names", ODD_NAMES)
@pytest.mark.parametrize("around", ["{}", 'list<struct<"x":{}>>'])
def test_names_inside_a_column_are_kept_or_refused(names, around):
    fields = ",".join(f"{json.dumps(name, ensure_ascii=False)}:int64" for name in names)
    schema = (Field("a", "int64"), Field("b", around.format(f"struct<{fields}>")))
    if any(not name or "\0" in name for name in names):
        (found,) = problems("SELECT * FROM t", t=schema)
        assert (found.code, found.message) == ("SQL009", "a name in column 2 of input 't' is empty or contains NUL")
    else:
        assert types("SELECT * FROM t", t=schema) == [(field.name, field.type) for field in schema]


def test_a_column_without_a_name_is_refused_wherever_it_is_read():
    (found,) = problems("SELECT v0 FROM t", t=(Field("v0", "int64"), Field("", "int64")))
    assert (found.code, found.message) == ("SQL009", "column 2 of input 't' has no name")
    assert found.hint == "SQL would change it: give it a name in the source"


def test_parameters_have_their_types():
    parameters = {"run_id": "utf8", "run_started_at": "timestamp[us,UTC]"}
    assert types("SELECT $run_id AS a, $run_started_at AS b", parameters) == [("a", "utf8"), ("b", "timestamp[us,UTC]")]
