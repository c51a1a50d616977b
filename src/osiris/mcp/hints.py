"""Advice for agents: the tools that help with problems, and hints that name tools instead of commands."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.mcp.definitions import RUN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

_BY_CODE: dict[str, str] = {
    "CMP001": "component_get",
    **dict.fromkeys(
        ("CMP020", "CMP021", "CMP022", "CMP023", "CMP024", "CMP025", "CMP027", "CMP047", "CMP049"), "compile"
    ),
    "RUN004": "runs_list",
    "RUN010": "runs_list",
    "MCP003": "oml_save",
    "PRJ009": "runs_list",
}
_BY_PREFIX: dict[str, str] = {
    "OML": "oml_schema",
    "CHT": "oml_schema",
    "CMP": "oml_validate",
    "SQL": "discover",
    "CON": "connections_list",
    "DRV": "connections_doctor",
    "DSC": "connections_doctor",
    "DAT": "run_explain",
    "LCK": "compile",
    "RUN": "run_explain",
    "REG": "component_get",
}
_MOST = 2
_TOOLS_BY_COMMAND = {
    "compile": "compile",
    "components list": "component_get",
    "components show": "component_get",
    "connections doctor": "connections_doctor",
    "connections list": "connections_list",
    "discover": "discover",
    "explain PLAN": "compile",
    "explain": "run_explain",
    "logs aiop": "run_explain",
    "logs list": "runs_list",
    "logs show": "run_explain",
    "new --help": "oml_schema with of: request",
    "new": "compile of a request",
    "preview": "preview",
    "run": RUN,
    "schema": "oml_schema",
    "validate": "oml_validate",
}
"""Commands, by their first words, and the equivalent tools. Of several that fit, the first counts."""
_ARGUMENTS_BY_OPTION = {"--grants": "detail: full", "--new-run": "new_run: true", "--refresh": "refresh: true"}
_FOR_PEOPLE = ("--resume", "--rows", "--out")
"""Options without an equivalent: agents see no rows of logs, for example."""
_COMMAND = re.compile(r"'osiris ([^']+)'|(?<=: )osiris ([^',;)]+)(?=[;)]|$)")
_ANY_COMMAND = re.compile(r"\bosiris [a-z]")


def for_agents(hint: str | None, *, allow_run: bool) -> str | None:
    """Return a hint with tools instead of commands; a command without an equivalent is left to a person."""
    if hint is None:
        return None
    text = _COMMAND.sub(lambda match: _tool_for(match[1] or match[2], allow_run=allow_run) or match[0], hint)
    is_for_people = _ANY_COMMAND.search(text) and "a person" not in text
    return f"{text}; a person runs that command" if is_for_people else text


def _tool_for(command: str, *, allow_run: bool) -> str | None:
    """Return the tool for a command, with arguments for its options; None if there is none."""
    names = (name for name in _TOOLS_BY_COMMAND if f"{command} ".startswith(f"{name} "))
    tool = _TOOLS_BY_COMMAND.get(next(names, ""))
    words = command.split()
    if tool is None or not set(words).isdisjoint(_FOR_PEOPLE) or (tool == RUN and not allow_run):
        return None
    arguments = [text for option, text in _ARGUMENTS_BY_OPTION.items() if option in words]
    return f"{tool} with {', '.join(arguments)}" if arguments else tool


def advised(value: JsonValue, *, allow_run: bool) -> JsonValue:
    """Return a JSON value in which the hints of all problems are for agents."""
    if isinstance(value, list):
        return [advised(item, allow_run=allow_run) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: advised(item, allow_run=allow_run) for key, item in value.items()}
    hints = [key for key in ("hint", "remedy") if "code" in inner and isinstance(inner.get(key), str)]
    return {**inner, **{key: for_agents(inner[key], allow_run=allow_run) for key in hints}}


def located(item: Diagnostic, root: str, *, allow_run: bool) -> Diagnostic:
    """Return a diagnostic with paths relative to the project, and a hint for agents."""
    hint = for_agents(item.hint and item.hint.replace(root, ""), allow_run=allow_run)
    return replace(item, message=item.message.replace(root, ""), hint=hint)


def next_tools(diagnostics: Iterable[Diagnostic]) -> list[tuple[str, dict[str, JsonValue]]]:
    """Return the tools that help with these problems, that of the first problem first."""
    codes = [item.code for item in diagnostics if item.severity == "error"]
    code_by_tool: dict[str, str] = {}
    for code in codes:
        if name := _BY_CODE.get(code) or _BY_PREFIX.get(code[:3]):
            code_by_tool.setdefault(name, code)
    pairs = ((name, {"of": "request"} if code.startswith("CHT") else {}) for name, code in code_by_tool.items())
    return list(pairs)[:_MOST]
