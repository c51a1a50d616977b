"""Checks the number of lines of each room of `src/osiris` against its budget in `tools/rooms.toml`.

A room is a folder. Folders of `families`, `runner` and `sql` are rooms of their own; `.` has the modules outside of
folders.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "osiris"
BUDGETS = ROOT / "tools" / "rooms.toml"
SPLIT = ("families", "runner", "sql")
MOST_MODULES = 40


def main() -> int:
    """Print what exceeds its budget; returns 1 if anything does."""
    lines, modules = counted()
    budgets = tomllib.loads(BUDGETS.read_text(encoding="utf-8"))
    problems = []
    for room, count in sorted(lines.items()):
        if count > budgets.get(room, 0):
            problems.append(f"{room} has {count} lines; its budget is {budgets.get(room, 0)}")
    for folder, count in sorted(modules.items()):
        if count > MOST_MODULES:
            problems.append(f"{folder} has {count} modules; at most {MOST_MODULES} are allowed")
    print("\n".join(problems), end="\n" if problems else "")
    return bool(problems)


def counted() -> tuple[Counter[str], Counter[str]]:
    """Return the lines of each room and the modules of each folder."""
    lines: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for path in SOURCE.rglob("*.py"):
        inside = path.relative_to(SOURCE).parts[:-1]
        lines["/".join(inside[: 2 if inside[:1] and inside[0] in SPLIT else 1]) or "."] += len(
            path.read_text(encoding="utf-8").splitlines()
        )
        modules["/".join(inside) or "."] += path.name != "__init__.py"
    return lines, modules


if __name__ == "__main__":
    sys.exit(main())
