"""The config schema of a spec and the Config of its driver are the same thing, said twice."""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.model import JsonValue

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


def field_problems(schema: Mapping[str, JsonValue], config: type[Any]) -> Iterator[str]:
    """Yield every difference between a config schema and a dataclass: names, required, defaults and types."""
    properties: Mapping[str, Mapping[str, JsonValue]] = schema["properties"]
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name in sorted(set(properties) ^ set(fields)):
        where = "in the spec and not in Config" if name in properties else "in Config and not in the spec"
        yield f"'{name}' is {where}"
    try:
        hints = typing.get_type_hints(config, _names(config))
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
    optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    if required and optional:
        yield f"'{name}' is required in the spec and has a default in Config"
    elif not required and not optional:
        yield f"'{name}' is not required in the spec and has no default in Config"
    elif optional and _plain(_default(field)) != schema.get("default"):
        yield f"'{name}' has the default {schema.get('default')!r} in the spec and {_default(field)!r} in Config"


def _type_problems(name: str, schema: Mapping[str, JsonValue], annotation: object, *, optional: bool) -> Iterator[str]:
    said, written = schema_types(schema), json_types(annotation)
    if optional and "default" not in schema:
        said = said and said | {"null"}
    if "number" in said:
        said, written = said | {"integer"}, written | {"integer"}
    if said and written and said != written:
        yield f"'{name}' is {_list(said)} in the spec and {_list(written)} in Config"
    choices, named = _choices(annotation), {value for value in _values(schema) if value is not None}
    if choices and (choices != named if named else not all(_valid(value, schema) for value in choices)):
        yield f"'{name}' has other choices in the spec than in Config"


def _choices(annotation: Any) -> set[Any]:  # noqa: ANN401  any annotation
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return {value for value in arguments if value is not None}
    unions = (typing.Union, types.UnionType)
    return set().union(*map(_choices, arguments)) if typing.get_origin(annotation) in unions else set()


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _plain(value: object) -> JsonValue:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, collections.abc.Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _valid(value: JsonValue, schema: Mapping[str, JsonValue]) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(dict(schema)).is_valid(value))


def _list(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))


def _names(config: type[Any]) -> dict[str, Any]:
    """Return the names that annotations may use: those of the module, and what it imports for types only."""
    known = {name: getattr(collections.abc, name) for name in ("Mapping", "Sequence")}
    return {**known, "Any": Any, "Literal": typing.Literal, "JsonValue": Any, **vars(sys.modules[config.__module__])}
