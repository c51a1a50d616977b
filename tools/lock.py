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


def needed() -> set[str]:
    """Return the names of all that the worker needs, as the installed packages tell."""
    found, todo = set(), [*WORKER]
    while todo:
        match = _REQUIREMENT.match(todo.pop())
        name, extras = (match[1], set(re.split(r"\s*,\s*", match[2] or ""))) if match else ("", set())
        key = re.sub(r"[-_.]+", "-", name).lower()
        if (key, *sorted(extras)) in found:
            continue
        found.add((key, *sorted(extras)))
        todo += [line for line in _requires(name) if not (of := _EXTRA.search(line)) or of[1] in extras]
    return {name for name, *_ in found}


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def main() -> None:
    """Write the lock, or with --check say whether it is up to date."""
    lines = locked()
    text = "".join(lines[name] for name in sorted(needed()) if name in lines)
    if "--check" in sys.argv:
        sys.exit(0 if LOCK.read_text() == text else f"{LOCK.name} is not up to date: run tools/lock.py")
    LOCK.write_text(text)


if __name__ == "__main__":
    main()
