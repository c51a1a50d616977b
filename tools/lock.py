"""Writes the parts of `requirements.lock` that the worker in a sandbox needs, and that installing Osiris needs."""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SANDBOX = ROOT / "src" / "osiris" / "runner" / "remote" / "sandbox.lock"
INSTALL = ROOT / "install.lock"
WORKER = (
    *("duckdb", "httpx", "jsonschema", "numpy", "postgrest", "psycopg[binary]", "pyarrow", "pymysql", "pyyaml"),
    *("obstore", "rfc8785", "sqlglot"),
)
"""The imports of the modules that are sent to a sandbox."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"extra == ['\"]([^'\"]+)")
_OLDER = re.compile(r"python_version < ['\"]3\.(\d|10|11)['\"]")
"""Only for a Python that is older than any that Osiris supports."""


def locked() -> dict[str, str]:
    """Return the lines of each package in the lock, by name; some packages have several versions."""
    packages: dict[str, str] = defaultdict(str)
    for block in re.split(r"(?m)^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text()):
        if named := re.match(r"[a-z0-9-]+(?==|\[)", block):
            packages[named[0]] += block
    return packages


def name_of(requirement: str) -> str:
    """Return the name in a requirement, as the lock spells it."""
    match = _REQUIREMENT.match(requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


def needed(*roots: str) -> dict[str, set[str]]:
    """Return the dependencies of each package that these requirements need, by name, from the installed metadata."""
    dependencies: dict[str, set[str]] = {}
    todo, seen = [*roots], set()
    while todo:
        match = _REQUIREMENT.match(todo.pop())
        name, extras = (match[1], set(re.split(r"\s*,\s*", match[2] or ""))) if match else ("", set())
        key = name_of(name)
        if (key, *sorted(extras)) in seen:
            continue
        seen.add((key, *sorted(extras)))
        lines = [line for line in _requires(name) if not (of := _EXTRA.search(line)) or of[1] in extras]
        dependencies.setdefault(key, set()).update(map(name_of, lines))
        todo += lines
    return dependencies


def _requires(name: str) -> list[str]:
    try:
        return [line for line in requires(name) or [] if not _OLDER.search(line)]
    except PackageNotFoundError:
        return []


def project() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(*roots: str) -> str:
    """Return the lines of the lock for these requirements and all that they need."""
    lines = locked()
    return "".join(lines[name] for name in sorted(needed(*roots)) if name in lines)


def main() -> None:
    """Write the locks, or with --check exit with a message if one is not up to date."""
    settings = project()
    installing = (*settings["project"]["dependencies"], *settings["build-system"]["requires"])
    for path, text in {SANDBOX: requirements(*WORKER), INSTALL: requirements(*installing)}.items():
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path.name} is not up to date: run tools/lock.py")


if __name__ == "__main__":
    main()
