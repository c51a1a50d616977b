"""What a model answers is believed only where it is of the shape that was asked for, and names what there is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.unit.chat.talking import interest, proposal, question, refusal
from tests.unit.chat.worlds import CHOICES

from osiris.api import format_text
from osiris.chat.choices import Choices
from osiris.chat.oml import render
from osiris.chat.proposal import LONGEST_SQL, Interest, Proposal, Question, Refusal, Source, Target, read, schema
from osiris.errors import InvalidInput

ORDERS = "@sqlite.shop/orders"
CUSTOMERS = "@sqlite.shop/customers"
TABLE = {"component": "duckdb.writer", "connection": "@duckdb.warehouse", "table": "orders", "mode": "append"}


def problems(value, purpose="synthesis", choices=CHOICES):
    with pytest.raises(InvalidInput) as caught:
        read(purpose, value, choices)
    assert {item.code for item in caught.value.diagnostics} == {"CHT001"}
    return [item.location.pointer for item in caught.value.diagnostics]


def test_a_proposal_is_read():
    value = proposal(
        ORDERS, sql="SELECT 1\r\nFROM orders", name="totals", assumptions=["in euros"], path="output/x.csv"
    )

    said = read("synthesis", value, CHOICES)

    target = Target("filesystem.csv_writer", path="output/x.csv")
    assert said == Proposal("totals", (Source(ORDERS),), "SELECT 1\nFROM orders", target, ("in euros",))


def test_a_file_has_a_path_even_if_none_is_given():
    assert read("synthesis", proposal(ORDERS, name="totals"), CHOICES).target.path == "output/totals.csv"


def test_a_file_is_always_replaced_so_that_mode_says_nothing():
    assert read("synthesis", proposal(ORDERS, mode="replace"), CHOICES).target.mode is None


def test_a_table_keeps_its_mode_and_key():
    value = proposal(ORDERS, **{**TABLE, "mode": "upsert", "key": ["id"]})

    said = read("regenerate", value, CHOICES)

    assert said.target == Target("duckdb.writer", "@duckdb.warehouse", None, "orders", "upsert", ("id",))


def test_interest_questions_and_refusals_are_read():
    assert read("intent", interest(ORDERS, ORDERS, CUSTOMERS), CHOICES) == Interest((ORDERS, CUSTOMERS))
    asked = read("synthesis", question("Which\ncolumn?", "a", "b"), CHOICES)
    assert asked == Question("column", "Which column?", ("a", "b"))
    assert read("intent", refusal("no such table"), CHOICES) == Refusal("no such table")


def test_what_is_said_is_one_short_visible_line():
    said = read("intent", question("a\u202eb\x1b[31m" + "x" * 900), CHOICES)

    assert said.text.startswith("ab[31mxxx")
    assert len(said.text) == 500


@pytest.mark.parametrize("value", ["", None, [], 5, "SELECT 1", {}, {"tables": "x"}, {"question": 4, "cannot": {}}])
@pytest.mark.parametrize("purpose", ["intent", "synthesis", "regenerate"])
def test_what_is_no_answer_is_refused(value, purpose):
    assert problems(value, purpose)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "../x"}, "/name"),
        ({"name": "Totals"}, "/name"),
        ({"name": "x" * 61}, "/name"),
        ({"sources": []}, "/sources"),
        ({"sources": [{"relation": "@sqlite.shop/passwords", "columns": None}]}, "/sources/0/relation"),
        ({"sources": [{"relation": ORDERS, "columns": ["id", "iban"]}]}, "/sources/0/columns/1"),
        ({"sources": [{"relation": ORDERS, "columns": []}]}, "/sources/0/columns"),
        ({"sources": [{"relation": ORDERS, "columns": None}] * 2, "sql": "SELECT 1"}, "/sources"),
        ({"sources": [{"relation": each, "columns": None} for each in (ORDERS, CUSTOMERS)]}, "/sql"),
        ({"sql": "  "}, "/sql"),
        ({"sql": "SELECT '" + "x" * LONGEST_SQL + "'"}, "/sql"),
        ({"sql": "SELECT '\x00'"}, "/sql"),
        ({"sql": 5}, "/sql"),
        ({"target": None}, "/target"),
        ({"assumptions": [1]}, "/assumptions/0"),
        ({"shell": "rm -rf /"}, ""),
    ],
)
def test_each_problem_has_its_place(change, pointer):
    assert problems({**proposal(ORDERS), **change}) == [pointer]


@pytest.mark.parametrize(
    ("target", "pointer"),
    [
        ({"component": "shell.writer"}, "/target/component"),
        ({"connection": "@duckdb.warehouse"}, "/target/connection"),
        ({"table": "x"}, "/target/table"),
        ({"mode": "append"}, "/target/mode"),
        ({"path": ""}, "/target/path"),
        ({"path": "  "}, "/target/path"),
        ({"path": "a\nb\x07"}, "/target/path"),
        ({**TABLE, "connection": "@duckdb.elsewhere"}, "/target/connection"),
        ({**TABLE, "connection": "@sqlite.shop"}, "/target/connection"),
        ({**TABLE, "connection": None}, "/target/connection"),
        ({**TABLE, "table": None}, "/target/table"),
        ({**TABLE, "table": "${params.x}"}, "/target/table"),
        ({**TABLE, "mode": None}, "/target/mode"),
        ({**TABLE, "mode": "drop"}, "/target/mode"),
        ({**TABLE, "mode": "upsert"}, "/target/key"),
        ({**TABLE, "key": ["id"]}, "/target/key"),
        ({**TABLE, "path": "x.csv"}, "/target/path"),
    ],
)
def test_a_target_is_one_that_there_is(target, pointer):
    assert problems(proposal(ORDERS, **target)) == [pointer]


def test_all_problems_are_told_at_once():
    value = {**proposal("@sqlite.shop/nothing", **{**TABLE, "mode": "drop"}), "name": 7}

    assert problems(value) == ["/name", "/sources/0/relation", "/target/mode"]


def test_a_near_name_is_a_hint():
    with pytest.raises(InvalidInput) as caught:
        read("intent", interest("@sqlite.shop/order"), CHOICES)

    assert caught.value.diagnostics[0].hint == f"did you mean '{ORDERS}'?"


@pytest.mark.parametrize("purpose", ["intent", "synthesis", "regenerate"])
@pytest.mark.parametrize("choices", [CHOICES, Choices((), ())], ids=["some", "none"])
def test_the_schema_keeps_to_what_strict_modes_take(purpose, choices):
    made = schema(purpose, choices)

    Draft202012Validator.check_schema(made)
    assert made["type"] == "object"
    inner = list(parts(made))
    objects = [each for each in inner if each.get("type") == "object"]
    assert objects
    for each in objects:
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
    assert {key for each in inner for key in each} <= {
        *("type", "properties", "required", "additionalProperties", "items", "enum", "anyOf")
    }
    assert all(each["enum"] for each in inner if "enum" in each)


def parts(node):
    yield node
    inner = [*node.get("properties", {}).values(), *node.get("anyOf", ()), *filter(None, [node.get("items")])]
    for each in inner:
        yield from parts(each)


def test_a_proposal_fits_its_schema():
    Draft202012Validator(schema("synthesis", CHOICES)).validate(proposal(ORDERS, **TABLE))


def test_very_many_relations_are_not_listed_but_known():
    many = Choices(tuple(CHOICES.relations[0].__class__(f"t{n}", f"t{n}", "*", f"t{n}", {}) for n in range(500)), ())

    assert "t7" not in str(schema("intent", many))
    assert read("intent", interest("t7"), many) == Interest(("t7",))
    assert problems(interest("t900"), "intent", many) == ["/tables/0"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FILES = st.fixed_dictionaries({"path": st.none() | st.text()})
TABLES = st.fixed_dictionaries({"table": st.text(), "mode": st.sampled_from(["append", "replace"])}).map(
    lambda target: {**TABLE, **target}
)
PROPOSALS = st.builds(
    lambda sql, said, target: proposal(ORDERS, sql=sql, assumptions=said, **target),
    st.none() | st.text(),
    st.lists(st.text(), max_size=2),
    FILES | TABLES,
)


@settings(deadline=None)
@given(st.sampled_from(["intent", "synthesis", "regenerate"]), JSON | PROPOSALS)
def test_any_answer_is_refused_or_makes_a_pipeline_in_its_final_form(purpose, value):
    try:
        said = read(purpose, value, CHOICES)
    except InvalidInput:
        return
    if isinstance(said, Proposal):
        text = render(said, CHOICES)
        assert format_text(text, "x.yaml") == text


def test_a_flood_is_refused_at_once():
    flood = "x" * 10_000_000
    value = {**proposal(ORDERS), "sources": [{"relation": f"r{n}", "columns": None} for n in range(50_000)]}

    assert len(problems(value)) == 20
    assert problems({**proposal(ORDERS), "sql": flood}) == ["/sql"]
    assert problems(interest(flood), "intent") == ["/tables/0"]
    assert len(read("intent", refusal(flood), CHOICES).reason) == 500
