"""A component's spec says what its driver does, and its examples work: checked without running it."""

from __future__ import annotations

import importlib.metadata
import inspect
from typing import TYPE_CHECKING, Any

from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.registry import Registry, load_registry
from osiris.testing.examples import example_problems
from osiris.testing.fields import field_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

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
}
"""What a driver has for each mode and capability, and with how many arguments it is called."""


def check_component(name: str, registry: Registry | None = None) -> list[Diagnostic]:
    """Return everything in which a component's spec and driver are not what they say; an empty list is a pass.

    REG001 is about the form of the spec, REG002 about loading, REG004 about all in which spec, driver and installed
    packages disagree.
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
    found = [
        *field_problems(spec.config, config),
        *_method_problems(spec, driver),
        *_requirement_problems(spec),
        *_family_problems(spec, installed),
        *_secret_problems(spec),
        *_hint_problems(spec),
        *example_problems(spec, installed),
    ]
    return [diagnostic("REG004", name=name, problem=problem) for problem in found]


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
    if spec.connection != "none":
        for family in (spec.family, *spec.families):
            yield from _field_problems(family, registry)


def _field_problems(family: str, registry: Registry) -> Iterator[str]:
    try:
        known = registry.family(family)
    except OsirisError as error:
        yield f"family '{family}': {error.diagnostics[0].message}"
        return
    if known is None:
        yield f"it uses connections of the family '{family}', which is not registered"
        return
    if (known.fields.get("type"), known.fields.get("additionalProperties")) != ("object", False):
        yield f"the fields of family '{family}' must be an object without additional properties"
    for name, field in known.fields.get("properties", {}).items():
        if not field.get("description"):
            yield f"field '{name}' of family '{family}' has no description"


def _secret_problems(spec: ComponentSpec) -> Iterator[str]:
    for pointer in spec.secrets:
        schema: JsonValue = spec.config
        for part in pointer.split("/")[1:]:
            schema = schema.get("properties", {}).get(part.replace("~1", "/").replace("~0", "~"), {})
        if not schema:
            yield f"secret {pointer} is not a key of its config"


def _hint_problems(spec: ComponentSpec) -> Iterator[str]:
    properties = spec.config["properties"]
    named = {*spec.hints.get("aliases", {}), *spec.hints.get("synonyms", {}).values(), *spec.hints.get("values", {})}
    for key in sorted(named - set(properties)):
        yield f"hints name '{key}', which is not a key of its config"
    for old in sorted(set(spec.hints.get("synonyms", {})) & set(properties)):
        yield f"hints read '{old}' as another key, and it is a key of its config"
    for key, values in spec.hints.get("values", {}).items():
        for old, new in values.items():
            if _fits(old, properties.get(key, {})):
                yield f"hints read '{key}: {old}' as '{new}', and its config allows '{old}'"
            if not _fits(new, properties.get(key, {})):
                yield f"hints read '{key}: {old}' as '{new}', and its config does not allow '{new}'"


def _fits(value: JsonValue, schema: JsonValue) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(schema).is_valid(value))
