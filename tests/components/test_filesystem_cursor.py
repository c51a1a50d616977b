"""`cursor: files`: what is delivered is what was digested."""

import hashlib
import os

import pytest

from osiris.components.filesystem_csv_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.replication import Cursor, Increment, Pair, State

SCHEMA = (Field("id", "int64"),)
FILES = Cursor("", "files")


def increment(position=None, columns=None):
    before = State(1, {}, columns, None, None, {"files": position}) if position is not None else None
    return Increment(Pair("in/*.csv", {}), FILES, before)


def rows(folder, made):
    context = StepContext("step", folder, folder, folder, cursor=FILES, increment=made)
    for batch in Driver().read(Config("*.csv"), SCHEMA, context).batches():
        yield from batch.column("id").to_pylist()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_the_position_is_known_when_all_rows_were_read(file):
    made = increment()
    assert list(rows(file.parent, made)) == [1]
    digest = hashlib.sha256(b"id\n1\n").hexdigest()
    assert made.position == {"files": {"a.csv": {"size": 5, "mtime_ns": 1_700_000_000 * 10**9, "sha256": digest}}}
    assert made.columns == {"id": "int64"}


@pytest.mark.parametrize("change", [lambda path: path.write_text("id\n2\n"), lambda path: path.unlink()])
def test_a_file_that_changes_while_it_is_read_fails_the_step(file, change):
    (file.parent / "b.csv").write_text("id\n" + "5\n" * 2_000_000)
    reading = rows(file.parent, increment())
    next(reading)
    change(file)
    with pytest.raises(OsirisError) as failed:
        list(reading)
    assert failed.value.diagnostics[0].code == "DRV038"


def test_columns_of_the_state_are_those_of_the_plan(file):
    with pytest.raises(OsirisError) as failed:
        list(rows(file.parent, increment({}, {"id": "utf8"})))
    assert failed.value.diagnostics[0].code == "STA002"
