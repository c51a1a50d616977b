"""Parameters: declared, typed, and put in the place of their placeholders before anything is checked.

A value comes from the command line, else from `OSIRIS_PARAM_<NAME>`, else from the profile, else from the default.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.document import Document, join, kind_of
from osiris.errors import Diagnostic, Location, diagnostic, did_you_mean

if TYPE_CHECKING:
    from osiris.model import JsonValue

_KEYS = ("type", "default", "enum", "min", "max", "pattern", "sensitive", "description")
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Param:
    """A declared parameter."""

    name: str
    type: str
    default: JsonValue = None
    enum: tuple[JsonValue, ...] = ()
    minimum: JsonValue = None
    maximum: JsonValue = None
    pattern: str | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Params:
    """The values of one compilation; sensitive parameters have a name here and no value."""

    values: Mapping[str, JsonValue] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()


def _parse_date(text: str) -> str | None:
    try:
        return text if datetime.date.fromisoformat(text).isoformat() == text else None
    except ValueError:
        return None


def _parse_list(text: str) -> list[JsonValue] | None:
    if not text.startswith("["):
        return [part.strip() for part in text.split(",")] if text else []
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, list) else None


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# Per type: what it is called, how its text is read (None: it is no such value), and what a YAML value of it is.
_Reader = Callable[[str], "JsonValue | None"]
_TYPES: dict[str, tuple[str, _Reader, Callable[[JsonValue], bool]]] = {
    "string": ("text", str, lambda v: isinstance(v, str)),
    "integer": (
        "an integer",
        lambda t: int(t) if _INTEGER.fullmatch(t) else None,
        lambda v: isinstance(v, int) and not isinstance(v, bool),
    ),
    "number": ("a number", lambda t: float(t) if _NUMBER.fullmatch(t) else None, _is_number),
    "boolean": ("true or false", {"true": True, "false": False}.get, lambda v: isinstance(v, bool)),
    "date": (
        "a date like 2026-01-31",
        _parse_date,
        lambda v: isinstance(v, str) and _parse_date(v) is not None,
    ),
    "list": ("a list", _parse_list, lambda v: isinstance(v, list)),
}


def resolve_params(
    document: Document, *, given: Mapping[str, str], env: Mapping[str, str], profile: str | None
) -> tuple[Params, list[Diagnostic]]:
    """Return the parameters' values, and everything that is wrong with them."""
    problems: list[Diagnostic] = []
    declared = _declared(document, problems)
    chosen = _profile_values(document, profile, declared, problems)
    problems += _undeclared(given, declared, Location(document.file))
    values, sensitive = {}, []
    for param in declared.values():
        at = document.where(join("/params", param.name))
        if param.sensitive:
            sensitive.append(param.name)
            problems += _leaked(param, given, chosen, at)
            continue
        value, problem = _value(param, given, env, chosen, at)
        problems += problem
        values[param.name] = value
    return Params(values, tuple(sensitive), tuple(declared)), problems


def _declared(document: Document, problems: list[Diagnostic]) -> dict[str, Param]:
    section = document.data.get("params")
    found = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        pointer = join("/params", name)
        param, problem = _declare(name, value)
        if problem:
            problems.append(diagnostic("OML020", at=document.where(pointer), name=name, problem=problem))
        if param:
            found[name] = param
    return found


def _declare(name: str, value: JsonValue) -> tuple[Param | None, str | None]:
    if not isinstance(value, dict):
        kind = _type_of(value)
        return (Param(name, kind, value), None) if kind else (Param(name, "string"), "a default cannot be nothing")
    if unknown := [key for key in value if key not in _KEYS]:
        hint = did_you_mean(unknown[0], _KEYS)
        return Param(name, "string"), f"unknown key '{unknown[0]}' ({hint})"
    kind = value.get("type") or _type_of(value.get("default")) or "string"
    if kind not in _TYPES:
        return Param(name, "string"), f"type must be one of {', '.join(_TYPES)}"
    param = Param(
        name,
        kind,
        value.get("default"),
        tuple(value.get("enum") or ()),
        value.get("min"),
        value.get("max"),
        value.get("pattern"),
        value.get("sensitive") is True,
    )
    return param, _bad_rule(param, value)


def _bad_rule(param: Param, value: Mapping[str, JsonValue]) -> str | None:
    if not isinstance(value.get("sensitive", False), bool):
        return "sensitive must be true or false"
    if param.sensitive and param.default is not None:
        return "a sensitive parameter has no default: it comes from the environment"
    if param.pattern is not None:
        try:
            re.compile(param.pattern)
        except (re.error, TypeError):
            return "pattern is not a regular expression"
    return None


def _type_of(value: JsonValue) -> str | None:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list"}
    return names.get(type(value))


def _profile_values(
    document: Document, profile: str | None, declared: Mapping[str, Param], problems: list[Diagnostic]
) -> Mapping[str, JsonValue]:
    """Return the parameter values of the chosen profile; every profile's names are checked, chosen or not."""
    profiles = document.data.get("profiles")
    profiles = profiles if isinstance(profiles, dict) else {}
    values = {name: (body or {}).get("params") or {} for name, body in profiles.items() if isinstance(body or {}, dict)}
    for name, chosen in values.items():
        at = document.where(join(join("/profiles", name), "params"))
        problems += _undeclared(chosen, declared, at)
    if profile is not None and profile not in profiles:
        hint = did_you_mean(profile, profiles) or "this file declares no profiles"
        problems.append(diagnostic("OML023", at=document.where("/profiles"), hint=hint, name=profile))
    return values.get(profile or "", {})


def _undeclared(names: Iterable[str], declared: Mapping[str, Param], at: Location) -> list[Diagnostic]:
    unknown = [name for name in names if name not in declared]
    return [diagnostic("OML019", at=at, hint=did_you_mean(name, declared), name=name) for name in unknown]


def _leaked(param: Param, given: Mapping[str, str], chosen: Mapping[str, JsonValue], at: Location) -> list[Diagnostic]:
    where = "on the command line" if param.name in given else "in a profile" if param.name in chosen else None
    if where is None:
        return []
    instead = f"export OSIRIS_PARAM_{param.name.upper()}"
    return [diagnostic("OML025", at=at, name=param.name, problem=f"is given {where}", instead=instead)]


def _value(
    param: Param, given: Mapping[str, str], env: Mapping[str, str], chosen: Mapping[str, JsonValue], at: Location
) -> tuple[JsonValue, list[Diagnostic]]:
    expected, read, is_valid = _TYPES[param.type]
    variable = f"OSIRIS_PARAM_{param.name.upper()}"
    text = given.get(param.name, env.get(variable))
    if text is not None:
        value = read(text)
        found = "this text"
    else:
        value = chosen.get(param.name, param.default)
        found = kind_of(value)
        if value is None:
            return None, [diagnostic("OML022", at=at, name=param.name)]
        value = value if is_valid(value) else None
    if value is None:
        return None, [diagnostic("OML021", at=at, name=param.name, expected=expected, found=found)]
    if rule := _broken_rule(param, value):
        return None, [diagnostic("OML021", at=at, name=param.name, expected=rule, found="another value")]
    return float(value) if param.type == "number" else value, []


def _broken_rule(param: Param, value: JsonValue) -> str | None:
    if param.enum and value not in param.enum:
        return "one of " + ", ".join(map(str, param.enum))
    if param.pattern is not None and not re.fullmatch(param.pattern, str(value)):
        return f"text that matches {param.pattern}"
    try:
        if param.minimum is not None and value < param.minimum:
            return f"at least {param.minimum}"
        if param.maximum is not None and value > param.maximum:
            return f"at most {param.maximum}"
    except TypeError:
        return "comparable with its min and max"
    return None
