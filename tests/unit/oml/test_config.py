"""A step's config against the schema of another author's component."""

import pytest

from osiris.errors import InvalidInput
from osiris.oml.parse import parse
from osiris.oml.validate import validate

HEAD = 'oml_version: "0.1.0"\nname: p\nsteps:\n- id: a\n  component: ham.reader\n  mode: read\n  config:\n'


def check(registry, config, head=HEAD):
    lines = "".join(f"    {line}\n" for line in config.splitlines())
    document = parse(head + (lines or "    {}\n"), "f.yaml")
    return validate(document, registry, params={}, env={}, profile=None, defaults={})


def said(registry, config, head=HEAD):
    with pytest.raises(InvalidInput) as caught:
        check(registry, config, head)
    return [(d.code, d.location.line, d.message) for d in caught.value.diagnostics]


def test_earlier_keys_and_values_are_read_as_todays_with_a_note(installed):
    registry = installed(
        ham__reader={
            "properties": {
                "write_mode": {"enum": ["replace", "append"]},
                "primary_key": {"type": "array"},
                "kept": {"type": "string"},
            },
            "hints": {
                "synonyms": {"mode": "write_mode", "upsert_keys": "primary_key", "kept": "primary_key"},
                "values": {"write_mode": {"overwrite": "replace"}},
            },
        }
    )
    pipeline, notes = check(registry, "mode: overwrite\nupsert_keys: [a]\nkept: x")
    assert pipeline.steps[0].config == {"write_mode": "replace", "primary_key": ["a"], "kept": "x"}
    assert [(d.code, d.severity, d.location.line, d.message) for d in notes] == [
        ("OML031", "note", 8, "'mode' is read as 'write_mode'"),
        ("OML031", "note", 8, "'write_mode: overwrite' is read as 'write_mode: replace'"),
        ("OML031", "note", 9, "'upsert_keys' is read as 'primary_key'"),
    ]
    assert check(registry, "write_mode: append")[1] == []
    (found,) = said(registry, "mode: replace\nwrite_mode: append")
    assert found[:2] == ("OML036", 8)


TEXT_OR_MAPPING = {
    "anyOf": [
        {"type": "string", "enum": ["none"]},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"lag": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}},
        },
    ]
}
RULES = {
    "const": ({"const": 3}, "4", "'k' must be 3"),
    "minimum": ({"minimum": 3}, "2", "'k' must be at least 3"),
    "maximum": ({"maximum": 3}, "4", "'k' must be at most 3"),
    "more": ({"exclusiveMinimum": 3}, "3", "'k' must be more than 3"),
    "less": ({"exclusiveMaximum": 3}, "3", "'k' must be less than 3"),
    "multiple": ({"multipleOf": 3}, "4", "'k' must be a multiple of 3"),
    "short": ({"minLength": 3}, "ab", "'k' must not be shorter than 3 characters"),
    "long": ({"maxLength": 3}, "abcd", "'k' must not be longer than 3 characters"),
    "pattern": ({"pattern": "^a+$"}, "b", "'k' must match ^a+$"),
    "few": ({"minItems": 1}, "[]", "'k' must not have fewer than 1 entries"),
    "many": ({"maxItems": 1}, "[1, 2]", "'k' must not have more than 1 entries"),
    "unique": ({"uniqueItems": True}, "[1, 1]", "'k' lists 1 twice"),
    "no properties": ({"minProperties": 1}, "{}", "'k' must not have fewer than 1 entries"),
    "properties": ({"maxProperties": 1}, "{a: 1, b: 2}", "'k' must not have more than 1 entries"),
    "type": ({"type": "integer"}, "x", "'k' must be an integer, found text"),
    "types": ({"type": ["integer", "null"]}, "[]", "'k' must be an integer or nothing, found a list"),
    "item": ({"items": {"type": "string"}}, "[a, 5]", "'k[1]' must be text, found an integer"),
    "enum": ({"enum": ["a", 1, None]}, "b", '"b" is not one of a, 1, null'),
    "any type": (
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "[]",
        "'k' must be an integer or text, found a list",
    ),
    "any form": (
        {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "x"}]},
        "abc",
        "'k' must match x",
    ),
    "any number": ({"anyOf": [{"type": "number", "minimum": 1}, {"type": "string"}]}, "0", "'k' must be at least 1"),
    "two texts": (
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "string", "pattern": "x"}]},
        "abc",
        "'k' does not have an allowed form",
    ),
    "neither text": (
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "string", "pattern": "x"}]},
        "5",
        "'k' must be text, found an integer",
    ),
    "text of two": (TEXT_OR_MAPPING, "nnoe", '"nnoe" is not one of none'),
    "mapping of two": (TEXT_OR_MAPPING, "{lag: true}", "'lag' must be an integer or text, found true or false"),
    "deep in two": (TEXT_OR_MAPPING, "{lag: -1}", "'lag' must be at least 0"),
    "key of two": (TEXT_OR_MAPPING, "{leg: 5}", "unknown key 'leg' in 'config.k' of step 'a'"),
    "none of two": (TEXT_OR_MAPPING, "[5]", "'k' must be text or a mapping, found a list"),
    "one of": (
        {"oneOf": [{"required": ["a"]}, {"required": ["b", "c"]}]},
        "{}",
        "'k' must have exactly one of: 'a', 'b' with 'c'",
    ),
    "any of": ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, "{}", "'k' must have at least one of: 'a', 'b'"),
    "together": ({"dependentRequired": {"a": ["b"], "c": ["d"]}}, "{a: 1}", "'a' can only be used together with 'b'"),
    "key": ({"propertyNames": {"pattern": "^a"}}, "{b: 1}", "key 'b' must match ^a"),
    "not": ({"not": {"type": "string"}}, "x", "'k' does not have an allowed form"),
    "deep": (
        {"properties": {"a": {"properties": {"b": {"type": "string"}}}}},
        "{a: {b: 5}}",
        "'b' must be text, found an integer",
    ),
    "deep key": (
        {"properties": {"a": {}}, "additionalProperties": False},
        "{c: 5}",
        "unknown key 'c' in 'config.k' of step 'a'",
    ),
    "own key": (
        {"patternProperties": {"^x": {}}, "additionalProperties": False},
        "{c: 5}",
        "unknown key 'c' in 'config.k' of step 'a'",
    ),
    "deep required": ({"required": ["a", "b"]}, "{}", "'a' is required in 'config.k' of step 'a'"),
}


@pytest.mark.parametrize("case", RULES)
def test_every_rule_is_said_in_our_words(installed, case):
    schema, value, message = RULES[case]
    found = said(installed(ham__reader={"properties": {"k": schema}}), f"k: {value}")
    assert message in [each[2] for each in found]
    assert {each[1] for each in found} == {8}


@pytest.mark.parametrize(
    ("schema", "value", "hint", "fix"),
    [
        ({"type": "string", "pattern": "^[0-9]+s$", "examples": ["2s"]}, "5", "for example k: 2s", None),
        ({"type": "string", "pattern": "^[0-9]+s$"}, "5 seconds", "correct the value", "5s"),
        ({"type": "string", "pattern": "^[0-9]+s$"}, "5 minutes", "correct the value", None),
        ({"type": "string", "pattern": "^[0-9]+m$"}, "5 months", "correct the value", None),
        ({"type": "string"}, "5", "change the value", "5"),
        ({**TEXT_OR_MAPPING, "examples": [{"lag": 5}]}, "updated", 'for example k: {"lag": 5}', None),
        ({**TEXT_OR_MAPPING, "examples": [{"lag": 5}]}, "noen", "did you mean 'none'?", "none"),
        ({**TEXT_OR_MAPPING, "examples": [{"lag": 5}]}, "7", 'for example k: {"lag": 5}', None),
    ],
)
def test_hints_and_fixes_are_those_of_the_alternative_of_that_type(installed, schema, value, hint, fix):
    with pytest.raises(InvalidInput) as caught:
        check(installed(ham__reader={"properties": {"k": schema}}), f"k: {value}")
    (problem,) = caught.value.diagnostics
    assert problem.hint.startswith(hint)
    assert [change["value"] for change in problem.fix] == ([fix] if fix else [])


def test_all_missing_and_all_unknown_keys_are_named(installed):
    registry = installed(
        ham__reader={
            "properties": {"path": {}, "sheet": {}},
            "config": {
                "required": ["path", "sheet"],
                "type": "object",
                "additionalProperties": False,
                "properties": {"path": {"description": "p"}, "sheet": {"description": "s"}},
            },
        }
    )
    assert said(registry, "shet: 1\nfile: 2") == [
        ("OML002", 8, "unknown key 'shet' in 'config' of step 'a'"),
        ("OML003", 8, "'path' is required in 'config' of step 'a'"),
        ("OML002", 9, "unknown key 'file' in 'config' of step 'a'"),
    ]


def test_a_secret_value_is_in_no_message(installed):
    schemas = {
        "type": {"type": "integer"},
        "enum": {"enum": ["a"]},
        "pattern": {"pattern": "^a$"},
        "const": {"const": "a"},
    }
    for name, schema in schemas.items():
        schemas[name] = {"password": schema, "url": schema, "nested": {"properties": {"token": schema}}}
    registry = installed(**{f"ham__{name}": {"properties": fields} for name, fields in schemas.items()})
    for name in schemas:
        head = HEAD.replace("ham.reader", f"ham.{name}")
        found = said(registry, "password: hunter2\nurl: mysql://u:hunter2@h\nnested: {token: hunter2}", head)
        assert len(found) == 3
        assert "hunter2" not in str(found)


def test_what_is_known_when_the_run_starts_is_not_measured(installed):
    registry = installed(
        ham__reader={"properties": {"k": {"type": "string", "pattern": "^a$"}, "n": {"type": "integer"}}}
    )
    assert check(registry, 'k: "${run.id}"')[0].steps[0].config == {"k": "${run.id}"}
    assert said(registry, 'n: "${run.id}"') == [("OML006", 8, "'n' must be an integer, found text")]


def test_a_component_may_have_shared_keys_of_its_own(installed):
    registry = installed(ham__reader={"properties": {"retry": {"type": "integer"}, "cast": {"type": "object"}}})
    assert check(registry, "retry: 5\ncast: {a: anything}")[0].steps[0].config == {
        "retry": 5,
        "cast": {"a": "anything"},
    }


def test_sql_of_an_unknown_dialect_is_left_to_the_compiler(installed):
    registry = installed(ham__reader={"properties": {"query": {"type": "string", "x-sql": "cobol"}}})
    assert check(registry, 'query: "${x}"')[0].steps[0].config == {"query": "${x}"}
