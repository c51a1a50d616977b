"""The first cause of a failure, its subject, and the class of a code; never guessed from a library's message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.codes import CODES
from osiris.errors import Diagnostic
from osiris.secret.redact_diagnostic import match_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.model import JsonValue

_CLASSES: dict[str, str] = {
    "connection": "CON011 CON014 CON015 CON017 CON025 CON026 CON042 CON073 DRV011 DRV064",
    "auth": "CON012 DRV003 DRV020",
    "schema": "DAT004 DAT005 DAT006 DAT011 DAT012 DAT029 CON013 DRV001 DRV005 DRV012 DRV071 CMP012 SQL009",
    "data": "SQL011 DRV010 DRV013 DRV015",
    "resource": "RUN013 RUN018 RUN045 DRV004 DRV006 DRV022 PRJ006",
    "timeout": "RUN002 DRV021",
    "cancelled": "RUN003 PRJ012",
    "killed": "RUN001 RUN008",
    "integrity": ("CMP020 CMP021 CMP022 CMP023 CMP024 CMP025 LCK001 LCK002 LCK003 LCK004 LCK005 DAT008 DRV014"),
    "code": "DRV000 DAT016 DAT017 REG002 REG004 REG005 RUN007 INT000",
}
_BY_CODE = {code: name for name, codes in _CLASSES.items() for code in codes.split()}
_KINDS = {
    "RUN013": "out_of_memory",
    "RUN045": "out_of_memory",
    **dict.fromkeys(("RUN018", "DRV004", "DRV022", "PRJ006"), "disk_full"),
}

_MAY_PASS = ("connection", "timeout", "cancelled", "killed", "resource")
_CONFLICTS = ("STA001", "DRV038", "DRV046", "DRV063")
"""Codes of other classes that a retry may pass: somebody else wrote or locked the same at that time."""

_FREE = frozenset(("problem", "reason", "what", "hint", "during", "rows", "found", "status", "kind", "change", "step"))
"""Message parameters with free text rather than a name."""
_QUOTED = re.compile(r"(?:\b([A-Za-z]+) )?(?:'([^'\n]{1,80})'|\"([^\"\n]{1,80})\")")
_NOUNS = frozenset(
    ("column", "table", "relation", "file", "key", "constraint", "schema", "database", "user", "role", "type", "check")
)
_PATTERNS = {
    "column": re.compile(r"^the plan has '([^']+)'|^planned (\S+) |\bsource column (\S+)$"),
    "instead": re.compile(r"where the source has '([^']+)'|; found (\S+) "),
    "value": re.compile(r"\bwith value (\S+) can't be cast"),
    "type": re.compile(r"\bdestination type (\S+)"),
    "signal": re.compile(r"^(SIG[A-Z0-9]+)$"),
}
"""Patterns for names in messages of drivers, the runner and DuckDB, by kind: missing columns, failed casts, signals."""
_KEYED = ("DAT028",)
"""Codes whose parameter `key` includes the value, such as `id=3`."""
_SAME = {"relation": "table", "role": "user"}
_LONGEST = 80


def class_of(code: str) -> str:
    """Return the class of a failure, one of `failure.class` in the AIOP schema."""
    return _BY_CODE.get(code) or ("data" if code.startswith("DAT") else "config")


def may_pass(code: str) -> bool:
    """Return whether a retry may succeed without any fix."""
    return class_of(code) in _MAY_PASS or code in _CONFLICTS


def kind_of(code: str) -> str:
    """Return the kind of a failure: a more specific one than its class, or the class."""
    return _KINDS.get(code) or class_of(code)


def step_of(item: Diagnostic) -> str | None:
    """Return the step named by a message; None if its code has no such parameter."""
    return _params(item).get("step")


def subject_of(item: Diagnostic) -> dict[str, str]:
    """Return the names in a message by kind: parameters of its code that are names, and quoted texts."""
    params = _params(item)
    names = {key: _unquoted(value) for key, value in params.items() if key not in _FREE and 0 < len(value) <= _LONGEST}
    for text in (value for key, value in params.items() if key in _FREE and key != "step"):
        for kind, name in _names_in(text):
            names.setdefault(kind, name)
    return _split_key(names) if item.code in _KEYED else names


def _names_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names in a text, each with its kind."""
    for kind, pattern in _PATTERNS.items():
        if match := pattern.search(text):
            yield kind, next(name for name in match.groups() if name)
    for noun, single, double in _QUOTED.findall(text):
        kind = noun.lower() if noun.lower() in _NOUNS else "name"
        yield _SAME.get(kind, kind), single or double


def _split_key(names: dict[str, str]) -> dict[str, str]:
    """Return a subject with key columns and key value in separate fields."""
    parts = [part.partition("=") for part in names.get("key", "").split(", ")]
    if not all(equals for _, equals, _ in parts):
        return names
    key, value = (", ".join(part[place] for part in parts) for place in (0, 2))
    return names | {"key": key, "value": value}


def _unquoted(value: str) -> str:
    """Return a value without surrounding quotes."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _params(item: Diagnostic) -> dict[str, str]:
    match = match_message(item.code, item.message)[1] if item.code in CODES else None
    return match.groupdict() if match else {"problem": item.message}


def first_cause(summary: Mapping[str, JsonValue]) -> tuple[int, Diagnostic] | None:
    """Return the first cause among the errors of a run.json, with its position from 1; None if there is none.

    For a cancelled or lost run it is the last error, which is about the run itself; for a failed one, the first.
    """
    numbered = enumerate(summary.get("diagnostics") or (), 1)
    errors = [(number, Diagnostic.from_json(item)) for number, item in numbered if item.get("severity") == "error"]
    if not errors or summary["status"] in ("complete", "running"):
        return None
    return errors[-1] if summary["status"] in ("cancelled", "lost") else errors[0]


def cause_code(summary: Mapping[str, JsonValue]) -> str | None:
    """Return the code of the first cause of a run.json; None if there is none."""
    cause = first_cause(summary)
    return cause[1].code if cause else None


def event_ids(*events: Mapping[str, JsonValue] | None) -> list[str]:
    """Return the evidence ids of events; None is skipped."""
    return [f"ev.{event['seq']}" for event in events if event]


def clip(text: str, longest: int) -> str:
    """Return a text as one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
