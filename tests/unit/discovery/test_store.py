"""The discovery cache: valid for one state of a source and one version of the code, and empty once damaged."""

import resource
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from osiris.discovery.store import open_store, store_path
from osiris.fault import arm
from osiris.project import Project


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def put(project, key, answer, fingerprint="f"):
    with open_store(project) as store:
        store.put(key, fingerprint, answer)


def get(project, key):
    with open_store(project) as store:
        return store.get(key), [item.code for item in store.notes]


def test_what_is_put_comes_back(project):
    put(project, ["tables", "k", []], {"a": [1, None, "ž"]})
    entry, notes = get(project, ["tables", "k", []])
    assert (entry.answer, entry.fingerprint, notes) == ({"a": [1, None, "ž"]}, "f", [])
    assert entry.made_at.endswith("Z")
    assert get(project, ["tables", "k", ["other"]])[0] is None
    put(project, ["tables", "k", []], 2, fingerprint="g")
    assert (get(project, ["tables", "k", []])[0].answer, get(project, ["tables", "k", []])[0].fingerprint) == (2, "g")


def test_only_its_owner_may_read_it(project):
    put(project, "k", 1)
    assert store_path(project).stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_set_aside_and_said(project):
    put(project, "k", 1)
    store_path(project).write_bytes(b"this is no database at all" * 100)
    with open_store(project) as store:
        assert store.get("k") is None
        assert [item.code for item in store.notes] == ["DSC002"]
        assert store.notes[0].message.endswith(
            "moved to .osiris/cache/discovery.sqlite.damaged; sources were read again"
        )
        store.put("k", "f", 2)
        assert store.get("k").answer == 2
    assert store_path(project).with_name("discovery.sqlite.damaged").read_bytes().startswith(b"this is no database")
    assert get(project, "k")[1] == []


@pytest.mark.parametrize("column", ["answer", "fingerprint", "made_at"])
def test_an_entry_that_was_changed_is_not_believed(project, column):
    put(project, "k", 1)
    with sqlite3.connect(store_path(project)) as file:
        file.execute(f"UPDATE found SET {column} = '3'")
    assert (get(project, "k")) == (None, ["DSC002"])


def test_a_table_of_another_shape_is_set_aside(project):
    store_path(project).parent.mkdir(parents=True)
    with sqlite3.connect(store_path(project)) as file:
        file.execute("CREATE TABLE found (key)")
    assert get(project, "k") == (None, ["DSC002"])


def test_a_file_that_is_out_of_reach_is_as_good_as_none(project):
    store_path(project).mkdir(parents=True)
    put(project, "k", 1)
    assert get(project, "k") == (None, [])


def test_a_file_that_is_busy_is_as_good_as_none(project):
    put(project, "k", 1)
    with sqlite3.connect(store_path(project), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert get(project, "k") == (None, [])
    assert get(project, "k")[0].answer == 1


@contextmanager
def another(path, *statements):
    """Hold a transaction that a second connection began; it waits for nobody."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement).fetchone()
        yield other


@contextmanager
def reading(path):
    with another(path, "BEGIN", "SELECT * FROM found"):
        yield


@contextmanager
def writing(path):
    with another(path, "BEGIN IMMEDIATE"):
        yield


@contextmanager
def moved(path):
    path.rename(path.with_name("moved"))
    yield
    path.with_name("moved").rename(path)


@contextmanager
def no_journal(path):
    journal = path.with_name(f"{path.name}-journal")
    journal.mkdir()
    yield
    journal.rmdir()


@contextmanager
def journal_nowhere(path):
    journal = path.with_name(f"{path.name}-journal")
    journal.symlink_to(path.with_name("nowhere") / "journal")
    yield
    journal.unlink()


@contextmanager
def full(path):
    before, on_limit = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, on_limit)


@contextmanager
def refused(path):
    with another(path, "CREATE TRIGGER no BEFORE INSERT ON found BEGIN SELECT raise(ABORT, 'no'); END") as other:
        yield
        other.execute("DROP TRIGGER no")


@contextmanager
def broken_commit(path):
    arm({"OSIRIS_FAULT": "discovery.commit:1:raise"}, "host")
    try:
        yield
    finally:
        arm({}, "host")


HINDERED = [reading, writing, moved, no_journal, journal_nowhere, full, refused, broken_commit]


@pytest.mark.parametrize("hindered", HINDERED)
def test_what_could_not_be_kept_is_given_up_and_hinders_nobody(project, hindered):
    path = store_path(project)
    with open_store(project) as store:
        store.put("a", "f", 1)
        with hindered(path):
            store.put("given up", "f", "x" * 10_000)
        with another(path) as other:
            assert other.execute("SELECT count(*) FROM found").fetchone() == (1,)
            other.execute("INSERT INTO found VALUES (x'00', '', '', x'00', '')")
        store.put("b", "f", 2)
        assert [store.get(key) and store.get(key).answer for key in ("a", "given up", "b")] == [1, None, 2]
        assert store.notes == []
    with another(path) as other:
        assert other.execute("SELECT count(*) FROM found").fetchone() == (3,)


def test_a_file_is_not_damaged_because_a_question_was_interrupted(project):
    put(project, "k", 1)
    with open_store(project) as store:
        store.get("other")
        store._file.set_progress_handler(lambda: 1, 1)
        assert store.get("k") is None
        store.put("given up", "f", 2)
        store._file.set_progress_handler(None, 1)
        assert (store.get("k").answer, store.get("given up"), store.notes) == (1, None, [])


def test_a_file_is_not_damaged_because_another_thread_asks(project):
    put(project, "k", 1)
    with open_store(project) as store, ThreadPoolExecutor(1) as thread:
        assert store.get("k").answer == 1
        assert thread.submit(store.get, "k").result() is None
        thread.submit(store.put, "given up", "f", 2).result()
        assert (store.get("k").answer, store.get("given up"), store.notes) == (1, None, [])


def test_a_file_is_not_damaged_because_an_entry_is_no_text(project):
    put(project, "k", 1)
    with another(store_path(project), "UPDATE found SET fingerprint = CAST(x'ff' AS TEXT)"):
        assert get(project, "k") == (None, [])
    put(project, "k", 2)
    assert get(project, "k")[0].answer == 2


WITHOUT_MEMORY = """
import sqlite3, sys
from pathlib import Path
from osiris.discovery.store import open_store
from osiris.project import Project

with open_store(Project(Path(sys.argv[1]))) as store:
    store.get("other")
    sqlite3.connect(":memory:").execute("PRAGMA hard_heap_limit = 1000000")
    print(store.get("k"), store.notes)
    store.put("given up", "f", "x" * 3_000_000)
    print(store.get("given up"), store.get("small").answer, store.notes)
"""


def test_a_file_is_not_damaged_because_there_is_no_memory(project):
    put(project, "k", "x" * 3_000_000)
    put(project, "small", 1)
    asked = [sys.executable, "-c", WITHOUT_MEMORY, str(project.root)]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    assert done.stdout == "None []\nNone 1 []\n"
    assert get(project, "k")[0].answer == "x" * 3_000_000
