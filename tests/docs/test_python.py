"""Every example of the reference of `import osiris` does what it shows."""

import datetime as dt
import doctest
import subprocess
import sys
from pathlib import Path

import osiris

COMMAND = Path(sys.executable).parent / "osiris"


def test_examples(tmp_path, monkeypatch):
    subprocess.run([COMMAND, "init", tmp_path / "shop"], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path / "shop")
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    functions = [name for name in osiris.__all__ if not isinstance(getattr(osiris, name), type | str)]
    for name in sorted(functions):
        for example in finder.find(getattr(osiris, name), globs={"osiris": osiris, "datetime": dt}):
            assert example.examples, name
            assert runner.run(example).failed == 0, name
    assert runner.tries >= len(functions)
