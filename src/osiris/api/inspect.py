"""Shows components, connections, settings and codes, and checks SQL."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from string import Formatter
from typing import TYPE_CHECKING

from osiris.codes import CODES
from osiris.codes.page import Version, load_page
from osiris.connections import environment_names, store_references
from osiris.distribution import DISTRIBUTION, FOREIGN, requires_foreign
from osiris.errors import Diagnostic, OsirisError, diagnostic, fail
from osiris.model import whole_reference
from osiris.registry import load_registry
from osiris.secret import sounds_secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue


_OF_SPEC = (
    *("name", "version", "title", "description", "family", "families", "modes", "capabilities", "connection", "inputs"),
    *("output", "delivery", "config", "secrets", "requirements", "examples", "digest"),
)
"""Fields of a component's spec to show."""

_LIKE_CODE = re.compile(r"[A-Za-z]{3}[0-9]{1,4}")


def is_code(text: str) -> bool:
    """Return whether a text is a code of the table, or looks like one."""
    return text.upper() in CODES or (len(text) == 6 and text[:3].isalpha() and text[3:].isdigit())


def suggest_code(text: str) -> str | None:
    """Return a hint with the codes that a text like `oml03` may mean; None for any other text."""
    near = get_close_matches(text.upper(), CODES) if _LIKE_CODE.fullmatch(text) else ()
    return f"did you mean {' or '.join(near)}?" if near else None


def explain_code(code: str) -> dict[str, JsonValue]:
    """Return the row and the page of a code; fails with PRJ008 if there is none."""
    if code not in CODES:
        fail("PRJ008", problem=f"unknown code {code}", hint=suggest_code(code))
    row, page = CODES[code], load_page(code)
    versions: tuple[Version, ...] = ("wrong", "right") if page.blocks else ()
    return {
        "code": code,
        "title": row.title,
        "message": _plain(row.message),
        "hint": row.hint and _plain(row.hint),
        "severity": row.severity,
        "exit_code": row.exit_code,
        "meaning": page.meaning,
        "examples": [{"version": version, **page.example(version)} for version in versions],
    }


def _plain(template: str) -> str:
    """Return a readable message template, with parameter names in angle brackets."""
    fields = Formatter().parse(template)
    return "".join(text + (f"<{name}>" if name is not None else "") for text, name, _, _ in fields)


def list_connections(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return each connection: its fields as written, which of its variables are set, and its references to stores.

    It has no values; no store is asked.
    """
    declared = workspace.connections().declared
    return [
        {
            "reference": f"@{family}.{alias}",
            "fields": {
                name: _shown(workspace, family, name, value) for name, value in fields.items() if name != "default"
            },
            "default": fields.get("default") is True,
            "variables": {name: bool(workspace.environ.get(name)) for name in environment_names(fields)},
            "stores": [reference.text for reference in store_references(fields)],
        }
        for family, aliases in sorted(declared.items())
        for alias, fields in sorted(aliases.items())
    ]


def _shown(workspace: Workspace, family: str, name: str, value: JsonValue) -> JsonValue:
    """Return a field as written; a secret or unknown field is masked unless it is a reference."""
    spec = workspace.registry.family(family)
    is_plain = spec is None or not spec.fields["properties"].get(name, {"x-secret": True}).get("x-secret")
    is_reference = isinstance(value, str) and whole_reference(value) is not None
    return value if is_reference or (is_plain and not sounds_secret(name)) else "***"


def explain_config(workspace: Workspace, key: str | None = None) -> dict[str, list[dict[str, JsonValue]]]:
    """Return the candidates of a setting (None: of all), the effective one first."""
    from osiris.config import KEYS

    return {
        name: [
            {"value": s.value, "written": s.value if s.written is None else s.written, "origin": s.origin}
            for s in workspace.config.explain(name)
        ]
        for name in ([key] if key else KEYS)
    }


def list_components(mode: str | None = None) -> tuple[list[dict[str, JsonValue]], list[Diagnostic]]:
    """Return the installed components, of one mode if given, and the problems of broken ones."""
    registry = load_registry()
    components = [show_component(spec.name) for spec in registry.all() if mode is None or mode in spec.modes]
    broken = (name for name in registry.names() if registry.find(name) is None)
    return components, [problem for name in broken for problem in registry.problems(name)]


def show_component(name: str) -> dict[str, JsonValue]:
    """Return the spec of a component as JSON; fails with CMP001."""
    spec = load_registry().get(name)
    fields = {key: getattr(spec, key) for key in _OF_SPEC} | {
        "inputs": dict(zip(("min", "max"), spec.inputs, strict=True))
    }
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def validate_components(name: str | None = None) -> tuple[list[str], list[Diagnostic]]:
    """Return the names of the components checked, and all problems of their specs and packages."""
    registry = load_registry()
    if name is not None:
        registry.get(name)
    names = [name] if name else registry.names()
    foreign = [each for each in names if requires_foreign(registry.owner(each))]
    problem = f"its package requires '{FOREIGN}', which is another author's; ours is '{DISTRIBUTION}'"
    return names, registry.problems(name) + [diagnostic("REG001", name=each, problem=problem) for each in foreign]


def check_sql(
    text: str, dialect: str, relations: Mapping[str, Collection[str] | None] | None = None
) -> dict[str, JsonValue]:
    """Return the verdict on one statement: ok, code, canonical, and all diagnostics.

    `relations` are those that it may read, with their columns (None if unknown).
    """
    from osiris.sql import check

    verdict = check(text, dialect, relations=relations)
    errors = [item for item in verdict.diagnostics if item.severity == "error"]
    return {
        "ok": verdict.ok,
        "code": None if verdict.ok else errors[0].code,
        "canonical": verdict.canonical,
        "diagnostics": [item.to_json() for item in verdict.diagnostics],
    }


def check_sql_lines(
    lines: Iterable[bytes],
    dialect: str | None = None,
    relations: Mapping[str, Collection[str] | None] | None = None,
) -> Iterator[dict[str, JsonValue]]:
    """Yield one verdict per line of JSON `{"dialect", "sql"}`, in order; never raises.

    A verdict has ok, code, reason (message and hint) and canonical.
    """
    return (_check_line(line, dialect, relations) for line in lines if line.strip())


def _check_line(
    line: bytes, dialect: str | None, relations: Mapping[str, Collection[str] | None] | None
) -> dict[str, JsonValue]:
    try:
        item = json.loads(line)
        verdict = check_sql(str(item["sql"]), str(item.get("dialect", dialect)), relations)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _refused("SQL001", 'a line must be JSON: {"dialect": …, "sql": …}')
    except OsirisError as error:
        return _refused(error.diagnostics[0].code, _reason(error.diagnostics[0]))
    errors = [Diagnostic.from_json(item) for item in verdict["diagnostics"] if item["severity"] == "error"]
    reason = None if verdict["ok"] else _reason(errors[0])
    return {"ok": verdict["ok"], "code": verdict["code"], "reason": reason, "canonical": verdict["canonical"]}


def _refused(code: str, reason: str) -> dict[str, JsonValue]:
    return {"ok": False, "code": code, "reason": reason, "canonical": None}


def _reason(problem: Diagnostic) -> str:
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


def one_line(value: JsonValue) -> str:
    """Return a value as JSON in ASCII, on one line."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
