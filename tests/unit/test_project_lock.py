import re
import subprocess
import sys

import pytest
from tests.patience import started

from osiris.errors import OsirisError
from osiris.project import Project
from osiris.project_lock import hold_project, is_held, wait_for_worker


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


HOLDS = """
import sys
from pathlib import Path
from osiris.project_lock import hold_project
from osiris.project import Project

with hold_project(Project(Path(sys.argv[1])), "run of 'orders'"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(project):
    """Another process that holds the project's lock."""
    command = [sys.executable, "-c", HOLDS, project.root]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process


def test_holder_is_named(project, holder):
    with pytest.raises(OsirisError) as caught, hold_project(project, "mine"):
        pass
    (problem,) = caught.value.diagnostics
    assert problem.code == "RUN004"
    assert re.search(rf"run of 'orders' \(process {holder.pid}, for \d+ s\)", problem.message)


def test_lock_is_free_after_its_holder_ends_or_dies(project, holder):
    assert is_held(project.run_lock)
    holder.kill()
    holder.wait()
    assert not is_held(project.run_lock)
    for _ in range(2):
        with hold_project(project, "mine"):
            pass


def test_holder_that_has_not_said_who_it_is(project, holder):
    project.run_lock.write_text("{")
    with pytest.raises(OsirisError, match="another run is running"), hold_project(project, "mine"):
        pass


def test_worker_that_does_not_go_is_told(project, holder):
    wait_for_worker(project)
    project.worker_lock.hardlink_to(project.run_lock)
    with pytest.raises(OsirisError) as caught:
        wait_for_worker(project, limit=0.1)
    assert caught.value.diagnostics[0].code == "RUN004"
    holder.stdin.close()
    holder.wait()
    wait_for_worker(project, limit=5)
