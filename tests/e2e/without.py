"""The command in an environment that lacks a package: one without an extra."""

import subprocess
import sys
from pathlib import Path

import pytest

import osiris


def run_without(package, tmp_path, cwd, *args):
    """Return a finished process of the command that finds all installed packages but those whose name begins so."""
    here, found = tmp_path / "packages", Path(pytest.__file__).parents[1]
    here.mkdir()
    for each in found.iterdir():
        if not each.name.startswith(package):
            (here / each.name).symlink_to(each)
    paths = [str(Path(osiris.__file__).parents[1]), str(here)]
    code = f"""import sys
sys.path[:] = [path for path in sys.path if path != {str(found)!r}] + {paths}
from osiris.cli.main import main
sys.exit(main({[*map(str, args)]}))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)
