"""Parts of a stream: every row is in one part, unchanged; rows with the same keys are in the same one."""

import os
from collections import Counter

import pyarrow as pa
import pytest

from osiris.components.duckdb_processor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.table import stream
from osiris.table.parts import bucketed, divided
from osiris.testing.values import samples
from osiris.types import arrow_schema

SCHEMA = (Field("id", "int64"), Field("k", "int32"), Field("t", "utf8"))
MEGABYTE = 1 << 20


def table(rows, size=1000):
    """Batches of some rows, whose keys are NULL or a few numbers."""
    arrow = arrow_schema(SCHEMA)
    for first in range(0, rows, size):
        ids = range(first, min(first + size, rows))
        columns = [list(ids), [None if n % 7 == 0 else n % 31 - 9 for n in ids], [f"text {n % 5}" for n in ids]]
        arrays = [pa.array(values, kind) for values, kind in zip(columns, arrow.types, strict=True)]
        yield pa.record_batch(arrays, schema=arrow)


def rows_of(source):
    return [tuple(row.values()) for batch in source.batches() for row in batch.to_pylist()]


def parts_of(parts):
    """The rows of each part, which are as many as it says, each time it is opened."""
    found = [rows_of(parts.open(number)) for number in range(len(parts.rows))]
    assert [len(rows) for rows in found] == list(parts.rows)
    assert found == [rows_of(parts.open(number)) for number in range(len(parts.rows))]
    return found


@pytest.mark.parametrize("memory", [1, 20_000, MEGABYTE])
@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize("keys", [["k"], ["t", "k"], ["id"]])
def test_buckets(tmp_path, keys, count, memory):
    sizes = []
    source = stream(SCHEMA, table(3500), "fixed")
    parts = bucketed(source, keys, count, tmp_path, memory=memory, on_size=sizes.append)
    found = parts_of(parts)
    given = rows_of(stream(SCHEMA, table(3500), "fixed"))
    assert sorted(row[0] for rows in found for row in rows) == [row[0] for row in given]
    assert {row for rows in found for row in rows} == set(given)
    positions = [["id", "k", "t"].index(key) for key in keys]
    homes = {(number, *(row[at] for at in positions)) for number, rows in enumerate(found) for row in rows}
    assert len(homes) == len({home[1:] for home in homes})
    assert all(rows == sorted(rows) for rows in found)
    assert sizes[-1] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(("rows", "count"), [(0, 1), (0, 5), (1, 5), (3500, 1), (3500, 7), (3500, 64), (12, 10_000)])
def test_runs_of_rows(tmp_path, rows, count):
    parts = divided(stream(SCHEMA, table(rows), "fixed"), count, tmp_path, on_size=lambda _size: None)
    found = parts_of(parts)
    assert [row for part in found for row in part] == rows_of(stream(SCHEMA, table(rows), "fixed"))
    assert max(parts.rows) - min(parts.rows) <= 1


def test_ten_thousand_buckets_need_no_open_files(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    most = []
    parts = bucketed(
        stream(SCHEMA, table(20_000), "free"),
        ["id"],
        10_000,
        tmp_path,
        memory=MEGABYTE,
        on_size=lambda _size: most.append(len(os.listdir("/proc/self/fd"))),
    )
    assert max(most) <= before + 1
    assert sum(parts.rows) == 20_000
    assert Counter(len(rows_of(parts.open(number))) for number in range(0, 10_000, 100)).total() == 100


@pytest.mark.parametrize("sample", samples(), ids=lambda each: f"{each.type} {each.what}".strip())
def test_values_of_all_types(tmp_path, sample):
    schema = (Field("n", "int64"), Field("c", sample.type))
    array = sample.array()
    batch = pa.record_batch([pa.array(range(len(array)), pa.int64()), array], schema=arrow_schema(schema))
    for name, how in (
        ("cut", lambda source, folder: divided(source, 3, folder, on_size=lambda _size: None)),
        ("by n", lambda source, folder: bucketed(source, ["n"], 3, folder, memory=1, on_size=lambda _size: None)),
        ("by c", lambda source, folder: bucketed(source, ["c"], 3, folder, memory=1, on_size=lambda _size: None)),
    ):
        (tmp_path / name).mkdir()
        parts = how(stream(schema, [batch, batch.slice(1)], "fixed"), tmp_path / name)
        batches = [each for number in range(3) for each in parts.open(number).batches()]
        found = pa.Table.from_batches(batches, arrow_schema(schema)).sort_by("n")
        given = pa.Table.from_batches([batch, batch.slice(1)]).sort_by("n")
        shown = [each["c"].combine_chunks().to_string(window=100, container_window=100) for each in (found, given)]
        assert shown[0] == shown[1]


def context(tmp_path, **fields):
    return StepContext("q", tmp_path, tmp_path, tmp_path / "scratch", **fields)


def in_parts(ctx, query, source):
    config = Config(query)
    described = Driver().describe(config, {"a": source.schema}, ctx)
    return Driver().transform(config, {"a": source}, described.schema, ctx)


def test_no_part_is_begun_after_the_run_was_cancelled(tmp_path):
    """Parts as small as these end before an engine is interrupted."""
    begun = []
    ctx = context(tmp_path, partitions=64, cancelled=lambda: bool(begun), emit=lambda event, _: begun.append(event))
    rows = in_parts(ctx, "SELECT k, count(*) AS n FROM a GROUP BY k", stream(SCHEMA, table(9000), "free"))
    with pytest.raises(OsirisError) as caught:
        list(rows.batches())
    assert [each.code for each in caught.value.diagnostics] == ["RUN003"]
    assert begun == ["cut"]
    assert not any(each.is_file() for each in (tmp_path / "scratch").rglob("*"))


def test_a_part_that_lost_rows_fails_the_step(tmp_path):
    rows = in_parts(
        context(tmp_path, partitions=40),
        "SELECT k, count(*) AS n FROM a GROUP BY k",
        stream(SCHEMA, table(9000), "free"),
    ).batches()
    next(rows)
    for path in tmp_path.glob("scratch/parts-*/*/input-0/*.arrow"):
        path.write_bytes(arrow_schema(SCHEMA).serialize().to_pybytes())
    with pytest.raises(OsirisError) as caught:
        list(rows)
    assert [item.code for item in caught.value.diagnostics] == ["DAT008"]


@pytest.mark.parametrize("partitions", [1, 5])
def test_nothing_is_left_in_scratch(tmp_path, partitions):
    ctx = context(tmp_path, partitions=partitions)
    whole = in_parts(ctx, "SELECT k, count(*) AS n FROM a GROUP BY k", stream(SCHEMA, table(9000), "free"))
    assert len(rows_of(whole)) == 32
    begun = in_parts(ctx, "SELECT k, count(*) AS n FROM a GROUP BY k", stream(SCHEMA, table(9000), "free")).batches()
    next(begun)
    begun.close()
    assert list((tmp_path / "scratch").glob("parts-*")) == []


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("SELECT k, count(*) AS n FROM a GROUP BY k", 100_000),
        ("SELECT id, t FROM a", 100_000),
        ("SELECT a.id, b.id AS other FROM a, b", 20 * MEGABYTE),
    ],
)
def test_files_of_inputs_and_of_results_are_limited(tmp_path, query, limit):
    ctx = context(tmp_path, partitions=4, spool_limit=limit)
    inputs = {name: stream(SCHEMA, table(9000), "free") for name in ("a", "b")}
    described = Driver().describe(Config(query), dict.fromkeys(inputs, SCHEMA), ctx)
    with pytest.raises(OsirisError) as caught:
        rows_of(Driver().transform(Config(query), inputs, described.schema, ctx))
    assert [item.code for item in caught.value.diagnostics] == ["RUN018"]
    assert list((tmp_path / "scratch").glob("parts-*")) == []


@pytest.mark.parametrize(
    "column",
    [
        "CAST(t AS ENUM('text 3', 'text 1', 'text 0', 'text 4', 'text 2'))",
        "{'x': CAST(t AS ENUM('text 3', 'text 1', 'text 0', 'text 4', 'text 2'))}",
        "sum(id) OVER (PARTITION BY k)",
        "k",
        "NULL",
        "[id % 3]",
        "CAST(id AS DOUBLE)",
    ],
)
def test_parts_are_merged_in_the_order_of_the_statement(tmp_path, column):
    """Values leave an engine in types that can be sorted otherwise, such as an enum as text."""
    query = f"SELECT {column} AS c, id FROM a ORDER BY c DESC, id"
    whole, parted = (
        rows_of(in_parts(context(tmp_path, partitions=count), query, stream(SCHEMA, table(500), "free")))
        for count in (0, 7)
    )
    assert parted == whole


def test_a_reader_of_part_of_the_rows_ends_the_others(tmp_path):
    rows = in_parts(
        context(tmp_path, partitions=7), "SELECT id FROM a ORDER BY id LIMIT 3", stream(SCHEMA, table(9000), "free")
    )
    assert rows_of(rows) == [(0,), (1,), (2,)]
    assert list((tmp_path / "scratch").glob("parts-*")) == []
