"""`python -I -m osiris.testing [NAME …]` checks components in a process of its own and prints the diagnostics as JSON.

Loading a driver runs its code, which a process that holds secrets should not do.
"""

from __future__ import annotations

import json
import sys

from osiris.errors import exit_code
from osiris.registry import load_registry
from osiris.testing.component import check_component


def main(names: list[str]) -> int:
    """Check the named components, or all; returns the exit code of the most severe diagnostic."""
    registry = load_registry()
    problems = [problem for name in names or registry.names() for problem in check_component(name, registry)]
    json.dump([problem.to_json() for problem in problems], sys.stdout)
    return exit_code(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
