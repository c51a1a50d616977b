"""Writes the reference pages from what they describe; with --check only says which of them are not up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osiris.cli.main import root
from osiris.codes import CODES
from osiris.config import KEYS, variable_name
from osiris.registry import RESERVED, UNSUPPORTED_RESERVED, Registry, load_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import ComponentSpec

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
NOTICE = "<!-- Written by tools/docs.py; change what it describes, then run `make docs`. -->"
PREFIXES = {
    "PRJ": "Project, configuration and command line",
    "OML": "The text of a pipeline",
    "CMP": "The plan",
    "REG": "Components",
    "CON": "Connections",
    "SQL": "SQL",
    "DAT": "Types and data",
    "RUN": "Runs",
    "DRV": "Drivers",
    "INT": "Osiris itself",
}
EXIT_CODES = {
    0: "all is well",
    1: "a run or a check failed, or a comparison differs",
    2: "usage or input that is not valid",
    3: "a connection or a secret is missing or out of reach",
    4: "something is not what it claims to be; nothing was run",
    5: "the plan has changes (`compile --check --detailed-exitcode`)",
    6: "a source no longer keeps to what was planned",
    70: "a mistake of Osiris itself",
    130: "interrupted",
    143: "terminated",
}


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield a Markdown table and an empty line; nothing if there are no rows."""
    if not rows:
        return
    for cells in (header, ("---",) * len(header), *rows):
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
    yield ""


def code(value: object) -> str:
    """Return a value as inline code; text as it is, anything else as JSON."""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def errors_page() -> Iterator[str]:
    """Yield the page of all codes."""
    yield from ("# Codes", "", "Everything that Osiris can say is wrong; `osiris explain CODE` shows one row.", "")
    yield from ("## Exit codes", "", "Of several problems the gravest decides: 4 before 3 before 2 before 1.", "")
    yield from table(("exit code", "meaning"), [(str(number), text) for number, text in EXIT_CODES.items()])
    for prefix, title in PREFIXES.items():
        rows = [(name, row) for name, row in CODES.items() if name.startswith(prefix)]
        yield from (f"## {prefix}: {title}", "")
        yield from table(
            ("code", "title", "message", "what to do", "ends with"),
            [
                (f"`{n}`", r.title, template(r.message), template(r.hint or ""), ending(r.severity, r.exit_code))
                for n, r in rows
            ],
        )


def template(text: str) -> str:
    """Return a message template for reading: its parameters in italics."""
    return text.replace("{{", "\0").replace("}}", "\1").replace("{", "*").replace("}", "*").translate({0: "{", 1: "}"})


def ending(severity: str, exit_code: int) -> str:
    """Return how a command with this code ends."""
    return str(exit_code) if severity == "error" else severity


def components_page() -> Iterator[str]:
    """Yield the page of our own components and families."""
    registry = load_registry()
    yield from ("# Components", "", "What can stand in a step; `osiris components show NAME` shows one.", "")
    yield from ("## Keys of every component", "")
    yield from config_table({key: RESERVED[key] for key in RESERVED if key not in UNSUPPORTED_RESERVED}, ())
    for spec in (spec for spec in registry.all() if spec.module.startswith("osiris.")):
        yield from component(spec)
    yield from families(registry)


def component(spec: ComponentSpec) -> Iterator[str]:
    """Yield the section of one component."""
    yield from (f"## {spec.name}", "", f"**{spec.title}**, version {spec.version}.", "", spec.description.strip(), "")
    facts = {
        "modes": ", ".join(spec.modes),
        "connection": spec.connection,
        "inputs": inputs(spec.inputs),
        "output": "yes" if spec.output else "no",
        "delivery": spec.delivery or "",
        "capabilities": ", ".join(spec.capabilities),
        "requires": ", ".join(spec.requirements),
    }
    yield from (f"- {name}: {value}" for name, value in facts.items() if value)
    yield ""
    public = {key: schema for key, schema in spec.config["properties"].items() if not schema.get("x-internal")}
    yield from config_table(public, spec.config.get("required", ()))
    if guidance := spec.hints.get("guidance"):
        yield from (" ".join(guidance.split()), "")
    for example in spec.examples:
        yield from (f"{example['title']}:", "", "```json", json.dumps(example["config"], ensure_ascii=False), "```", "")


def inputs(limits: tuple[int, int | None]) -> str:
    """Return how many inputs a component takes."""
    least, most = limits
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def families(registry: Registry) -> Iterator[str]:
    """Yield the sections about connections."""
    for name in registry.families():
        family = registry.family(name)
        if family and name in {spec.family for spec in registry.all() if spec.module.startswith("osiris.")}:
            yield from (f"## Connections of the family {name}", "", f"{family.title}.", "")
            yield from config_table(family.fields.get("properties", {}), family.fields.get("required", ()))


def config_table(properties: dict[str, Any], required: tuple[str, ...]) -> Iterator[str]:
    """Yield the table of the keys of a JSON Schema object."""
    rows = [
        (
            code(key),
            kind(schema),
            "required" if key in required else code(schema["default"]) if "default" in schema else "",
            schema.get("description", ""),
        )
        for key, schema in properties.items()
    ]
    yield from table(("key", "type", "default", "meaning"), rows)


def kind(schema: dict[str, Any]) -> str:
    """Return what a JSON Schema allows, in a few words."""
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    if branches := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(kind(branch) for branch in branches)
    types = schema.get("type", "any value")
    if types == "array" and "type" in schema.get("items", {}):
        return f"list of {kind(schema['items'])}"
    return " or ".join(types) if isinstance(types, list) else types


def cli_page() -> Iterator[str]:
    """Yield the page of all commands and settings."""
    yield from ("# Command line", "", str(root.help), "")
    top = click.Context(root, info_name="osiris")
    own = [param for param in root.params if isinstance(param, click.Option)]
    shared = [p for p in root.get_params(top) if isinstance(p, click.Option) and p not in own]
    yield from ("## osiris", "", *options(own, top), "## Options of every command", "", *options(shared, top))
    known = {param.name for param in shared}
    for path, command, context in commands(root, top):
        usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
        yield from (
            f"## {path}",
            "",
            "```",
            f"{path} {usage}".strip(),
            "```",
            "",
            *(command.help or "").split("\n"),
            "",
        )
        own = [p for p in command.params if isinstance(p, click.Option) and p.name not in known and not p.hidden]
        yield from options(own, context)
    yield from settings()


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield each command below a group with its path and context."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from commands(command, inner)
        else:
            yield inner.command_path, command, inner


def options(found: list[click.Option], context: click.Context) -> Iterator[str]:
    """Yield the table of some options."""
    rows = []
    for option in found:
        names, text = option.get_help_record(context) or ("", "")
        rows.append((code(names), text))
    yield from table(("option", "meaning"), rows)


def settings() -> Iterator[str]:
    """Yield the section about osiris.yaml."""
    yield from ("## Settings", "", "In `osiris.yaml`, or as an environment variable, which counts first.", "")
    rows = [
        (code(name), code(variable_name(name)), key.expected, code(key.default or 0), key.purpose)
        if key.default is not None
        else (code(name), code(variable_name(name)), key.expected, "", key.purpose)
        for name, key in KEYS.items()
    ]
    yield from table(("setting", "variable", "is", "default", "meaning"), rows)


PAGES = {"errors.md": errors_page, "components.md": components_page, "cli.md": cli_page}


def render(name: str) -> str:
    """Return the whole text of a page."""
    lines = "\n".join([NOTICE, "", *PAGES[name]()])
    return lines.rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    old = []
    for name in PAGES:
        path, text = REFERENCE / name, render(name)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        old.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in old:
        print(f"docs/reference/{name} {'is not up to date: run make docs' if '--check' in arguments else 'written'}")
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
