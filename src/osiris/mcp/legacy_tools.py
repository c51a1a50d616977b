"""How tools of the earlier implementation were called: what means the same is accepted, and never listed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue

    Arguments = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A tool as it was: its name here, its arguments' names here (None: it meant nothing, or means nothing here).

    `instead`: what to do where there is no such tool any more.
    """

    tool: str = ""
    renamed: Mapping[str, str | None] = field(default_factory=dict)
    instead: str | None = None


_VALIDATE = Earlier("oml_validate", {"oml_content": "oml", "strict": None})
_SAVE = Earlier("oml_save", {"oml_content": "oml", "filename": "file", "session_id": None})
_DISCOVER = Earlier("discover", {"connection": "target", "component": None, "samples": None, "idempotency_key": None})
_GUIDE = Earlier(instead="use the prompt author_pipeline")

TOOLS: dict[str, Earlier] = {
    "connections_list": Earlier("connections_list"),
    "connections_doctor": Earlier("connections_doctor", {"connection": "connections"}),
    "components_list": Earlier("component_get"),
    "discovery_request": _DISCOVER,
    "introspect_sources": _DISCOVER,
    "oml_schema_get": Earlier("oml_schema"),
    "oml_validate": _VALIDATE,
    "validate_oml": _VALIDATE,
    "oml_save": _SAVE,
    "save_oml": _SAVE,
    "aiop_list": Earlier("runs_list", {"profile": None}),
    "aiop_show": Earlier("run_explain", {"run_id": "session"}),
    "guide_start": _GUIDE,
    "usecases_list": Earlier(instead="component_get has examples; the prompt author_pipeline has the order of work"),
    "memory_capture": Earlier(instead="nothing is remembered of conversations; write what matters into the OML"),
}
"""By name, without the prefix `osiris.` and with `_` for dots."""

_LISTS = ("connections",)
_RESOURCES = {"osiris://mcp/schemas/oml/v0.1.0.json": "osiris://schema/oml"}


def translated(name: str, arguments: Arguments) -> tuple[str, Arguments]:
    """Return the tool and arguments that a call means; what is not of the earlier implementation is returned as it is.

    Fails with PRJ010 for a tool or an argument that meant what there is not any more.
    """
    row = TOOLS.get(name.removeprefix("osiris.").replace(".", "_"))
    if row is None:
        return name, arguments
    if row.instead:
        fail("PRJ010", what=name, instead=row.instead)
    if row.tool == "discover" and arguments.get("samples") not in (None, 0, "none", "masked"):
        fail("PRJ010", what=f"samples: {arguments['samples']}", instead="use discover with samples: masked")
    return row.tool, _arguments(row, arguments)


def resource(uri: str) -> str:
    """Return the URI by which a resource is known here."""
    return _RESOURCES.get(uri, uri)


def _arguments(row: Earlier, arguments: Arguments) -> Arguments:
    found: Arguments = {}
    for key, value in arguments.items():
        new = row.renamed.get(key, key)
        if new is not None:
            found[new] = [value] if new in _LISTS and isinstance(value, str) else value
    if "oml_content" in arguments and row.tool == "oml_save":
        found["file"] = f"output/{found.get('file') or 'draft.yaml'}"
    return found
