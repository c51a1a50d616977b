"""What is remembered of sources: true of one state, of one code, and nothing once the file is damaged."""

import sqlite3

import pytest

from osiris.discovery.store import open_store, store_path
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
            "now lies in .osiris/cache/discovery.sqlite.damaged; sources were looked at anew"
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
