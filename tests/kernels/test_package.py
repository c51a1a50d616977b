"""The package of compiled twins is optional: whatever is wrong with it, or says so, the Python functions are there."""

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
from tests.patience import wait_until

from osiris import kernels
from osiris.runner.adapter import start_worker

LOOK = """
import json, sys
from tests.kernels.cases import twins
from osiris import kernels
here = [getattr(sys.modules[each.__module__], each.__name__) is each for each in twins().values()]
print(json.dumps([kernels.installed() is not None, here]))
"""


def looked(folder=None, **variables):
    """Return whether a process uses a package that stands in a folder, and of each function whether it is Python's."""
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


def test_a_worker_leaves_the_twins_alone_where_its_host_does(tmp_path, monkeypatch):
    """What a host is told by the variable its worker is told too."""
    monkeypatch.setenv("OSIRIS_KERNELS", "off")
    with start_worker(tmp_path) as link:
        environment = Path(f"/proc/{link.pid}/environ")
        # There is nothing in it while the program is being loaded.
        wait_until(lambda: b"OSIRIS_KERNELS=off" in environment.read_bytes().split(b"\0"))
