"""Our fast check of values and schemas gives the library's result, or none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

import osiris
from osiris.json_schema import fits, is_schema, is_valid
from osiris.registry import load_registry

NAMES = st.sampled_from(["a", "b", "x-a", "1", ""])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 1.5, float("nan"), -2.0]), NAMES
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
COUNTS = st.integers(0, 2)
PATTERNS = st.sampled_from(["^x-", "a", "^$", "[0-9]"])
KINDS = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])


def keywords(inner):
    lists = st.lists(inner, min_size=1, max_size=2)
    known = {
        "type": KINDS | st.lists(KINDS, min_size=1, max_size=2, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties"), COUNTS),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), st.sampled_from([-1, 0, 1.5])),
        "pattern": PATTERNS,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
        "uniqueItems": st.booleans(),
        **dict.fromkeys(("items", "contains", "propertyNames", "additionalProperties", "not", "if"), inner),
        **dict.fromkeys(("then", "else"), inner),
        **dict.fromkeys(("allOf", "anyOf", "oneOf"), lists),
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        "format": st.just("date"),
        "default": VALUES,
        "title": st.just("a"),
        "x-of-ours": VALUES,
        # What is not known here.
        "prefixItems": lists,
        "minContains": COUNTS,
        "maxProperties": COUNTS,
        "unevaluatedProperties": inner,
        "multipleOf": st.sampled_from([1, 2]),
    }
    return st.fixed_dictionaries({}, optional=known)


SCHEMAS = st.recursive(st.booleans() | st.fixed_dictionaries({"type": KINDS}), keywords, max_leaves=6)


@given(SCHEMAS, VALUES)
def test_what_fits_is_valid(schema, value):
    valid = Draft202012Validator(schema).is_valid(value)
    assert is_valid(value, schema) == valid
    assert valid or not fits(value, schema)
    assert valid or not fits(value, {"not": {"not": schema}})
    assert not valid or not fits(value, {"not": schema})


@given(SCHEMAS)
def test_what_is_a_schema_is_one(schema):
    Draft202012Validator.check_schema(schema)
    assert not is_schema(schema) or isinstance(schema, (bool, dict))


BROKEN = {
    "type": ["text", ["string", "string"], [], 1, None, ["string", "text"]],
    "enum": ["a", {}],
    "minLength": [-1, "1", None, True],
    "minimum": ["1", None, True],
    "pattern": ["(", 1, "[a"],
    "required": ["a", ["a", "a"], [1]],
    "dependentRequired": [[], {"a": "b"}, {"a": [1]}],
    "uniqueItems": [1, "true"],
    "items": [[], "a", None, {"type": "text"}],
    "properties": [[], {"a": 1}, {"a": {"type": "text"}}],
    "patternProperties": [{"(": {}}, {"a": 1}],
    "allOf": [[], {}, [1]],
    "title": [1],
    "format": [1],
    "examples": [1, "a"],
}


@pytest.mark.parametrize(("keyword", "argument"), [(key, each) for key, all_ in BROKEN.items() for each in all_])
def test_what_is_broken_is_no_schema(keyword, argument):
    assert not is_schema({keyword: argument})
    assert not is_schema({"properties": {"a": {keyword: argument}}})
    if not (keyword == "minimum" or argument is True):
        with pytest.raises(SchemaError):
            Draft202012Validator.check_schema({keyword: argument})


@pytest.mark.parametrize("name", load_registry().names())
def test_specs_of_ours_are_told_of_without_the_library(name):
    assert is_schema(load_registry().get(name).config)


def test_a_pipeline_is_told_of_without_the_library():
    text = Path(osiris.__file__).with_name("oml").joinpath("oml-0.3.0.schema.json").read_text("utf-8")
    step = {"id": "a", "component": "a.extractor", "mode": "read", "config": {}, "x-more": 1}
    pipeline = {"oml_version": "0.2.0", "name": "a", "steps": [step], "x-owner": "me"}
    assert fits(pipeline, json.loads(text))
    assert not fits({**pipeline, "owner": "me"}, json.loads(text))
