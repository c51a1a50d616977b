"""The shipped JSON-LD context fits the shipped schema."""

import json
from importlib.resources import files

from tests.packages import SCHEMA

CONTEXT = json.loads((files("osiris.aiop") / "context.jsonld").read_text())["@context"]


def properties_of(schema):
    """Return the names of all properties in a schema."""
    if isinstance(schema, list):
        return {name for item in schema for name in properties_of(item)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {name for item in schema.values() for name in properties_of(item)}


def test_every_term_is_a_property_and_every_property_has_a_term():
    names = properties_of(SCHEMA)
    assert {name for name in CONTEXT if not name.startswith("@")} <= names
    assert CONTEXT["@vocab"].startswith("urn:osiris:aiop:")
    assert not any(":" in name for name in names)


def objects_in(schema, at=""):
    if isinstance(schema, list):
        return [found for number, item in enumerate(schema) for found in objects_in(item, f"{at}/{number}")]
    if not isinstance(schema, dict):
        return []
    own = [(at, schema)] if schema.get("type") == "object" else []
    return [*own, *(found for key, item in schema.items() for found in objects_in(item, f"{at}/{key}"))]


def test_every_object_is_closed_and_everything_is_described():
    for at, schema in objects_in(SCHEMA):
        assert "additionalProperties" in schema, at
        for name, item in schema.get("properties", {}).items():
            assert item.get("description") or "$ref" in item or "oneOf" in item, f"{at}/{name}"
    assert SCHEMA["properties"]["@context"]["const"] == "urn:osiris:aiop:context:1"
