import re
import subprocess
import sys
import threading

import pytest
from tests.patience import started

from osiris.errors import OsirisError
from osiris.project import Project
from osiris.project_lock import Use, hold_project, hold_run, is_held, is_running, worker_lock

TABLE = Use("postgres 1 public.orders", "@postgres.wh.orders")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


HOLDS = """
import sys
from pathlib import Path
from osiris.project_lock import Use, hold_run
from osiris.project import Project

with hold_run(Project(Path(sys.argv[1])), "orders", "run of 'orders'", [Use(*eval(sys.argv[2]))]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(project, use=TABLE):
    command = [sys.executable, "-c", HOLDS, project.root, repr(tuple(use))]
    return started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.fixture
def holder(project):
    """Another process that holds the locks of a run."""
    with holding(project) as process:
        assert process.stdout.readline() == b"held\n"
        yield process


def held(project, pipeline="mine", uses=(), **words):
    return hold_run(project, pipeline, "mine", uses, **words)


def refused(project, *words, **options):
    with pytest.raises(OsirisError) as caught, held(project, *words, **options):
        pass
    (problem,) = caught.value.diagnostics
    assert problem.code == "RUN004"
    return problem


def test_holder_is_named(project, holder):
    problem = refused(project, "orders")
    assert re.search(
        rf"run of 'orders' \(process {holder.pid}, for \d+ s\) is running in this project$", problem.message
    )


def test_what_both_use_is_named(project, holder):
    problem = refused(project, "mine", [Use("a", "a"), TABLE], wait=1.0)
    assert "is running in this project and uses '@postgres.wh.orders' too (waited 1 s)" in problem.message


@pytest.mark.parametrize(
    ("one", "other", "excluded"),
    [
        (Use("/p/a.csv", ""), Use("/p/a.csv", ""), True),
        (Use("/p/a.csv", ""), Use("/p/b.csv", ""), False),
        (Use("/p/a/", "", partial=True), Use("/p/a/b.csv", ""), True),
        (Use("/p/a/", "", partial=True), Use("/p/ab.csv", ""), False),
        (Use("/p/a_", "", partial=True), Use("/p/a_1", "", partial=True), True),
        (Use("/p/a_", "", partial=True), Use("/p/b_", "", partial=True), False),
        (Use("/p/a.db", "", reads=True), Use("/p/a.db", ""), True),
        (Use("/p/a.db", "", reads=True), Use("/p/a.db", "", reads=True), False),
    ],
)
def test_what_excludes_what(project, one, other, excluded):
    assert one.excludes(other) is other.excludes(one) is excluded
    for first, second in ((one, other), (other, one)):
        with held(project, "first", [first]):
            if excluded:
                refused(project, "second", [second])
            else:
                with held(project, "second", [second]):
                    pass


def test_lock_is_free_after_its_holder_ends_or_dies(project, holder):
    with hold_project(project):
        assert is_running(project, "orders")
    holder.kill()
    holder.wait()
    assert not is_running(project, "orders")
    for _ in range(2):
        with held(project, "mine", [TABLE]) as has_waited, held(project, "orders"):
            assert not has_waited


def test_who_waits_is_told_once_and_gets_it(project, holder):
    said = []

    def let_go(text):
        said.append(text)
        holder.stdin.close()

    with held(project, "mine", [TABLE], wait=60.0, on_wait=let_go) as has_waited:
        assert has_waited
    (text,) = said
    assert text.endswith(", which uses '@postgres.wh.orders' too")


def test_holder_that_does_not_say_what_it_uses_excludes_all(project, holder):
    (note,) = project.locks.glob("*.lock")
    note.write_text("{")
    assert "another run is running" in refused(project).message


def test_worker_that_does_not_go_is_told_and_waited_for(project):
    with held(project, "orders", [TABLE]):
        pass
    worker_lock(project, "orders").touch()
    lock = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", lock, worker_lock(project, "orders")]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        worker.stdout.readline()
        for problem in (refused(project, "orders", grace=0.2), refused(project, "mine", [TABLE], grace=0.2)):
            assert "the worker of an earlier run is running" in problem.message
        with held(project, "mine"):
            pass
        worker.stdin.close()
        worker.wait()
        with held(project, "mine", [TABLE]) as has_waited:
            assert not has_waited


def test_short_lock_is_waited_for(project):
    with hold_project(project):
        assert is_held(project.shared_lock)
    hold = "import sys; from pathlib import Path; from osiris.project import Project\n"
    hold += "from osiris.project_lock import hold_project\n"
    hold += "with hold_project(Project(Path(sys.argv[1]))): print(flush=True); sys.stdin.read()"
    held = threading.Event()

    def wait():
        with hold_project(project):
            held.set()

    with started([sys.executable, "-c", hold, project.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not held.wait(0.5)
        process.stdin.close()
        waiting.join()
    assert held.is_set()
