"""The page of types matches the real outcomes; `--update-golden` rewrites it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_types_is_up_to_date(update_golden):
    options = [] if update_golden else ["--check"]
    command = [sys.executable, ROOT / "tools" / "docs.py", "reference/types.md", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
