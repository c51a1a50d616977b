"""One JSON Schema of a whole pipeline for editors: the language, and the options of each component in its steps.

It accepts what the validation accepts, with placeholders wherever a value may be, and old spellings as deprecated. What
depends on other steps, connections or data is left to `osiris validate`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.oml.config import CONNECTION
from osiris.oml.params import DECLARATION
from osiris.oml.schedule import SCHEDULE
from osiris.oml.validate import OLDEST, OML_VERSION, oml_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry

Schema = dict[str, "JsonValue"]

ANNOTATIONS = ("title", "description", "default", "examples", "deprecated")
PLACEHOLDER = {"$ref": "#/$defs/placeholder"}
_DEFINITIONS = ("$defs", "definitions")
_NAMED = ("properties", "patternProperties", *_DEFINITIONS)
_BRANCHES = ("anyOf", "oneOf", "allOf")
_DATA = ("default", "examples", "const", "enum")
_ANCHORS = ("$id", "$schema", "$anchor", "$dynamicAnchor", "$dynamicRef")
_OWN_REF = re.compile(r"#(/(\$defs|definitions|properties)/[^/]+)?")
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}


def editor_schema(registry: Registry) -> Schema:
    """Return the JSON Schema (draft 2020-12) of OML with the installed components; it has no external references.

    Components with a broken spec are left out.
    """
    schema = oml_schema()
    specs = [spec for spec in registry.all() if not registry.problems(spec.name)]
    step = schema["properties"]["steps"]["items"]
    step["properties"]["component"] |= {"enum": [spec.name for spec in specs]}
    step["allOf"] = [_binding(spec) for spec in specs]
    schema["properties"]["params"]["additionalProperties"] = {
        "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}, {"$ref": "#/$defs/parameter"}]
    }
    is_newer = {"required": ["oml_version"], "properties": {"oml_version": {"not": {"const": OLDEST}}}}
    lacks_replicate = {"required": ["oml_version"], "properties": {"oml_version": {"not": {"const": OML_VERSION}}}}
    schema["allOf"] = [
        {"if": is_newer, "then": {"properties": {"schedule": SCHEDULE}}},
        {"if": lacks_replicate, "then": {"properties": {"replicate": False}, "required": ["steps"]}},
    ]
    schema["$defs"] = {
        "placeholder": {
            "description": "A parameter, ${params.NAME}, or a value of the run, ${run.id} or ${run.started_at}.",
            "type": "string",
            "pattern": r"\$\{(params\.[A-Za-z_][A-Za-z0-9_]*|run\.id|run\.started_at)\}",
        },
        "parameter": DECLARATION,
        **{spec.name: _config(spec, registry.config_schema(spec)) for spec in specs},
    }
    return schema


def _binding(spec: ComponentSpec) -> Schema:
    """Return the rules for the steps of one component."""
    then: Schema = {
        "properties": {
            "component": {"description": f"{spec.title}. {' '.join(spec.description.split())}"},
            "mode": {"enum": list(spec.modes)},
            "config": {"$ref": f"#/$defs/{spec.name}"},
        }
    }
    if spec.config.get("required"):
        then["required"] = ["config"]
    return {"if": {"required": ["component"], "properties": {"component": {"const": spec.name}}}, "then": then}


def _config(spec: ComponentSpec, schema: Mapping[str, JsonValue]) -> Schema:
    """Return the schema of a component's config as written: with a connection, placeholders and old names."""
    moved: Schema = _moved(schema, f"#/$defs/{spec.name}")
    rules = {key: inner for key, inner in moved.items() if not key.startswith("x-")}
    rules |= {key: _inside(key, rules[key]) for key in _DEFINITIONS if key in rules}
    required = _required(rules, spec.hints.get("synonyms", {}))
    examples = [example["config"] for example in spec.examples]
    return {**required, "properties": _properties(spec, moved["properties"]), "examples": examples}


def _properties(spec: ComponentSpec, schemas: Schema) -> Schema:
    """Return the properties of a config as written: with placeholders, old names, and the connection."""
    properties = {key: _or_placeholder(inner) for key, inner in schemas.items()}
    for key, earlier in spec.hints.get("values", {}).items():
        old = {"description": "Earlier names of values.", "deprecated": True, "enum": list(earlier)}
        properties[key] = _alternatives(properties[key], old)
    for old_key, key in spec.hints.get("synonyms", {}).items():
        properties[old_key] = {**properties[key], "deprecated": True, "description": f"An earlier name of {key}."}
    for old_key, row in spec.hints.get("earlier", {}).items():
        if "accepts" in row:
            old = {"description": row["instead"], "deprecated": True, "enum": row["accepts"]}
            properties[old_key] = _alternatives(old, PLACEHOLDER)
    if spec.connection != "none":
        more = "".join(f', "@{family}.ALIAS"' for family in spec.families)
        properties[CONNECTION] = {
            "description": f'The connection: "@{spec.family}.ALIAS"{more}, or "@{spec.family}" for the default one.',
            "type": "string",
        }
    return properties


def _moved(schema: JsonValue, place: str) -> JsonValue:
    """Return a schema for use at `place`, with its references to itself adjusted.

    Other references are removed: an editor would have to fetch them.
    """
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved_inside(key, value, place) for key, value in schema.items() if key not in _ANCHORS}
    if isinstance(ref := moved.pop("$ref", None), str) and _OWN_REF.fullmatch(ref):
        moved["$ref"] = place + ref[1:]
    return moved


def _moved_inside(key: str, value: JsonValue, place: str) -> JsonValue:
    if key in _NAMED:
        return {name: _moved(schema, place) for name, schema in value.items()}
    return value if key in _DATA else _moved(value, place)


def _required(schema: Mapping[str, JsonValue], names: Mapping[str, str]) -> Schema:
    """Return a config schema in which an old name satisfies a required key."""
    result = {key: _branch(key, inner, names) for key, inner in schema.items()}
    renamed = [key for key in result.get("required", ()) if key in names.values()]
    if renamed:
        result["required"] = [key for key in result["required"] if key not in renamed]
        result["allOf"] = [*result.get("allOf", ()), *(_either_name(key, names) for key in renamed)]
    return result


def _either_name(key: str, names: Mapping[str, str]) -> Schema:
    """Return the schema that requires a key under any of its names."""
    ways = [key, *(old for old, new in names.items() if new == key)]
    return {"anyOf": [{"required": [way]} for way in ways]}


def _branch(key: str, schema: JsonValue, names: Mapping[str, str]) -> JsonValue:
    """Return the same for a branch, or list of branches, at a key of a schema."""
    if isinstance(schema, list) and key in _BRANCHES:
        return [_branch("then", each, names) for each in schema]
    return _required(schema, names) if isinstance(schema, dict) and key in ("then", "else") else schema


def _or_placeholder(schema: JsonValue) -> JsonValue:
    """Return a schema that also accepts a placeholder for the value, and for every value inside."""
    if not isinstance(schema, dict):
        return schema
    inner = _with_placeholders(schema)
    rules = inner.keys() - {*ANNOTATIONS}
    if not rules or (rules == {"type"} and inner["type"] == "string"):
        return inner
    return _alternatives(inner, PLACEHOLDER)


def _with_placeholders(schema: Schema) -> Schema:
    """Return a schema that accepts a placeholder for every value inside, but not for the whole."""
    return {key: _inside(key, value) for key, value in schema.items() if not key.startswith("x-")}


def _inside(key: str, value: JsonValue) -> JsonValue:
    if key in _NAMED:
        return {name: _or_placeholder(schema) for name, schema in value.items()}
    if key in _BRANCHES:
        return [_with_placeholders(each) if isinstance(each, dict) else each for each in value]
    return _or_placeholder(value) if key in ("additionalProperties", "items") else value


def _alternatives(schema: Schema, other: Schema) -> Schema:
    """Return a schema that accepts the other one too; its annotations stay on top."""
    notes = {key: schema[key] for key in ANNOTATIONS if key in schema}
    rules = {key: value for key, value in schema.items() if key not in notes}
    branches = rules["anyOf"] if rules.keys() == {"anyOf"} else [rules]
    return {**notes, "anyOf": [*branches, other]}
