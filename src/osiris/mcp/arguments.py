"""The arguments of a call, checked against the schema of its tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.document import escape
from osiris.errors import Location, diagnostic, did_you_mean, fail, raise_all
from osiris.mcp.definitions import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import JsonValue

LONGEST = 1_000_000
"""Characters of the longest text that is taken: far above any pipeline that a model writes."""

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def check_arguments(name: str, arguments: dict[str, JsonValue]) -> None:
    """Fail with MCP004 for a tool that there is not, and with MCP005 for every argument that does not fit."""
    from jsonschema import Draft202012Validator

    if name not in TOOLS:
        fail("MCP004", what="tool", name=name[:80], hint=did_you_mean(name[:80], TOOLS))
    for pointer, problem in _unfit(arguments, ""):
        fail("MCP005", at=Location(pointer=pointer), problem=f"'{pointer}' {problem}")
    tool = TOOLS[name]
    found = []
    for error in Draft202012Validator(tool.schema).iter_errors(arguments):
        pointer = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        problem, hint = _words(error.validator, error.validator_value, pointer, arguments, tool.arguments)
        found.append(diagnostic("MCP005", at=Location(pointer=pointer), problem=problem, hint=hint))
    if found:
        raise_all(found)


def _unfit(value: JsonValue, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield the texts that nothing can do anything with."""
    if isinstance(value, str):
        if len(value) > LONGEST:
            yield pointer, f"is longer than {LONGEST:,} characters"
        elif "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            yield pointer, "is not Unicode text"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unfit(key, f"{pointer}/{escape(key[:40])}")
            yield from _unfit(item, f"{pointer}/{escape(key[:40])}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unfit(item, f"{pointer}/{number}")


def _words(
    rule: object, expected: JsonValue, pointer: str, arguments: dict[str, JsonValue], known: object
) -> tuple[str, str | None]:
    """Return what is wrong, without the value, and what to do."""
    names = list(known) if isinstance(known, dict) else []
    if rule == "required":
        return f"needs {', '.join(name for name in expected if name not in arguments)}", "add it"
    if rule == "additionalProperties" and not pointer:
        extra = [key[:40] for key in arguments if key not in names]
        return f"unknown argument '{extra[0]}'", did_you_mean(extra[0], names)
    if rule == "type":
        told = expected if isinstance(expected, list) else [expected]
        return f"'{pointer}' must be {' or '.join(_TYPES.get(str(name), str(name)) for name in told)}", None
    if rule == "enum":
        return f"'{pointer}' must be one of {', '.join(expected)}", None
    if rule == "pattern":
        return f"'{pointer}' must match {expected}", "take it from the answer of compile" if "64" in expected else None
    return f"'{pointer}' must have {rule} {expected}", None
