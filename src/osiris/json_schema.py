"""A fast check of values against a JSON Schema (2020-12), for common keywords and plain JSON data.

Importing the jsonschema library takes longer than most commands run, so it is imported only to describe a problem found
here, or for an unsupported keyword.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jsonschema import Draft202012Validator

    from osiris.model import JsonValue

    Schema = Mapping[str, JsonValue]
    Rule = Callable[[JsonValue, JsonValue, Schema], bool]


def skip_grammars() -> None:
    """Keep the library from loading what only checks formats, which are not checked here; for programs of ours only.

    Where Jupyter is installed, it would load a grammar of IRIs for two seconds.
    """
    for name in ("isoduration", "rfc3339_validator", "rfc3986_validator", "rfc3987_syntax"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


class _Unsure(Exception):
    """The check needs the library."""


def validator_of(schema: Schema) -> Draft202012Validator:
    """Return the library's validator of a schema; create it once per schema."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema)


def is_valid(value: JsonValue, schema: Schema) -> bool:
    """Return whether a value is valid against a schema."""
    return fits(value, schema) or bool(validator_of(schema).is_valid(value))


def fits(value: JsonValue, schema: JsonValue) -> bool:
    """Return whether a value is certainly valid against a schema; False may also mean that the library must decide."""
    try:
        return _fits(value, schema)
    except (_Unsure, RecursionError, re.error):
        return False


def is_schema(schema: JsonValue) -> bool:
    """Return whether this is certainly a schema with supported keywords only."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    return all(_is_keyword(keyword, argument) for keyword, argument in schema.items())


def _fits(value: JsonValue, schema: JsonValue) -> bool:
    if isinstance(schema, bool):
        return schema
    if type(schema) is not dict or type(value) not in _NAMES:
        raise _Unsure
    rules = [(_rule(keyword), argument) for keyword, argument in schema.items()]
    return all(rule(value, argument, schema) for rule, argument in rules)


def _rule(keyword: str) -> Rule:
    rule = _RULES.get(keyword)
    if rule is None:
        if keyword not in _TEXTS and keyword not in _ANNOTATIONS and not keyword.startswith("x-"):
            raise _Unsure
        return _anything
    return rule


def _anything(_value: JsonValue, _argument: JsonValue, _schema: Schema) -> bool:
    return True


_NAMES: Mapping[type, tuple[str, ...]] = {
    dict: ("object",),
    list: ("array",),
    str: ("string",),
    int: ("integer", "number"),
    float: ("number",),
    bool: ("boolean",),
    type(None): ("null",),
}
"""Type names by Python type; a float without a fraction is an integer too."""


def _is_of_type(value: JsonValue, kinds: JsonValue, _schema: Schema) -> bool:
    types = [kinds] if isinstance(kinds, str) else kinds
    is_whole = type(value) is float and value.is_integer() and "integer" in types
    return is_whole or any(name in types for name in _NAMES[type(value)])


def _equal(one: JsonValue, two: JsonValue) -> bool:
    """Return whether two scalars are equal, as in the library: bools never equal numbers, NaN only itself."""
    if isinstance(one, (dict, list)) or isinstance(two, (dict, list)):
        raise _Unsure
    return one is two or (isinstance(one, bool) == isinstance(two, bool) and bool(one == two))


def _are_unique(value: JsonValue, required: JsonValue, _schema: Schema) -> bool:
    if not required or type(value) is not list:
        return True
    if not all(type(each) is str for each in value):
        raise _Unsure
    return len(set(value)) == len(value)


def _extra_fit(value: JsonValue, inner: JsonValue, schema: Schema) -> bool:
    if type(value) is not dict:
        return True
    declared, others = schema.get("properties", {}), "|".join(schema.get("patternProperties", {}))
    extra = [name for name in value if name not in declared and not (others and re.search(others, name))]
    return all(_fits(value[name], inner) for name in extra)


def _named_fit(value: JsonValue, inner: JsonValue, _schema: Schema) -> bool:
    return type(value) is not dict or all(_fits(value[name], inner[name]) for name in inner if name in value)


def _patterns_fit(value: JsonValue, inner: JsonValue, _schema: Schema) -> bool:
    if type(value) is not dict:
        return True
    matches = ((name, each) for pattern, each in inner.items() for name in value if re.search(pattern, name))
    return all(_fits(value[name], each) for name, each in matches)


def _needs(value: JsonValue, needed: JsonValue, _schema: Schema) -> bool:
    if type(value) is not dict:
        return True
    return all(other in value for name, others in needed.items() if name in value for other in others)


def _branch_fits(value: JsonValue, condition: JsonValue, schema: Schema) -> bool:
    return _fits(value, schema.get("then" if _fits(value, condition) else "else", True))


def _of(kinds: tuple[type, ...], rule: Callable[[JsonValue, JsonValue], bool]) -> Rule:
    """Return a rule for values of some types, which accepts values of other types."""
    return lambda value, argument, _schema: type(value) not in kinds or rule(value, argument)


_NUMBERS, _LIST, _DICT = (int, float), (list,), (dict,)
_RULES: Mapping[str, Rule] = {
    "type": _is_of_type,
    "enum": lambda value, allowed, _: any(_equal(each, value) for each in allowed),
    "const": lambda value, const, _: _equal(const, value),
    "minimum": _of(_NUMBERS, lambda value, least: not value < least),
    "maximum": _of(_NUMBERS, lambda value, most: not value > most),
    "exclusiveMinimum": _of(_NUMBERS, lambda value, least: not value <= least),
    "exclusiveMaximum": _of(_NUMBERS, lambda value, most: not value >= most),
    "minLength": _of((str,), lambda value, least: len(value) >= least),
    "maxLength": _of((str,), lambda value, most: len(value) <= most),
    "pattern": _of((str,), lambda value, pattern: re.search(pattern, value) is not None),
    "items": _of(_LIST, lambda value, inner: all(_fits(each, inner) for each in value)),
    "contains": _of(_LIST, lambda value, inner: any(_fits(each, inner) for each in value)),
    "minItems": _of(_LIST, lambda value, least: len(value) >= least),
    "maxItems": _of(_LIST, lambda value, most: len(value) <= most),
    "uniqueItems": _are_unique,
    "minProperties": _of(_DICT, lambda value, least: len(value) >= least),
    "required": _of(_DICT, lambda value, names: all(name in value for name in names)),
    "dependentRequired": _needs,
    "propertyNames": _of(_DICT, lambda value, inner: all(_fits(name, inner) for name in value)),
    "properties": _named_fit,
    "patternProperties": _patterns_fit,
    "additionalProperties": _extra_fit,
    "allOf": lambda value, inner, _: all(_fits(value, each) for each in inner),
    "anyOf": lambda value, inner, _: any(_fits(value, each) for each in inner),
    "oneOf": lambda value, inner, _: [_fits(value, each) for each in inner].count(True) == 1,
    "not": lambda value, inner, _: not _fits(value, inner),
    "if": _branch_fits,
    "then": _anything,
    "else": _anything,
}
_TEXTS = ("title", "description", "format", "$comment")
_ANNOTATIONS = ("default", "examples", "$schema")
"""Keywords without validation; `format` is an annotation only."""

_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties")
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_INNER = ("items", "contains", "propertyNames", "additionalProperties", "not", "if", "then", "else")


def _is_keyword(keyword: str, argument: JsonValue) -> bool:
    """Return whether this is a supported keyword with a well-formed argument."""
    if keyword in _INNER:
        return is_schema(argument)
    check = _ARGUMENTS.get(keyword)
    return check(argument) if check else keyword == "default" or keyword.startswith("x-")


def _is_name(argument: JsonValue) -> bool:
    return isinstance(argument, str) and any(argument in names for names in _NAMES.values())


def _are_names(argument: JsonValue) -> bool:
    return isinstance(argument, list) and all(isinstance(each, str) for each in argument) and _is_set(argument)


def _is_set(argument: list[str]) -> bool:
    return len(set(argument)) == len(argument)


def _are_types(argument: JsonValue) -> bool:
    return _is_name(argument) or (_are_names(argument) and bool(argument) and all(map(_is_name, argument)))


def _are_schemas(argument: JsonValue) -> bool:
    return isinstance(argument, list) and bool(argument) and all(map(is_schema, argument))


def _are_named_schemas(argument: JsonValue) -> bool:
    return isinstance(argument, dict) and all(map(is_schema, argument.values()))


def _is_pattern(argument: JsonValue) -> bool:
    try:
        return isinstance(argument, str) and re.compile(argument) is not None
    except re.error:
        return False


_ARGUMENTS: Mapping[str, Callable[[JsonValue], bool]] = {
    **dict.fromkeys(_TEXTS, lambda argument: isinstance(argument, str)),
    **dict.fromkeys(_COUNTS, lambda argument: type(argument) is int and argument >= 0),
    **dict.fromkeys(_LIMITS, lambda argument: type(argument) in _NUMBERS),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _are_schemas),
    **dict.fromkeys(("enum", "examples"), lambda argument: isinstance(argument, list)),
    "type": _are_types,
    "const": lambda _: True,
    "pattern": _is_pattern,
    "uniqueItems": lambda argument: isinstance(argument, bool),
    "required": _are_names,
    "dependentRequired": lambda argument: isinstance(argument, dict) and all(map(_are_names, argument.values())),
    "properties": _are_named_schemas,
    "patternProperties": lambda argument: _are_named_schemas(argument) and all(map(_is_pattern, argument)),
}
