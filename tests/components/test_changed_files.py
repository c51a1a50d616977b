"""A local file that another program writes to while it is read never gives rows of two versions."""

import gzip
import os
from contextlib import closing
from importlib import import_module

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.files.source_files import relation
from osiris.model import Field

ROWS = 300_000


CELL = "x" * 60
"""A text, long enough that a file is not read to its end with its first rows."""
TEXT = "id\n" + f"{CELL}\n" * ROWS

KINDS = {
    "csv": ("csv", lambda path: path.write_text(TEXT)),
    "csv.gz": ("csv", lambda path: path.write_bytes(gzip.compress(TEXT.encode(), 0))),
    "jsonl": ("json", lambda path: path.write_text('{"id": 1}\n' * ROWS)),
    "parquet": ("parquet", lambda path: pq.write_table(pa.table({"id": [1] * ROWS}), path, row_group_size=10_000)),
}


def patched(path):
    """Write other bytes of the same size to the end of a file."""
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        last = file.read()
        file.seek(-4, os.SEEK_END)
        file.write(last)


def appended(path):
    with path.open("ab") as file:
        file.write(b"\n")


def renamed(path):
    path.with_suffix(".new").write_bytes(b"other")
    path.with_suffix(".new").rename(path)


@pytest.fixture(params=KINDS)
def reading(request, tmp_path):
    """The path of a file whose first rows were read, and a generator of the numbers of its other rows."""
    kind, make = KINDS[request.param]
    schema = (Field("id", "utf8" if kind == "csv" else "int64"),)
    path = tmp_path / f"a.{request.param}"
    make(path)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    driver = import_module(f"osiris.components.filesystem_{kind}_extractor.driver")
    context = StepContext("step", tmp_path, tmp_path, tmp_path)
    with closing(driver.Driver().read(driver.Config(path.name), schema, context).batches()) as batches:
        first = next(batches).num_rows
        yield path, (batch.num_rows for batch in batches), first


@pytest.mark.parametrize("change", [patched, appended])
def test_a_file_that_is_written_to_fails_the_step(reading, change):
    path, others, _first = reading
    change(path)
    with pytest.raises(OsirisError) as failed:
        list(others)
    (found,) = failed.value.diagnostics
    assert found.code == "DRV038" or (path.suffix, found.code) == (".gz", "DAT013")
    assert path.name in found.message


@pytest.mark.parametrize("change", [renamed, os.remove])
def test_a_file_that_is_replaced_or_removed_is_read_as_it_was(reading, change):
    path, others, first = reading
    change(path)
    assert first + sum(others) == ROWS


@pytest.mark.parametrize("change", [patched, appended, renamed])
def test_a_file_that_the_engine_reads_itself(tmp_path, change):
    path, context = tmp_path / "a.parquet", StepContext("step", tmp_path, tmp_path, tmp_path)
    KINDS["parquet"][1](path)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    read = relation("SELECT 1", [path], ROWS, context)
    read.on_read([ROWS], 0)
    change(path)
    with pytest.raises(OsirisError) as failed:
        read.on_read([ROWS], 0)
    assert failed.value.diagnostics[0].code == "DRV038"
