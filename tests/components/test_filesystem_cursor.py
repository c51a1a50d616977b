"""`cursor: files`: what is delivered is what was digested."""

import hashlib
import os

import pytest
from tests.components.test_stores import hidden

from osiris.components.filesystem_csv_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.registry import load_registry
from osiris.replication import Cursor, Increment, Pair, State
from osiris.testing.trial import Trial

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


def test_a_file_is_known_by_its_name_and_by_where_a_link_leads(file):
    folder = file.parent
    file = file.rename(folder / "a.real")
    (folder / "linked.csv").symlink_to(file)
    first = increment()
    assert list(rows(folder, first)) == [1]
    entry = first.position["files"]["linked.csv"]
    for known in ({"linked.csv": entry}, {"a.real": entry}):  # an earlier version keeps the second
        again = increment(known)
        assert list(rows(folder, again)) == []
        assert again.position == {"files": {**known, "linked.csv": entry}}
    file.write_text("id\n2\n")
    assert list(rows(folder, increment({"linked.csv": entry}))) == [2]


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


def test_objects_of_a_store_are_read_when_their_version_is_new(s3, tmp_path):
    bucket = s3.new_bucket()
    fields, config = hidden(s3.fields(bucket)), {"path": "in/*.csv"}
    trial = Trial(load_registry(), "filesystem.csv_extractor", tmp_path, config, fields, changes={"family": "s3"})

    def run(position):
        made = increment(position)
        stream = trial.changed(increment=made, cursor=FILES).read(SCHEMA)
        return [key for batch in stream.batches() for key in batch.column("id").to_pylist()], made.position["files"]

    s3.put(bucket, "in/a.csv", b"id\n1\n")
    first, position = run(None)
    s3.put(bucket, "in/b.csv", b"id\n2\n")
    second, position = run(position)
    s3.put(bucket, "in/a.csv", b"id\n3\n")
    third, position = run(position)
    assert (first, second, third, run(position)[0]) == ([1], [2], [3], [])
    assert [*position] == [f"s3://{bucket}/in/{name}.csv" for name in "ab"]
