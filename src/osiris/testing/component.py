"""Checks without running a component that its spec matches its driver and that its examples are valid.

The config schema of the spec and the Config class of the driver must be equivalent.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import importlib.metadata
import inspect
import json
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.compiler.compile import prepare
from osiris.connections import Connections
from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import Registry, load_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.model import ComponentSpec, JsonValue

METHODS = {
    "read": {"describe": 2, "read": 3},
    "transform": {"describe": 3, "transform": 4},
    "write": {"check": 3, "write": 3},
    "describe": {"describe": 2},
    "confirm": {"confirm": 3},
    "discover": {"discover": 1},
    "doctor": {"doctor": 1},
    "relation": {"relation": 3},
    "state": {"state": 3, "inspect_state": 3, "change_state": 4},
}
"""Methods of a driver for each mode and capability, with their number of arguments."""

_JSON_TYPES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
    dict: "object",
    collections.abc.Mapping: "object",
    list: "array",
    tuple: "array",
    collections.abc.Sequence: "array",
}


def check_component(name: str, registry: Registry | None = None) -> list[Diagnostic]:
    """Return the problems of a component's spec and driver; an empty list is a pass.

    REG001 is about the form of the spec, REG002 about loading, and REG004 about mismatches of spec, driver and
    installed packages.
    """
    installed = registry or load_registry()
    problems = installed.problems(name)
    if problems:
        return problems
    try:
        spec = installed.get(name)
        config, driver = installed.load_driver(name)
    except OsirisError as error:
        return list(error.diagnostics)
    mismatches = [
        *_config_problems(spec.config, config),
        *_method_problems(spec, driver),
        *_requirement_problems(spec),
        *_family_problems(spec, installed),
        *_secret_problems(spec),
        *_hint_problems(spec),
        *_example_problems(spec, installed),
    ]
    return [diagnostic("REG004", name=name, problem=problem) for problem in mismatches]


def _method_problems(spec: ComponentSpec, driver: type[Any]) -> Iterator[str]:
    if not _takes(driver, 0):
        yield "Driver must be made without arguments"
    for promise in (*spec.modes, *spec.capabilities):
        for method, arguments in METHODS.get(promise, {}).items():
            if promise == "describe" and "transform" in spec.modes:
                continue
            function = getattr(driver, method, None)
            if not callable(function):
                yield f"it offers '{promise}', and its Driver has no method {method}"
            elif not _takes(function, arguments + 1):
                yield f"method {method} must take {arguments} arguments beside self"


def _takes(function: Any, count: int) -> bool:  # noqa: ANN401  anything callable
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _requirement_problems(spec: ComponentSpec) -> Iterator[str]:
    for requirement in spec.requirements:
        try:
            importlib.metadata.version(requirement)
        except importlib.metadata.PackageNotFoundError:
            yield f"it requires '{requirement}', which is not installed"


def _family_problems(spec: ComponentSpec, registry: Registry) -> Iterator[str]:
    if spec.name.partition(".")[0] != spec.family:
        yield f"its name must begin with its family '{spec.family}'"
    for name in (spec.family, *spec.families) if spec.connection != "none" else ():
        try:
            family = registry.family(name)
        except OsirisError as error:
            yield f"family '{name}': {error.diagnostics[0].message}"
            continue
        if family is None:
            yield f"it uses connections of the family '{name}', which is not registered"
            continue
        if (family.fields.get("type"), family.fields.get("additionalProperties")) != ("object", False):
            yield f"the fields of family '{name}' must be an object without additional properties"
        for key, field in family.fields.get("properties", {}).items():
            if not field.get("description"):
                yield f"field '{key}' of family '{name}' has no description"


def _secret_problems(spec: ComponentSpec) -> Iterator[str]:
    for pointer in spec.secrets:
        schema: JsonValue = spec.config
        for part in pointer.split("/")[1:]:
            schema = schema.get("properties", {}).get(part.replace("~1", "/").replace("~0", "~"), {})
        if not schema:
            yield f"secret {pointer} is not a key of its config"


def _hint_problems(spec: ComponentSpec) -> Iterator[str]:
    properties = spec.config["properties"]
    hinted = {*spec.hints.get("aliases", {}), *spec.hints.get("synonyms", {}).values(), *spec.hints.get("values", {})}
    for key in sorted(hinted - set(properties)):
        yield f"hints name '{key}', which is not a key of its config"
    for old in sorted(set(spec.hints.get("synonyms", {})) & set(properties)):
        yield f"hints read '{old}' as another key, and it is a key of its config"
    for key, values in spec.hints.get("values", {}).items():
        for old, new in values.items():
            if _is_valid(old, properties.get(key, {})):
                yield f"hints read '{key}: {old}' as '{new}', and its config allows '{old}'"
            if not _is_valid(new, properties.get(key, {})):
                yield f"hints read '{key}: {old}' as '{new}', and its config does not allow '{new}'"


def _example_problems(spec: ComponentSpec, registry: Registry) -> Iterator[str]:
    """Yield the problems of planning each example as a step of a pipeline."""
    if not spec.examples:
        yield "it has no examples"
    for example in spec.examples:
        try:
            document = parse(json.dumps(_pipeline(spec, example, registry)), "example")
            valid, _ = validate(document, registry, params={}, env={}, profile=None, defaults={})
            prepare(valid, registry, Connections({spec.family: {"example": {}}}), Path.cwd())
        except OsirisError as error:
            problems = (each.message for each in error.diagnostics if each.severity == "error")
            yield from (f"example '{example['title']}': {problem}" for problem in problems)


def _pipeline(spec: ComponentSpec, example: Mapping[str, JsonValue], registry: Registry) -> JsonValue:
    """Return a pipeline with the example as a step, after a read step for each of its inputs."""
    needs = example.get("inputs", ["source"] if spec.inputs[1] != 0 else [])
    connection = {"connection": f"@{spec.family}.example"} if spec.connection == "required" else {}
    config = {**example["config"], **connection}
    steps = [{"id": "example", "component": spec.name, "mode": spec.modes[0], "needs": needs, "config": config}]
    usable = (each for each in registry.all() if "read" in each.modes and each.connection != "required")
    if reader := next((each for each in usable if each.examples), None):
        reading = {"component": reader.name, "mode": "read", "needs": [], "config": reader.examples[0]["config"]}
        steps = [*({"id": name, **reading} for name in needs), *steps]
    return {"oml_version": "0.1.0", "name": "example", "steps": steps}


def _config_problems(schema: Mapping[str, JsonValue], config: type[Any]) -> Iterator[str]:
    """Yield every difference between a config schema and a dataclass: names, required, defaults and types."""
    properties: Mapping[str, Mapping[str, JsonValue]] = schema["properties"]
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name in sorted(set(properties) ^ set(fields)):
        where = "in the spec and not in Config" if name in properties else "in Config and not in the spec"
        yield f"'{name}' is {where}"
    # Annotations may use names of the module, and names imported for type checking only.
    for_types = {"Mapping": collections.abc.Mapping, "Sequence": collections.abc.Sequence, "JsonValue": Any}
    names = {**for_types, "Any": Any, "Literal": typing.Literal, **vars(sys.modules[config.__module__])}
    try:
        hints = typing.get_type_hints(config, names)
    except NameError as error:
        yield f"the types of Config cannot be resolved: {error}"
        return
    for name in sorted(set(properties) & set(fields)):
        required = name in schema.get("required", ())
        yield from _default_problems(name, properties[name], fields[name], required=required)
        yield from _type_problems(name, properties[name], hints[name], optional=not required)


def json_types(annotation: Any) -> set[str]:  # noqa: ANN401  any annotation
    """Return the JSON types that a value of an annotation can have; an empty set means any."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(json_types(argument) for argument in arguments))
    if origin is typing.Literal:
        return {_JSON_TYPES[type(value)] for value in arguments}
    kind = _JSON_TYPES.get(origin or annotation)
    return {kind} if kind else set()


def schema_types(schema: Mapping[str, JsonValue]) -> set[str]:
    """Return the JSON types that a schema allows, from type, enum, const, anyOf and oneOf; an empty set means any."""
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if branches := _branches(schema):
        return set().union(*map(schema_types, branches))
    return {_JSON_TYPES[type(value)] for value in _values(schema)}


def _branches(schema: Mapping[str, JsonValue]) -> list[Mapping[str, JsonValue]]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _values(schema: Mapping[str, JsonValue]) -> list[JsonValue]:
    """Return the values that a schema names by enum or const, also in its branches."""
    own = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return [*own, *(value for branch in _branches(schema) for value in _values(branch))]


def _default_problems(
    name: str, schema: Mapping[str, JsonValue], field: dataclasses.Field[Any], *, required: bool
) -> Iterator[str]:
    factory = field.default_factory
    default = field.default if factory is dataclasses.MISSING else factory()
    optional = default is not dataclasses.MISSING
    if required and optional:
        yield f"'{name}' is required in the spec and has a default in Config"
    elif not required and not optional:
        yield f"'{name}' is not required in the spec and has no default in Config"
    elif optional and _plain(default) != schema.get("default"):
        yield f"'{name}' has the default {schema.get('default')!r} in the spec and {default!r} in Config"


def _type_problems(name: str, schema: Mapping[str, JsonValue], annotation: object, *, optional: bool) -> Iterator[str]:
    declared, written = schema_types(schema), json_types(annotation)
    if optional and "default" not in schema:
        declared = declared and declared | {"null"}
    if "number" in declared:
        declared, written = declared | {"integer"}, written | {"integer"}
    if declared and written and declared != written:
        first, second = (" or ".join(sorted(kinds)) for kinds in (declared, written))
        yield f"'{name}' is {first} in the spec and {second} in Config"
    if not _has_choices(schema, _choices(annotation)):
        yield f"'{name}' has other choices in the spec than in Config"


def _has_choices(schema: Mapping[str, JsonValue], choices: set[Any]) -> bool:
    """Return whether a schema allows exactly these values; an empty set means any."""
    allowed = {value for value in _values(schema) if value is not None}
    return not choices or (choices == allowed if allowed else all(_is_valid(value, schema) for value in choices))


def _choices(annotation: Any) -> set[Any]:  # noqa: ANN401  any annotation
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return {value for value in arguments if value is not None}
    unions = (typing.Union, types.UnionType)
    return set().union(*map(_choices, arguments)) if typing.get_origin(annotation) in unions else set()


def _plain(value: object) -> JsonValue:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, collections.abc.Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _is_valid(value: JsonValue, schema: Mapping[str, JsonValue]) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(dict(schema)).is_valid(value))
