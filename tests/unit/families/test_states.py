"""Whether a source has changed: by its content, whatever its time."""

import os
import sqlite3
import subprocess
import sys

import duckdb
import pytest

from osiris.families.files import source_files
from osiris.families.sql import database_file

LOCKED = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("INSERT INTO t VALUES (2)")
except sqlite3.OperationalError as error:
    print(error)
"""


def csv(path):
    path.write_bytes(b"a,b\n" + b"12345678,some text\n" * (20 * 2**20 // 19))


def in_sqlite(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()


def in_duckdb(path):
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")


SOURCES = {
    "file": (csv, lambda path: source_files.state_of([path])),
    "sqlite": (in_sqlite, lambda path: database_file.state_of(path, path.with_name("source-wal"))),
    "duckdb": (in_duckdb, lambda path: database_file.state_of(path, path.with_name("source.wal"))),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_touch_is_no_change_and_another_byte_is_one(kind, tmp_path):
    make, state = SOURCES[kind]
    path = tmp_path / "source"
    make(path)
    before, times = state(path), (10**18, 10**18)
    os.utime(path, ns=times)
    assert state(path) == before
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=times)
    assert state(path) != before


@pytest.mark.parametrize("of", [lambda path: source_files.state_of([path]), database_file.state_of])
def test_of_a_very_large_source_size_and_time_count(of, tmp_path):
    path = tmp_path / "source"
    with path.open("wb") as file:
        file.truncate(source_files.READ_WHOLE + 1)
    before = of(path)
    assert of(path) == before
    os.utime(path, ns=(10**18, 10**18))
    assert of(path) != before


def test_looking_into_a_database_drops_none_of_our_locks(tmp_path):
    path = tmp_path / "source"
    in_sqlite(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        assert database_file.state_of(path)
    done = subprocess.run([sys.executable, "-c", LOCKED, path], capture_output=True, text=True, check=True)
    connection.close()
    assert done.stdout == "database is locked\n"


def test_what_is_not_there_or_empty_does_not_count(tmp_path):
    path, beside = tmp_path / "source", tmp_path / "source-wal"
    in_sqlite(path)
    before = database_file.state_of(path, beside)
    beside.touch()
    assert database_file.state_of(path, beside) == before
    beside.write_bytes(b"more")
    assert database_file.state_of(path, beside) != before
