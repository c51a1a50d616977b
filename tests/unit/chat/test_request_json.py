"""The schema of a request is valid for all providers, and an answer is accepted only if it fits the request."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.unit.chat.talking import question, refusal
from tests.unit.chat.test_render import CHOICES, CUSTOMERS, request

from osiris.chat.provider_api import Question, Refusal
from osiris.chat.render import render_request
from osiris.chat.request import (
    Chosen,
    Computed,
    Filter,
    Group,
    Measure,
    Output,
    Pick,
    Pivot,
    Request,
    Sort,
    Source,
    Step,
)
from osiris.chat.request_json import answer_schema, read_request, to_json
from osiris.errors import InvalidInput

SCHEMA = answer_schema(Request, CHOICES)
EXAMPLES = [
    request(Step("t", "orders", filters=(Filter("status", "=", ("paid",)), Filter("qty", ">", ("3",), either=1)))),
    request(
        Step("a", "orders", joins=(CUSTOMERS,), compute=(Computed("x", "replace", "name", value="a"),)),
        Step(
            "b", "a", group=(Group("d", "month"),), measures=(Measure("n", "count"),), sort=(Sort("n", True),), limit=3
        ),
        Step("c", "orders", group=(Group("d"),), pivot=Pivot("status", ("a", "b"), "sum", "amount")),
        Step("e", "orders", pick=Pick(("customer_id",), (Sort("ts", True),)), columns=(Chosen("id", "order id"),)),
        Step("f", sql="SELECT id FROM e", inputs=("e",)),
    ),
    request(
        Step("t", "orders", group=(Group("status"),)),
        outputs=(Output("t", "duckdb.writer", "@duckdb.warehouse", table="t", mode="upsert", key=("status",)),),
        assumptions=("amounts are in euros",),
    ),
]


def objects(schema):
    """Yield every schema inside of a schema."""
    yield schema
    for part in (
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", ()),
        *filter(None, [schema.get("items")]),
    ):
        yield from objects(part)


def problems(value):
    with pytest.raises(InvalidInput) as caught:
        read_request(value, CHOICES)
    assert {item.code for item in caught.value.diagnostics} == {"CHT001"}
    return {item.location.pointer: item.hint for item in caught.value.diagnostics}


def test_the_schema_is_in_what_strict_modes_have_in_common():
    """OpenAI: all required, closed, 10 levels, 1,000 enum values. Anthropic: no limits of values, 16 unions. Gemini: no
    empty enum value."""
    parts = list(objects(SCHEMA))
    for part in parts:
        assert part.keys() <= {"type", "enum", "anyOf", "items", "properties", "required", "additionalProperties"}
        assert "anyOf" in part or isinstance(part["type"], str)
        if part.get("type") == "object":
            assert part["required"] == list(part["properties"])
            assert part["additionalProperties"] is False
    assert sum("anyOf" in part for part in parts) <= 16
    assert sum(len(part.get("enum", ())) for part in parts) <= 1_000
    assert all(part["enum"] and all(part["enum"]) for part in parts if "enum" in part)
    assert depth(SCHEMA) <= 10
    Draft202012Validator.check_schema(SCHEMA)


def depth(schema):
    inside = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *filter(None, [schema.get("items")])]
    return (schema.get("type") == "object") + max(map(depth, inside), default=0)


def test_the_schema_is_small():
    """Four characters are about a token; a request to a model has 3,000."""
    assert len(json.dumps(SCHEMA, separators=(",", ":"))) < 6_500


@pytest.mark.parametrize("given", EXAMPLES)
def test_a_request_is_the_same_after_a_way_through_json(given):
    value = to_json(given)

    Draft202012Validator(SCHEMA).validate(value)
    assert read_request(json.loads(json.dumps(value)), CHOICES) == given


def test_what_says_nothing_may_be_left_out():
    value = {
        "name": "t",
        "sources": [{"relation": "@sqlite.shop/orders", "columns": []}],
        "steps": [],
        "outputs": [{"input": "orders", "component": "filesystem.csv_writer", "path": None}],
    }
    expected = Request("t", (Source("@sqlite.shop/orders"),), (), (Output("orders", "filesystem.csv_writer"),))

    assert read_request(value, CHOICES) == expected
    assert "path: output/t.csv" in render_request(expected, CHOICES)


def test_a_source_may_be_named_by_its_relation():
    value = to_json(EXAMPLES[0])
    value["steps"][0]["input"] = "@sqlite.shop/orders"

    assert read_request(value, CHOICES) == EXAMPLES[0]


def test_questions_and_refusals_are_read():
    assert isinstance(read_request(question("Which one?", "a", "b"), CHOICES), Question)
    assert isinstance(read_request(refusal("no such table"), CHOICES), Refusal)


@pytest.mark.parametrize(
    ("change", "pointer", "hint"),
    [
        (lambda value: value.update(nmae="x"), "/nmae", "name"),
        (lambda value: value.update(name="No Name"), "/name", "lower-case"),
        (lambda value: value.update(steps="x"), "/steps", None),
        (lambda value: value["sources"][0].update(relation="@sqlite.shop/order"), "/sources/0/relation", "orders"),
        (lambda value: value["steps"][0].update(limit="3"), "/steps/0/limit", None),
        (lambda value: value["steps"][0].update(limit=True), "/steps/0/limit", None),
        (lambda value: value["steps"][0]["filters"][0].update(operator="=="), "/steps/0/filters/0/operator", "="),
        (lambda value: value["steps"][0]["filters"][0].update(column="stat"), "/steps/0/filters/0/column", "status"),
        (lambda value: value["steps"][0]["filters"][0].update(column=""), "/steps/0/filters/0/column", None),
        (lambda value: value["outputs"][0].update(component="x"), "/outputs/0/component", None),
        (lambda value: value["outputs"][0].update(input="ordrs"), "/outputs/0/input", "orders"),
        (lambda value: value.update(outputs=[]), "/outputs", None),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change, pointer, hint):
    value = to_json(EXAMPLES[0])
    change(value)
    found = problems(value)

    assert list(found) == [pointer]
    assert hint is None or hint in found[pointer]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(SCHEMA["properties"])), inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(_JSON)
def test_nothing_else_than_a_request_is_believed(value):
    try:
        read = read_request(value, CHOICES)
    except InvalidInput as error:
        read = error.diagnostics
    assert isinstance(read, (Request, Question, Refusal)) or {item.code for item in read} == {"CHT001"}
