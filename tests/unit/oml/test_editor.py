"""The schema for editors: good pipelines fit, wrong keys and modes do not, and placeholders are allowed everywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from osiris.errors import OsirisError
from osiris.oml.editor import editor_schema
from osiris.oml.params import DECLARATION
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import load_registry

REGISTRY = load_registry()
SCHEMA = editor_schema(REGISTRY)
VALIDATOR = Draft202012Validator(SCHEMA)
GOLDEN = Path(__file__).parents[2] / "golden"
TEMPLATES = Path(__file__).parents[3] / "src" / "osiris" / "templates"
REFUSED_LATER = ("mode", "connection")  # by the checks of the compiler, and by the schema at once


def pipeline(config, component="filesystem.csv_extractor", mode="read"):
    step = {"id": "a", "component": component, "mode": mode, "config": config}
    return {"oml_version": "0.1.0", "name": "p", "steps": [step]}


def places(data):
    return ["/".join(map(str, error.absolute_path)) for error in VALIDATOR.iter_errors(data)]


def documents():
    """Return every golden file that is a document of known components, and whether it is a valid pipeline."""
    for path in sorted([*GOLDEN.rglob("*.yaml"), *TEMPLATES.glob("*/pipelines/*.yaml")]):
        try:
            document = parse(path.read_text(encoding="utf-8"), path.name)
        except (OsirisError, UnicodeDecodeError):
            continue
        try:
            pipeline, _ = validate(document, REGISTRY, params={}, env={}, profile=None, defaults={})
        except OsirisError as error:
            yield path.name, document.data, {item.code for item in error.diagnostics}
        else:
            if {step.component for step in pipeline.steps} <= set(REGISTRY.names()):
                yield path.name, document.data, set()


def test_it_is_a_schema_that_refers_to_nothing_outside():
    Draft202012Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert text.count('"$ref"') == text.count('"$ref": "#/$defs/') > len(REGISTRY.names())
    assert '"x-' not in text


def test_every_good_pipeline_fits():
    good = [(name, data) for name, data, codes in documents() if not codes]
    assert len(good) > 400
    wrong = {name: places(data) for name, data in good if places(data)}
    assert {name for name in wrong if not any(word in name for word in REFUSED_LATER)} == set()
    assert all(place.endswith(("/mode", "/config")) for found in wrong.values() for place in found)


def test_what_the_validation_finds_in_keys_and_choices_the_schema_finds_too():
    bad = [(name, data) for name, data, codes in documents() if codes & {"OML002", "OML003", "OML005"}]
    assert len(bad) > 50
    assert [name for name, data in bad if not places(data)] == []


@pytest.mark.parametrize("spec", REGISTRY.all(), ids=lambda spec: spec.name)
def test_each_component_has_its_examples_its_modes_and_no_other_key(spec):
    for example in spec.examples:
        assert places(pipeline(example["config"], spec.name, spec.modes[0])) == []
    assert places(pipeline({**example["config"], "misspelt": 1}, spec.name, spec.modes[0])) == ["steps/0/config"]
    for mode in {"read", "transform", "write"} - set(spec.modes):
        assert places(pipeline(example["config"], spec.name, mode)) == ["steps/0/mode"]
    without = {
        key: value for key, value in pipeline({}, spec.name, spec.modes[0])["steps"][0].items() if key != "config"
    }
    data = {**pipeline({}), "steps": [without]}
    assert places(data) == (["steps/0"] if spec.config.get("required") else [])


@pytest.mark.parametrize("spec", REGISTRY.all(), ids=lambda spec: spec.name)
def test_a_placeholder_may_be_any_value(spec):
    keys = SCHEMA["$defs"][spec.name]["properties"]
    for key in keys:
        config = {**spec.examples[0]["config"], key: "${params.x}"}
        assert places(pipeline(config, spec.name, spec.modes[0])) in ([], ["steps/0/config"]), key


def test_a_placeholder_may_be_a_value_inside():
    inside = {"columns": ["${params.x}"], "dtype": {"a": "${params.y}"}, "retry": {"max": "${params.n}"}}
    assert places(pipeline({"path": "x", **inside})) == []


def test_a_text_that_is_no_placeholder_is_not_a_value():
    assert places(pipeline({"path": "x", "limit": "many"})) == ["steps/0/config/limit"]
    assert places(pipeline({"path": "x", "limit": "${env.X}"})) == ["steps/0/config/limit"]
    assert places(pipeline({"path": "x", "on_reject": "drop"})) == ["steps/0/config/on_reject"]


def test_earlier_names_are_allowed_and_marked():
    config = {"table": "t", "mode": "merge", "upsert_keys": ["id"], "connection": "@duckdb.local"}
    assert places(pipeline(config, "duckdb.writer", "write")) == []
    upsert = {"table": "t", "write_mode": "upsert"}
    assert places(pipeline({**upsert, "upsert_keys": ["id"]}, "duckdb.writer", "write")) == []
    assert places(pipeline(upsert, "duckdb.writer", "write")) == ["steps/0/config"]
    assert SCHEMA["$defs"]["duckdb.writer"]["properties"]["upsert_keys"]["deprecated"] is True


def test_the_keys_of_a_parameter_are_those_of_the_validation():
    declared = {
        "type": "list",
        "items": "integer",
        "default": [1],
        "enum": [1, 2],
        "min": 1,
        "max": 2,
        "description": "d",
    }
    others = {"type": "string", "default": "a", "pattern": "a"}
    secret = {"type": "string", "sensitive": True}
    data = {**pipeline({"path": "x"}), "params": {"a": declared, "b": others, "c": secret, "d": 5}}
    assert {*declared, *others, *secret} == set(DECLARATION["properties"])
    assert places(data) == []
    validate(parse(json.dumps(data), "f"), REGISTRY, params={}, env={}, profile=None, defaults={})
    assert places({**data, "params": {"a": {"typ": "string"}}}) == ["params/a"]


STRANGER = {
    "modes": ["read", "transform"],
    "hints": {"synonyms": {"where": "place", "kind": "sort"}},
    "properties": {
        "place": {"$ref": "#/$defs/place"},
        "sort": {"enum": ["a", "b"], "x-sql": "duckdb"},
        "tree": {"$ref": "https://example.org/tree.json"},
        "ways": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
        "choice": {"type": "object", "properties": {"default": {"$ref": "#/properties/sort"}}},
    },
    "config": {
        "$id": "https://example.org/ham.json",
        "$defs": {
            "place": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"row": {"type": "integer"}, "next": {"$ref": "#/$defs/place"}},
            },
        },
        "anyOf": [{"required": ["place"]}, {"required": ["sort"]}, False],
    },
}


def test_a_strangers_component_is_in_it_and_its_references_hold(installed):
    schema = editor_schema(installed(ham__reader=STRANGER))
    validator = Draft202012Validator(schema)
    Draft202012Validator.check_schema(schema)
    assert "https://example.org" not in json.dumps(schema)
    assert json.dumps(schema).count('"x-sql"') == 0

    def wrong(config, mode="transform"):
        data = pipeline(config, "ham.reader", mode)
        return ["/".join(map(str, error.absolute_path)) for error in validator.iter_errors(data)]

    assert wrong({"place": {"row": 1, "next": {"row": "${params.n}", "next": "${params.x}"}}}) == []
    assert wrong({"where": {"row": 1}, "tree": [1]}) == []
    assert wrong({"sort": "a", "ways": ["${params.x}", 1], "choice": {"default": "b"}}) == []
    assert wrong({"kind": "b", "ways": "${params.x}"}) == []
    assert wrong({}) == ["steps/0/config"]
    assert wrong({"place": {"row": 1, "next": {"column": 1}}}) == ["steps/0/config/place"]
    assert wrong({"sort": "a", "ways": ["1"]}) == ["steps/0/config/ways"]
    assert wrong({"sort": "a", "choice": {"default": "c"}}) == ["steps/0/config/choice"]
    assert wrong({"sort": "a"}, "write") == ["steps/0/mode"]


def test_the_same_bytes_whatever_the_hash_seed():
    program = "import json; from osiris.api import pipeline_schema; print(json.dumps(pipeline_schema()))"
    texts = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("1", "2")
    }
    assert texts == {(json.dumps(SCHEMA) + "\n").encode()}
