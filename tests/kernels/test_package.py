"""The package of compiled functions is optional: if it is defective or disabled, the Python functions are used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import osiris_kernels
import pytest
from tests.kernels.cases import twins
from tests.kernels.conftest import REPOSITORY

from osiris import kernels
from osiris.families.files.csv_blocks import Grammar, split
from osiris.families.text_format import Spelling

LOOK = """
import json, sys
from tests.kernels.cases import twins
from osiris import kernels
here = [getattr(sys.modules[each.__module__], each.__name__) is each for each in twins().values()]
print(json.dumps([kernels.installed() is not None, here]))
"""


def looked(folder=None, **variables):
    """Return whether a process uses a package in a folder, and for each function whether it is Python's."""
    places = [str(each) for each in (folder, REPOSITORY) if each]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(places), **variables}
    done = subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def package(tmp_path):
    """A copy of the package, in a folder that comes first."""
    shutil.copytree(Path(osiris_kernels.__file__).parent, tmp_path / "osiris_kernels")
    return tmp_path / "osiris_kernels"


def test_every_twin_has_a_python_function_and_the_other_way_round():
    own = (each for each in vars(osiris_kernels).values() if getattr(each, "__module__", "") == "osiris_kernels")
    assert {each.__name__ for each in own if not each.__name__.startswith("_")} == set(twins())


def test_the_package_is_of_the_version_that_is_asked_for():
    assert osiris_kernels.VERSION == kernels.VERSION


def test_an_installed_package_is_used(package):
    assert looked() == [True, [False] * len(twins())]
    assert looked(package.parent) == [True, [False] * len(twins())]


def test_the_variable_leaves_the_python_functions():
    assert looked(OSIRIS_KERNELS="off") == [False, [True] * len(twins())]


@pytest.mark.parametrize("version", ["0", str(kernels.VERSION + 1), "None"])
def test_a_package_of_another_version_leaves_the_python_functions(package, version):
    file = package / "__init__.py"
    changed = file.read_text("utf-8").replace(f"\nVERSION = {kernels.VERSION}\n", f"\nVERSION = {version}\n")
    assert changed != file.read_text("utf-8")
    file.write_text(changed, "utf-8")
    assert looked(package.parent) == [False, [True] * len(twins())]


def test_a_package_without_a_version_leaves_the_python_functions(package):
    (package / "__init__.py").write_text("")
    assert looked(package.parent) == [False, [True] * len(twins())]


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF\2\1\1" + bytes(200)])
def test_a_library_that_cannot_be_loaded_leaves_the_python_functions(package, content):
    (package / "kernels.so").unlink()
    (package / "kernels.so").write_bytes(content)
    assert looked(package.parent) == [False, [True] * len(twins())]


def test_a_library_that_is_not_there_leaves_the_python_functions(package):
    (package / "kernels.so").unlink()
    assert looked(package.parent) == [False, [True] * len(twins())]


ENVIRONMENT = """
import sys, time
from pathlib import Path
from osiris.runner.adapter import start_worker
with start_worker(Path(sys.argv[1])) as link:
    for _ in range(1200):  # it is that of this process, or none, while the program is being loaded
        found = Path(f"/proc/{link.pid}/environ").read_bytes().split(b"\\0")
        if b"OSIRIS_KERNELS=off" in found and not any(each.startswith(b"MARK=") for each in found):
            sys.exit(0)
        time.sleep(0.05)
sys.exit("the worker was not told of it")
"""


def test_a_worker_leaves_the_twins_alone_where_its_host_does(tmp_path):
    """The worker gets the variable of its host, and no others that it does not need."""
    env = {**os.environ, "OSIRIS_KERNELS": "off", "MARK": "of the host"}
    subprocess.run([sys.executable, "-c", ENVIRONMENT, str(tmp_path)], env=env, check=True)


def test_what_would_need_too_many_addresses_is_left_to_python():
    """Each text column gets space for the whole block: with many columns that exceeds the address space."""
    width, rows = 400, 2000
    names = tuple(f"c{number}" for number in range(width))
    grammar = Grammar(names, dict.fromkeys(names, Spelling("utf8")), ",", (), skips_blank_lines=True)
    text = ("a," * (width - 1) + "a\n").encode() * rows + grammar.end_row
    assert osiris_kernels.csv_columns(text, grammar) is None
    assert split(text, grammar).num_rows == rows
