"""Modules that are slow to import are imported late: a command without SQL and rows does not need them."""

import subprocess
import sys

import pytest

GUIDE = (
    "osiris.cli.guide, osiris.cli.new, osiris.chat.conversation, osiris.chat.guide.environment, osiris.chat.guide.flow"
)
HEAVY = ("duckdb", "numpy", "prompt_toolkit", "pyarrow", "pydantic_ai", "sqlglot")


@pytest.mark.parametrize("module", ["osiris.cli.main", "osiris.api", "osiris.chat.conversation", GUIDE])
def test_a_module_imports_nothing_heavy(module):
    shown = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_the_first_question_of_the_guide_waits_for_nothing_of_later_ones():
    late = (
        "osiris.chat.flags",
        "osiris.chat.prompts",
        "osiris.chat.render",
        "osiris.oml.replicate",
        "osiris.report.plan",
    )
    shown = f"import sys, {GUIDE}; print(*sorted(set({late}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
