"""Modules that are slow to import are imported late: a command without SQL and rows does not need them."""

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "numpy", "prompt_toolkit", "pyarrow", "pydantic_ai", "sqlglot")


@pytest.mark.parametrize("module", ["osiris.cli.main", "osiris.api", "osiris.chat.conversation", "osiris.cli.new"])
def test_a_module_imports_nothing_heavy(module):
    shown = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
