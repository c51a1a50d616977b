"""Streams: read once, one batch in flight, whatever library reads them, and errors stay unchanged."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from tests.patience import SOON

from osiris.errors import Bug, InvalidInput, OsirisError, StepFailed, fail
from osiris.model import Field
from osiris.table import Digester, ahead, counted, digested, keep_rows, own_errors, spool, stream
from osiris.table.stream import opened_early, opened_late
from osiris.types import arrow_schema, schema_of

SCHEMA = (Field("id", "int64"), Field("name", "utf8"))


def batch(*rows):
    return pa.RecordBatch.from_pylist([{"id": n, "name": f"n{n}"} for n in rows], arrow_schema(SCHEMA))


def rows_of(source):
    return [row["id"] for each in source.batches() for row in each.to_pylist()]


def numbers(count=3, size=2):
    return [batch(*range(i * size, (i + 1) * size)) for i in range(count)]


def failing(after=1):
    yield from numbers(after)
    fail("DAT013", file="x.parquet", problem="it ends too early")


# --- reading ----------------------------------------------------------------------------------------------------------


def test_batches_and_order():
    source = stream(SCHEMA, numbers(), "fixed")
    assert (source.schema, source.order) == (SCHEMA, "fixed")
    assert rows_of(source) == [0, 1, 2, 3, 4, 5]


def test_a_second_reading_fails():
    source = stream(SCHEMA, numbers(), "fixed")
    rows_of(source)
    with pytest.raises(Bug, match="DAT017"):
        rows_of(source)


def test_a_stream_is_frozen():
    with pytest.raises(AttributeError):
        stream(SCHEMA, numbers(), "fixed").order = "free"


# --- sources that are opened late -------------------------------------------------------------------------------------


@pytest.fixture
def source():
    """A source that notes when it is opened and closed, and its rows as a stream."""
    log = []

    @contextmanager
    def opening():
        log.append("open")
        try:
            yield "fixed", iter(numbers())
        finally:
            log.append("closed")

    return log, opened_late(SCHEMA, opening)


@pytest.mark.parametrize("through", [lambda s: s, lambda s: counted(s, print), ahead], ids=["late", "counted", "ahead"])
def test_to_look_at_a_stream_or_to_copy_it_opens_nothing(source, through):
    log, late = source
    rows = through(late)
    repr(rows)
    assert rows == rows
    copy = replace(replace(rows, relation=None), raised=[])
    told = replace(replace(copy, order="free"), raised=[])
    assert log == []
    assert (rows.order, copy.order, told.order) == ("fixed", "fixed", "free")
    assert rows_of(copy) == [0, 1, 2, 3, 4, 5]


def test_a_source_that_was_opened_early_and_not_read_is_closed(source):
    log, late = source
    with opened_early(late):
        counted(late, print).batches().close()
        assert late.order == "fixed"
        assert log == ["open"]
    assert log == ["open", "closed"]


def test_who_has_begun_to_read_a_source_closes_it(source):
    log, late = source
    with opened_early(late):
        rows = late.batches()
        next(rows)
    assert log == ["open"]
    rows.close()
    assert log == ["open", "closed"]


# --- what reads it ----------------------------------------------------------------------------------------------------


def test_pyarrow_reads_it():
    assert pa.table(stream(SCHEMA, numbers(), "fixed")).column("id").to_pylist() == [0, 1, 2, 3, 4, 5]


def test_duckdb_reads_it():
    rows = stream(SCHEMA, numbers(), "fixed")
    with duckdb.connect() as engine:
        assert engine.from_arrow(rows).aggregate("count(*), sum(id)").fetchall() == [(6, 15)]


def test_duckdb_reading_it_twice_fails_instead_of_finding_nothing():
    rows = stream(SCHEMA, numbers(), "fixed")
    with duckdb.connect() as engine, own_errors(rows):
        engine.register("r", rows)
        assert engine.execute("SELECT count(*) FROM r").fetchall() == [(6,)]
        with pytest.raises(Bug, match="DAT017"), own_errors(rows):
            engine.execute("SELECT count(*) FROM r").fetchall()


@pytest.mark.parametrize(
    "through", [lambda s: s, lambda s: counted(s, print), ahead], ids=["plain", "counted", "ahead"]
)
def test_an_empty_stream_keeps_its_schema(through, tmp_path):
    def empty():
        return through(stream(SCHEMA, [], "fixed"))

    assert pa.table(empty()).schema == arrow_schema(SCHEMA)
    assert schema_of(spool(empty(), tmp_path / "spool")().reader().schema) == SCHEMA
    with duckdb.connect() as engine:
        assert engine.from_arrow(empty()).columns == ["id", "name"]
        assert engine.from_arrow(empty()).fetchall() == []


# --- what comes in ----------------------------------------------------------------------------------------------------


def test_other_encodings_become_the_schemas_own():
    odd = pa.record_batch(
        {
            "text": pa.array(["a", None], pa.string_view()),
            "word": pa.array(["x", "x"], pa.large_utf8()).dictionary_encode(),
            "price": pa.array([1, 2], pa.decimal64(10, 2)),
            "tags": pa.array([["a"], None], pa.large_list(pa.string_view())),
            "inner": pa.array([{"n": "b"}, None], pa.struct([("n", pa.dictionary(pa.int8(), pa.utf8()))])),
        }
    ).slice(0, 2)
    schema = schema_of(odd.schema)
    (found,) = stream(schema, [odd], "fixed").batches()
    found.validate(full=True)
    assert found.schema == arrow_schema(schema)
    assert found.to_pylist() == odd.to_pylist()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            pa.record_batch({"id": pa.array([1], pa.int32()), "name": ["a"]}),
            "column 'id' is int32 but declared int64",
        ),
        (pa.record_batch({"id": [1], "title": ["a"]}), "column 'title' is where 'name' is declared"),
        (pa.record_batch({"id": [1]}), "there are 1 columns, but 2 are declared"),
        (pa.record_batch({"id": [1], "name": ["a"], "more": [1]}), "there are 3 columns, but 2 are declared"),
    ],
)
def test_rows_of_another_schema_fail(given, problem):
    with pytest.raises(StepFailed, match=problem) as caught:
        rows_of(stream(SCHEMA, [given], "fixed"))
    assert caught.value.diagnostics[0].code == "DAT016"


def test_null_where_there_must_be_none_fails():
    schema = (Field("id", "int64", nullable=False),)
    with pytest.raises(StepFailed, match=r"DAT016.*column 'id' contains NULL"):
        list(stream(schema, [pa.record_batch({"id": [1, None]})], "fixed").batches())
    (found,) = stream(schema, [pa.record_batch({"id": [1, 2]})], "fixed").batches()
    assert not found.schema.field("id").nullable


def test_a_type_outside_the_set_fails():
    with pytest.raises(InvalidInput, match="DAT012"):
        rows_of(stream(SCHEMA, [pa.record_batch({"id": pa.array([1.0], pa.float16())})], "fixed"))


# --- errors -----------------------------------------------------------------------------------------------------------


def through_duckdb(source, _folder):
    with duckdb.connect() as engine:
        engine.from_arrow(source).aggregate("sum(id)").fetchall()


def through_parquet(source, folder):
    reader = pa.RecordBatchReader.from_stream(source)
    with pa.parquet.ParquetWriter(folder / "x.parquet", reader.schema) as writer:
        for each in reader:
            writer.write_batch(each)


@pytest.mark.parametrize("consume", [through_duckdb, through_parquet])
@pytest.mark.parametrize(
    "wrap", [lambda s: s, ahead, lambda s: counted(ahead(s), print)], ids=["plain", "ahead", "both"]
)
def test_errors_come_out_of_a_library_as_they_were_raised(consume, wrap, tmp_path):
    source = wrap(stream(SCHEMA, failing(), "fixed"))
    with pytest.raises(StepFailed) as caught, own_errors(source):
        consume(source, tmp_path)
    assert [d.code for d in caught.value.diagnostics] == ["DAT013"]


def test_without_it_a_library_says_something_else(tmp_path):
    with pytest.raises(pa.ArrowException):
        through_parquet(stream(SCHEMA, failing(), "fixed"), tmp_path)


def test_errors_of_others_pass_unchanged():
    source = stream(SCHEMA, numbers(), "fixed")
    with pytest.raises(duckdb.Error), own_errors(source), duckdb.connect() as engine:
        engine.execute("SELECT * FROM nowhere")


def test_errors_that_are_no_diagnostics_come_out_too(tmp_path):
    def broken():
        yield batch(1)
        raise ZeroDivisionError

    source = stream(SCHEMA, broken(), "fixed")
    with pytest.raises(ZeroDivisionError), own_errors(source):
        through_duckdb(source, tmp_path)


# --- on the way -------------------------------------------------------------------------------------------------------


def test_counted_tells_the_rows_of_each_batch():
    seen = []
    assert rows_of(counted(stream(SCHEMA, numbers(2, 3), "fixed"), seen.append)) == [0, 1, 2, 3, 4, 5]
    assert seen == [3, 3]


@pytest.mark.parametrize(("order", "kind"), [("fixed", "ordered"), ("free", "unordered")])
def test_digested_sees_every_row(order, kind):
    digester, whole = Digester(SCHEMA, order), Digester(SCHEMA, order)
    assert len(rows_of(digested(stream(SCHEMA, numbers(), order), digester))) == 6
    whole.update(batch(*range(6)))
    assert digester.result() == whole.result()
    assert (digester.result()["kind"], digester.result()["rows"]) == (kind, 6)


def test_a_digest_takes_rows_of_its_schema_only():
    with pytest.raises(StepFailed, match="DAT016"):
        Digester(SCHEMA, "fixed").update(pa.record_batch({"id": [1], "name": [1]}))


def test_a_table_without_columns_has_a_digest():
    for order in ("fixed", "free"):
        digester = Digester((), order)
        digester.update(pa.RecordBatch.from_arrays([], names=[]))
        assert (digester.result()["rows"], digester.result()["columns"]) == (0, {})


def test_a_spool_can_be_read_any_number_of_times(tmp_path):
    again = spool(stream(SCHEMA, numbers(), "fixed"), tmp_path / "spool.arrow")
    first, second = again(), again()
    assert rows_of(first) == rows_of(second) == rows_of(again()) == [0, 1, 2, 3, 4, 5]
    assert (first.schema, first.order) == (SCHEMA, "fixed")


@pytest.mark.parametrize("rows", [6, 200_000])
def test_many_rows_are_kept_in_a_file_and_few_in_memory(tmp_path, rows):
    file = tmp_path / "scratch" / "rows.arrow"
    size, again = keep_rows(stream(SCHEMA, [batch(*range(rows // 2)), batch(*range(rows // 2, rows))], "fixed"), file)
    assert rows_of(again()) == rows_of(again()) == list(range(rows))
    assert (again().schema, again().order) == (SCHEMA, "fixed")
    assert file.exists() == (rows > 6)
    spool(again(), tmp_path / "same.arrow")
    assert size == (tmp_path / "same.arrow").stat().st_size


def test_empty_batches_are_not_kept(tmp_path):
    _, again = keep_rows(stream(SCHEMA, [batch(), batch(1), batch()], "fixed"), tmp_path / "rows.arrow")
    assert [each.num_rows for each in again().batches()] == [1]


def test_kept_rows_fail_as_their_source_does(tmp_path):
    with pytest.raises(OsirisError, match="it ends too early"):
        keep_rows(stream(SCHEMA, failing(), "fixed"), tmp_path / "rows.arrow")


def test_memory_stays_flat(tmp_path):
    schema = (Field("x", "int64"),)

    def many():
        for i in range(100):
            yield pa.RecordBatch.from_arrays([pa.array([i] * 50_000, pa.int64())], schema=arrow_schema(schema))

    before, most = pa.total_allocated_bytes(), 0

    def watch(_rows):
        nonlocal most
        most = max(most, pa.total_allocated_bytes() - before)

    flowing = digested(ahead(stream(schema, many(), "fixed")), Digester(schema, "free"))
    again = spool(counted(flowing, watch), tmp_path / "spool")
    assert sum(each.num_rows for each in counted(again(), watch).batches()) == 5_000_000
    assert 0 < most < 10 * 50_000 * 8


# --- ahead ------------------------------------------------------------------------------------------------------------


def threads():
    return {t.name for t in threading.enumerate() if t.name.startswith("ahead")}


def test_ahead_reads_in_a_thread_and_keeps_the_order():
    readers = []

    def source():
        for each in numbers(5):
            readers.append(threading.current_thread())
            yield each

    assert rows_of(ahead(stream(SCHEMA, source(), "fixed"))) == list(range(10))
    assert threading.current_thread() not in readers
    assert len(set(readers)) == 1
    assert threads() == set()


@pytest.mark.parametrize("depth", [1, 3])
def test_ahead_is_so_many_batches_ahead(depth):
    made = []

    def source():
        for each in numbers(20):
            made.append(each)
            yield each

    reading = ahead(stream(SCHEMA, source(), "fixed"), depth).batches()
    for taken in range(1, 10):
        next(reading)
        deadline = time.monotonic() + SOON
        while len(made) < taken + depth and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(made) == taken + depth
    reading.close()


def test_ahead_ends_its_thread_and_closes_the_source_when_nobody_reads_on():
    closed = []

    def source():
        try:
            yield from numbers(50)
        finally:
            closed.append(True)

    reading = ahead(stream(SCHEMA, source(), "fixed")).batches()
    next(reading)
    assert threads() != set()
    reading.close()
    assert threads() == set()
    assert closed == [True]


def test_ahead_that_is_never_read_starts_nothing():
    ahead(stream(SCHEMA, numbers(), "fixed"))
    assert threads() == set()


def test_ahead_passes_errors_on_after_the_rows_before_them():
    reading = ahead(stream(SCHEMA, failing(after=2), "fixed")).batches()
    assert [next(reading).num_rows, next(reading).num_rows] == [2, 2]
    with pytest.raises(StepFailed, match="DAT013"):
        next(reading)
    assert threads() == set()


# --- uuid and json ----------------------------------------------------------------------------------------------------

RICH = (Field("u", "uuid"), Field("j", "json"), Field("many", "list<uuid>"), Field("in", 'struct<"j":json>'))


def rich():
    u = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16)), None], pa.binary(16)))
    j = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None]))
    many = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), u)
    inner = pa.StructArray.from_arrays([j], names=["j"])
    return pa.RecordBatch.from_arrays([u, j, many, inner], schema=arrow_schema(RICH))


def test_uuid_and_json_through_duckdb():
    with duckdb.connect(config={"arrow_lossless_conversion": "true"}) as engine:
        relation = engine.from_arrow(stream(RICH, [rich()], "fixed"))
        assert [str(kind) for kind in relation.types] == ["UUID", "JSON", "UUID[]", "STRUCT(j JSON)"]
        found = stream(RICH, relation.to_arrow_reader(1000), "fixed").reader().read_all()
    assert found.to_batches()[0].equals(rich())


def test_uuid_and_json_through_parquet(tmp_path):
    through_parquet(stream(RICH, [rich()], "fixed"), tmp_path)
    file = pa.parquet.ParquetFile(tmp_path / "x.parquet")
    assert schema_of(file.schema_arrow) == RICH
    assert stream(RICH, file.iter_batches(), "fixed").reader().read_all().to_batches()[0].equals(rich())


def test_uuid_and_json_through_a_spool(tmp_path):
    again = spool(stream(RICH, [rich()], "fixed"), tmp_path / "spool")
    assert again().reader().read_all().to_batches()[0].equals(rich())
