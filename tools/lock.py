"""Writes the lock of sandboxes: of `requirements.lock` what the worker needs, with all that this needs."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "src" / "osiris" / "runner" / "remote" / "sandbox.lock"
WORKER = (
    *("duckdb", "httpx", "jsonschema", "numpy", "postgrest", "psycopg[binary]", "pyarrow", "pymysql", "pyyaml"),
    *("obstore", "rfc8785", "sqlglot"),
)
"""What the modules that travel import."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"extra == ['\"]([^'\"]+)")


def locked() -> dict[str, str]:
    """Return the lines of each package in the lock, by its name; some have several versions."""
    found: dict[str, str] = defaultdict(str)
    for block in re.split(r"(?m)^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text()):
        if named := re.match(r"[a-z0-9-]+(?==|\[)", block):
            found[named[0]] += block
    return found


def name_of(requirement: str) -> str:
    """Return the name in a requirement, as the lock spells it."""
    match = _REQUIREMENT.match(requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


def needed(*roots: str) -> dict[str, set[str]]:
    """Return the names of all that these requirements need, each with what it needs, as the installed packages tell."""
    found: dict[str, set[str]] = {}
    todo, seen = [*roots], set()
    while todo:
        match = _REQUIREMENT.match(todo.pop())
        name, extras = (match[1], set(re.split(r"\s*,\s*", match[2] or ""))) if match else ("", set())
        key = name_of(name)
        if (key, *sorted(extras)) in seen:
            continue
        seen.add((key, *sorted(extras)))
        lines = [line for line in _requires(name) if not (of := _EXTRA.search(line)) or of[1] in extras]
        found.setdefault(key, set()).update(map(name_of, lines))
        todo += lines
    return found


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def main() -> None:
    """Write the lock, or with --check say whether it is up to date."""
    lines = locked()
    text = "".join(lines[name] for name in sorted(needed(*WORKER)) if name in lines)
    if "--check" in sys.argv:
        sys.exit(0 if LOCK.read_text() == text else f"{LOCK.name} is not up to date: run tools/lock.py")
    LOCK.write_text(text)


if __name__ == "__main__":
    main()
