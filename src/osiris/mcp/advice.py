"""Which tool to call next where something is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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
_TOOLS = {
    "components list": "component_get",
    "components show": "component_get",
    "connections doctor": "connections_doctor",
    "connections list": "connections_list",
    "logs aiop": "run_explain",
    "logs list": "runs_list",
    "logs show": "run_explain",
    "compile": "compile",
    "discover": "discover",
    "preview": "preview",
    "schema": "oml_schema",
    "validate": "oml_validate",
}
"""Commands that hints name, and the tools that answer the same."""
_COMMAND = re.compile(rf"'osiris ({'|'.join(_TOOLS)})(?: [^']*)?'")


def for_agents(hint: str | None) -> str | None:
    """Return a hint that names tools where it names commands."""
    return hint and _COMMAND.sub(lambda found: _TOOLS[found[1]], hint)


def next_tools(found: Iterable[Diagnostic]) -> list[tuple[str, dict[str, JsonValue]]]:
    """Return the tools that help with these problems, the first problem's first."""
    codes = [item.code for item in found if item.severity == "error"]
    named: dict[str, str] = {}
    for code in codes:
        if name := _BY_CODE.get(code) or _BY_PREFIX.get(code[:3]):
            named.setdefault(name, code)
    told = ((name, {"of": "request"} if code.startswith("CHT") else {}) for name, code in named.items())
    return list(told)[:_MOST]
