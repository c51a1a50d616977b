"""`osiris components`: list, show, check and create components."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, noun
from osiris.cli.render import Answer, table
from osiris.errors import has_errors
from osiris.registry import load_registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from osiris.cli.render import Line
    from osiris.model import JsonValue

TYPE_NAMES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}
IMPLIED = {
    "properties": "object",
    "additionalProperties": "object",
    "items": "array",
    "pattern": "string",
    "minLength": "string",
    "maxLength": "string",
    "minimum": "number",
    "maximum": "number",
}
"""Keywords of JSON Schema that imply a type where `type` is missing."""
MODES = click.Choice(["read", "transform", "write"])


@answers("list", click.option("--mode", type=MODES, help="List only components with this mode."))
def list_components(mode: str | None) -> Answer:
    """List the installed components."""
    specs, problems = api.list_components(mode)
    rows = [(c["name"], c["version"], ", ".join(c["modes"]), c["title"]) for c in specs]
    return Answer({"components": specs}, table(rows, ("component", "version", "modes", "title")), problems)


@answers("show", click.argument("name"))
def show(name: str) -> Answer:
    """Show the config keys, delivery and examples of a component."""
    spec, shared = api.show_component(name), load_registry().shared_config(name)
    text: list[Line] = [[("bold", f"{spec['name']} {spec['version']}"), ("", f"  {spec['title']}")]]
    text += [f"  {line}" for line in spec["description"].splitlines()]
    text += [f"  modes: {', '.join(spec['modes'])}; connection: {spec['connection']}"]
    text += [f"  delivery: {spec['delivery']}"] if spec["delivery"] else []
    required = spec["config"].get("required", ())
    own = _keys("config", spec["config"]["properties"], required)
    examples = [f"example: {each.get('title', '')}: {api.one_line(each['config'])}" for each in spec["examples"]]
    return Answer({**spec, "shared": shared}, [*text, *own, *_keys("config of every step", shared), *examples])


def _keys(title: str, properties: Mapping[str, dict[str, JsonValue]], required: Collection[str] = ()) -> list[Line]:
    rows = [
        (key, kind(schema), "required" if key in required else _default(schema), _meaning(schema))
        for key, schema in properties.items()
        if not schema.get("x-internal")
    ]
    return table(rows, (title, "type", "default", "meaning"))


def kind(schema: dict[str, JsonValue]) -> str:
    """Return a short text of the values that a JSON Schema allows."""
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and "type" not in schema:
        return " or ".join(dict.fromkeys(_branch(branch) for branch in branches))
    types = schema.get("type") or _implied(schema)
    names = types if isinstance(types, list) else [types]
    items = schema.get("items")
    return " or ".join(f"list of {kind(items)}" if name == "array" and items else str(name) for name in names)


def _branch(schema: dict[str, JsonValue]) -> str:
    choices = _choices(schema)
    return " or ".join(choices) if choices else kind(schema)


def _implied(schema: dict[str, JsonValue]) -> str | list[str]:
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return list(dict.fromkeys(TYPE_NAMES[type(value)] for value in values))
    return next((name for word, name in IMPLIED.items() if word in schema), "any")


def _choices(schema: dict[str, JsonValue]) -> list[str]:
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return [value if isinstance(value, str) else api.one_line(value) for value in values]


def _meaning(schema: dict[str, JsonValue]) -> str:
    choices = _choices(schema)
    parts = [str(schema.get("description", "")), f"One of: {', '.join(choices)}." if choices else ""]
    return " ".join(part for part in parts if part)


def _default(schema: dict[str, JsonValue]) -> str:
    return api.one_line(schema["default"]) if "default" in schema else ""


@answers("validate", click.argument("name", required=False))
def validate(name: str | None) -> Answer:
    """Check the spec of a component, or of all components.

    `osiris.testing` checks drivers.
    """
    names, problems = api.validate_components(name)
    bad = has_errors(problems)
    return Answer({"checked": names}, [] if bad else [f"{each}: ok" for each in names], problems)


@answers(
    "new",
    click.argument("name"),
    click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path)),
)
def new(name: str, folder: Path | None) -> Answer:
    """Create a package with a new component in DIR.

    NAME is family.kind. The package can be installed and passes its tests.
    """
    made = api.new_component(name, folder)
    text = [f"new component {name} in {made['dir']}", *(f"  {file}" for file in made["files"])]
    follow_up = [f"pip install -e {made['dir']}", f"osiris components validate {name}"]
    return Answer(made, text, next=follow_up)


components = noun("components", "List, show, check and create components.", list_components, show, validate, new)
