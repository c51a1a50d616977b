"""Published folders: partitioned by column values, read back exactly, complete or not at all, in files and stores."""

import datetime as dt
import json
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.components.test_stores import codes, hidden
from tests.patience import wait_until

from osiris.delivery import MANIFEST, MOST_MANIFEST, DeliveredFile, FolderManifest
from osiris.errors import OsirisError
from osiris.families.files.folders import LocalFolder, open_published
from osiris.families.files.folders import publish_folder as publish
from osiris.registry import load_registry
from osiris.replication import Cursor, Increment, Pair, State
from osiris.table import stream
from osiris.testing import Case, behaviours, check_behaviour, filled_by, seen_by
from osiris.testing.trial import Trial, rows_of, table_of
from osiris.types import schema_of

REGISTRY = load_registry()
WRITER, READER = "filesystem.parquet_writer", "filesystem.parquet_extractor"


@dataclass
class Local:
    root: Path

    def trial(self, name, **config):
        return Trial(REGISTRY, name, self.root, {"path": "lake/", **config})

    def all(self):
        lake = self.root / "lake"
        return {str(p.relative_to(lake)): p.read_bytes() for p in sorted(lake.rglob("*")) if p.is_file()}

    def put(self, name, content):
        (self.root / "lake" / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / "lake" / name).write_bytes(content)

    def remove(self, name):
        (self.root / "lake" / name).unlink()


@dataclass
class Stored:
    root: Path
    store: object
    bucket: str

    def trial(self, name, **config):
        connection = hidden(self.store.fields(self.bucket))
        return Trial(
            REGISTRY, name, self.root, {"path": "lake/", **config}, connection, changes={"family": self.store.family}
        )

    def all(self):
        keys = self.store.keys(self.bucket)
        return {key.removeprefix("lake/"): self.store.get(self.bucket, key) for key in keys if key.startswith("lake/")}

    def put(self, name, content):
        self.store.put(self.bucket, f"lake/{name}", content)

    def remove(self, name):
        self.store.store(self.bucket).delete(f"lake/{name}")


@pytest.fixture(params=["local", "s3", "azurite", "gcs"])
def place(request, tmp_path):
    if request.param == "local":
        return Local(tmp_path)
    store = request.getfixturevalue(request.param)
    return Stored(tmp_path, store, store.new_bucket())


@pytest.fixture
def local(tmp_path):
    return Local(tmp_path)


TEXTS = [
    "AA",
    "aa",
    "007",
    None,
    "a/b",
    "..",
    "",
    "ž%",
    "__HIVE_DEFAULT_PARTITION__",
    "x=1",
    " y ",
    "../../etc",
    "a\nb",
]


def flights(count=200, first=0):
    ids = range(first, first + count)
    columns = {
        "id": pa.array(ids, pa.int64()),
        "year": pa.array([2020 + n % 3 for n in ids], pa.int16()),
        "carrier": pa.array([TEXTS[n % len(TEXTS)] for n in ids], pa.string()),
        "text": pa.array([f"row {n}" for n in ids], pa.string()),
    }
    return pa.table(columns)


def write(place, table=None, partition_by=("year", "carrier"), **config):
    config |= {"partition_by": list(partition_by)} if partition_by else {}
    return place.trial(WRITER, **config).write(rows_of(flights() if table is None else table))


def read(place, **config):
    return table_of(place.trial(READER, **config).read())


def by_id(table):
    return table.sort_by("id")


def test_what_is_written_is_read_with_its_types_and_order_of_columns(place):
    table = flights()
    written = write(place, table)
    assert written.rows == 200
    there = place.all()
    assert written.bytes == sum(map(len, there.values()))
    assert len(there) == 1 + 3 * len(TEXTS)
    assert by_id(read(place)).equals(table)
    reader = place.trial(READER)
    described = reader.describe()
    assert (described.rows, described.order) == (200, "fixed")
    assert reader.confirm(described.schema) == described.state
    told = [(f.name, f.type) for f in described.schema]
    assert told == [("id", "int64"), ("year", "int16"), ("carrier", "utf8"), ("text", "utf8")]


def test_rows_of_one_folder_keep_their_order(place):
    write(place, flights().sort_by([("id", "descending")]))
    found = read(place).to_pylist()
    for folder in {(row["year"], row["carrier"]) for row in found}:
        ids = [row["id"] for row in found if (row["year"], row["carrier"]) == folder]
        assert ids == sorted(ids, reverse=True)


def test_the_same_rows_have_the_same_names_and_bytes_wherever_they_are_written(store, tmp_path):
    here, there = Local(tmp_path), Stored(tmp_path, store, store.new_bucket())
    write(here)
    for size in (1, 7, None):
        there.trial(WRITER, partition_by=["year", "carrier"]).write(rows_of(flights(), size))
        assert there.all() == here.all()


def test_what_is_written_again_takes_the_place_of_what_was_there(place):
    write(place)
    first = place.all()
    write(place, flights(5))
    assert by_id(read(place)).equals(flights(5))
    assert len(place.all()) == 6
    write(place)
    assert place.all() == first
    write(place, flights(0))
    assert [*place.all()] == [MANIFEST]
    assert read(place).equals(flights(0))


def test_a_folder_without_partitions(place):
    write(place, partition_by=())
    (name,) = (name for name in place.all() if name != MANIFEST)
    assert name.startswith("part-00000-")
    assert read(place).equals(flights())
    write(place, flights(0), partition_by=())
    assert read(place).equals(flights(0))
    assert len(place.all()) == 2


def test_files_end_when_they_are_large_enough(place):
    table = flights(30_000)
    config = {"max_file_bytes": "20kB", "row_group_rows": 1000}
    for columns in ((), ("year",)):
        write(place, table, columns, **config)
        sizes = {name: len(content) for name, content in place.all().items() if name != MANIFEST}
        assert len(sizes) > 3
        last = {name.rpartition("/")[0]: name for name in sorted(sizes)}
        assert all(20_000 <= size < 40_000 for name, size in sizes.items() if name not in last.values())
        assert by_id(read(place)).equals(table)


def test_columns_and_limit(place):
    write(place)
    assert read(place, columns=["text", "year"], limit=3).schema.names == ["text", "year"]
    assert read(place, columns=["carrier"]).num_rows == 200
    assert sorted(map(str, read(place, columns=["carrier"])["carrier"].to_pylist())) == sorted(
        map(str, flights()["carrier"].to_pylist())
    )
    assert codes(lambda: read(place, columns=["charrier"]))[0] == ["DAT005"]
    reader = place.trial(READER, limit=5)
    assert (reader.describe().rows, table_of(reader.read()).num_rows, reader.counts["rows_read"]) == (5, 5, 5)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.bool_(), [True, False, None]),
        (pa.date32(), [dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        (pa.int8(), [-128, 127, None]),
        (pa.int64(), [-(2**63), 2**63 - 1, 0]),
        (pa.uint64(), [2**64 - 1, 0, None]),
    ],
)
def test_every_type_that_may_name_folders_comes_back(local, kind, values):
    table = pa.table({"p": pa.array(values, kind), "id": pa.array(range(len(values)))})
    write(local, table, ["p"])
    assert by_id(read(local)).equals(table)


@pytest.mark.parametrize(
    "kind", ["float64", "decimal(9,2)", "timestamp[us]", "time[us]", "binary", "uuid", "json", "list<int32>"]
)
def test_types_without_one_spelling_are_refused_before_the_first_row(local, kind):
    from osiris.model import Field

    schema = (Field("p", kind), Field("id", "int64"))
    found, text = codes(lambda: local.trial(WRITER, partition_by=["p"]).check(schema))
    assert found == ["CMP012"]
    assert "can name a folder" in text


@pytest.mark.parametrize("name", ["a/b", "_hidden", ".hidden", "a=b", "a%b", "ž", "", " a", "a "])
def test_columns_whose_names_cannot_stand_in_a_folder_are_refused(local, name):
    from osiris.model import Field

    schema = (Field(name, "int64"), Field("id", "int64"))
    assert "CMP012" in codes(lambda: local.trial(WRITER, partition_by=[name]).check(schema))[0]


def test_configs_that_cannot_be(local):
    schema = schema_of(flights().schema)
    assert codes(lambda: local.trial(WRITER, partition_by=["yaer"]).check(schema))[0] == ["DAT005"]
    for several in ({"partition_by": ["year"]}, {"max_file_bytes": "1MB"}):
        one = local.trial(WRITER, path="lake.parquet", **several)
        found, text = codes(lambda trial=one: trial.check(schema))
        assert (found, next(iter(several)) in text) == (["DRV047"], True)
    every = [column.name for column in schema]
    assert set(codes(lambda: local.trial(WRITER, partition_by=every).check(schema))[0]) == {"CMP012"}
    twins = schema_of(pa.schema({"Year": pa.int16(), "year": pa.int16()}))
    assert codes(lambda: local.trial(WRITER, partition_by=["year"]).check(twins))[0] == ["CMP012"]
    missing = local.trial(WRITER, create_dirs=False)
    assert codes(lambda: missing.write(rows_of(flights())))[0] == ["DRV001"]


def test_values_that_cannot_name_a_folder(local):
    long = pa.table({"p": ["x" * 200], "id": [1]})
    found, text = codes(lambda: write(local, long, ["p"]))
    assert (found, "'p'" in text) == (["DAT047"], True)
    late = pa.table({"p": pa.array([2_932_897], pa.int32()).cast(pa.date32()), "id": [1]})
    assert codes(lambda: write(local, late, ["p"]))[0] == ["DAT047"]
    assert local.all() == {}


@pytest.mark.long
def test_more_folders_than_a_manifest_may_name(local):
    table = pa.table({"p": pa.array(range(10_001)), "id": pa.array(range(10_001))})
    found, text = codes(lambda: write(local, table, ["p"]))
    assert (found, "10,000" in text) == (["DRV048"], True)
    many = flights(10_001)
    config = {"max_file_bytes": "1B", "row_group_rows": 1}
    assert codes(lambda: write(local, many, (), **config))[0] == ["DRV048"]
    assert local.all() == {}


def test_a_folder_with_files_of_others_is_refused(place):
    place.put("year=2024/data.parquet", b"of somebody")
    found, text = codes(lambda: write(place))
    assert (found, "data.parquet" in text) == (["DRV045"], True)
    assert place.all() == {"year=2024/data.parquet": b"of somebody"}


def test_a_file_in_the_place_of_the_folder_is_refused(local):
    (local.root / "lake").write_bytes(b"a file")
    assert codes(lambda: write(local))[0] == ["DRV005"]
    assert (local.root / "lake").read_bytes() == b"a file"


def test_files_of_others_stay_beside_ours(place):
    write(place)
    place.put("_SUCCESS", b"")
    place.put("year=2020/notes.txt", b"mine")
    write(place, flights(3))
    assert by_id(read(place)).equals(flights(3))
    assert {name for name in place.all() if "part-" not in name} == {"_SUCCESS", MANIFEST, "year=2020/notes.txt"}


@pytest.mark.long
def test_what_a_killed_writer_left_is_removed_by_the_next(place):
    left = f"year=2019/carrier=x/part-00000-{'0' * 32}.osiris.parquet"
    place.put(left, b"half")
    write(place)
    assert left not in place.all()
    place.put(left, b"half")
    write(place)
    assert left not in place.all()
    assert by_id(read(place)).equals(flights())


@pytest.mark.parametrize("inner", ["orders/", "year=1999/"])
def test_a_folder_published_below_another_stays(place, inner):
    write(place)
    place.trial(WRITER, path=f"lake/{inner}").write(rows_of(flights(7)))
    write(place, flights(5))
    assert by_id(read(place)).equals(flights(5))
    assert by_id(read(place, path=f"lake/{inner}")).equals(flights(7))


@pytest.mark.long
def test_parts_that_somebody_keeps_below_a_folder_stay(place):
    write(place)
    content = {name: content for name, content in place.all().items() if name != MANIFEST}
    for name, part in content.items():
        place.put(f"backup/{name}", part)
    write(place, flights(5))
    assert {name for name in place.all() if name.startswith("backup/")} == {f"backup/{name}" for name in content}


def test_what_dead_writers_left_is_removed_in_the_folder_alone(local):
    write(local)
    elsewhere = local.root / "elsewhere"
    elsewhere.mkdir()
    left = ".x.osiris-01234567.tmp"
    (elsewhere / left).touch()
    os.symlink(elsewhere, local.root / "lake/year=link")
    local.put(f"year=2018/{left}", b"")
    local.put(f"orders/year=2018/{left}", b"")
    local.put(f"year=1999/{MANIFEST}", b"of another folder")
    local.put(f"year=1999/carrier=x/{left}", b"")
    write(local, flights(5))
    assert (elsewhere / left).exists()
    assert {name for name in local.all() if name.endswith(left)} == {
        f"orders/year=2018/{left}",
        f"year=1999/carrier=x/{left}",
    }
    assert not (local.root / "lake/year=2018").exists()


class BrokenError(Exception):
    pass


def breaking():
    yield from flights().to_batches()
    raise BrokenError


def test_a_source_that_breaks_changes_nothing(place):
    writer = place.trial(WRITER, partition_by=["year"])
    for count in (0, 1):
        if count:
            write(place)
        before = place.all()
        with pytest.raises(BrokenError):
            writer.write(stream(schema_of(flights().schema), breaking(), "fixed"))
        assert (place.all(), writer.leftovers()) == (before, [])


def test_files_that_were_put_in_vain_are_taken_back(local):
    write(local)
    before = local.all()
    (local.root / "lake/year=2021").rename(local.root / "lake/year=2021-aside")
    (local.root / "lake/year=2021").write_bytes(b"in the way")
    found, _ = codes(lambda: write(local, flights(100, first=1000)))
    assert found[0].startswith("DRV00")
    (local.root / "lake/year=2021").unlink()
    (local.root / "lake/year=2021-aside").rename(local.root / "lake/year=2021")
    assert local.all() == before


def meeting(table, barrier, rest):
    """Rows that wait, after the writer has checked its target, until the other writers have done so too."""
    yield from table.to_batches()
    barrier.wait(60)
    rest()


def test_of_two_writers_one_wins_and_the_other_is_told(place):
    write(place)
    tables = {"one": flights(50), "two": flights(80, first=40)}
    barrier, ends = threading.Barrier(2), {}

    def run(name):
        writer = place.trial(WRITER, partition_by=["year"]).changed(
            scratch=place.root / name, artifacts=place.root / name
        )
        (place.root / name).mkdir()
        rows = stream(schema_of(tables[name].schema), meeting(tables[name], barrier, lambda: None), "fixed")
        try:
            writer.write(rows)
            ends[name] = "wrote"
        except OsirisError as error:
            ends[name] = [item.code for item in error.diagnostics]

    threads = [threading.Thread(target=run, args=(name,)) for name in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, ends.values())) == ["['DRV046']", "wrote"]
    winner = next(name for name, end in ends.items() if end == "wrote")
    assert by_id(read(place)).equals(tables[winner])
    named = {file["path"] for file in json.loads(place.all()[MANIFEST])["files"]}
    assert place.all().keys() - {MANIFEST} == named


def test_a_writer_that_comes_late_takes_nothing_from_who_published_the_same(place):
    barrier = threading.Barrier(1)
    late = meeting(flights(), barrier, lambda: write(place))
    writer = place.trial(WRITER, partition_by=["year", "carrier"])
    found, _ = codes(lambda: writer.write(stream(schema_of(flights().schema), late, "fixed")))
    assert found == ["DRV046"]
    assert by_id(read(place)).equals(flights())


def test_an_answer_that_is_lost_is_no_other_writer(gcs, tmp_path):
    place = Stored(tmp_path, gcs, gcs.new_bucket())
    try:
        for count in (200, 5):
            gcs.service.faults.drop_answer(method="PUT", path=MANIFEST)
            told = write(place, flights(count)).stored[0]
            assert told["etag"] == gcs.store(place.bucket).head(f"lake/{MANIFEST}")["e_tag"]
            assert by_id(read(place)).equals(flights(count))
    finally:
        gcs.service.faults.clear()
    named = {file["path"] for file in json.loads(place.all()[MANIFEST])["files"]}
    assert place.all().keys() - {MANIFEST} == named


def test_a_manifest_that_nobody_would_read_is_not_written(local):
    (local.root / "staged").mkdir()
    long = "x" * (MOST_MANIFEST // 100)
    files = tuple(DeliveredFile(f"{long}{number}", 0, "") for number in range(100))
    for number in range(100):
        (local.root / "staged" / str(number)).touch()
    folder = LocalFolder(local.root, local.root / "lake")
    told = FolderManifest(1, schema_of(flights().schema), (), files)
    found, _ = codes(lambda: publish(folder, None, local.root / "staged", told))
    assert (found, local.all()) == (["DRV048"], {})


def manifest(place, change):
    told = json.loads(place.all()[MANIFEST])
    change(told)
    place.put(MANIFEST, json.dumps(told).encode())


def outside(path):
    return lambda told: told["files"][0].update(path=path)


NAME = f"part-00000-{'0' * 32}.osiris.parquet"


@pytest.mark.parametrize(
    "change",
    [
        outside(f"../../{NAME}"),
        outside("year=2020/carrier=AA/../../../../etc/passwd"),
        outside(f"year=2020/../{NAME}"),
        outside(f"/etc/carrier=AA/{NAME}"),
        outside("year=2020/carrier=AA/orders.parquet"),
        outside(f"year=x/carrier=AA/{NAME}"),
        outside(f"year=99999/carrier=AA/{NAME}"),
        outside(f"year=07/carrier=AA/{NAME}"),
        outside(f"year=2020/carrier=%FF/{NAME}"),
        outside(f"year=2020/carrier=\0/{NAME}"),
        outside(f"year=2020/carrier=a\n/{NAME}"),
        outside(f"year=2020/carrier=\x9b/{NAME}"),
        outside(f"year=2020/carrier=\ud800/{NAME}"),
        outside(f"year=2020/carrier={'x' * 400}/{NAME}"),
        outside(7),
        lambda told: told["files"].append(told["files"][0]),
        lambda told: told["files"][0].update(size="1"),
        lambda told: told["files"][0].update(sha256="x"),
        lambda told: told.update(form="osiris-folder-2"),
        lambda told: told.update(files=[[]]),
        lambda told: told.update(files=None),
        lambda told: told.update(rows=-1),
        lambda told: told.update(rows=True),
        lambda told: told.update(rows=10**30),
        lambda told: told.update(files=[]),
        lambda told: told.update(partition_by=["year", "carrier", "id", "text"], files=[], rows=0),
        lambda told: told.update(partition_by=["year", "year"], files=[], rows=0),
        lambda told: told.update(partition_by={"year": 1, "carrier": 1}),
        lambda told: told.update(schema=[], partition_by=[], files=[], rows=0),
        lambda told: told.update(partition_by=["year", "else"]),
        lambda told: told.update(partition_by=[[]]),
        lambda told: told.update(schema=[{"name": "id", "type": "thing", "nullable": True}]),
        lambda told: told["schema"][0].update(name="\ud800"),
        lambda told: told["schema"][0].update(name=7),
        lambda told: told.pop("schema"),
    ],
)
def test_a_manifest_that_was_tampered_with_is_refused(local, change):
    write(local)
    manifest(local, change)
    before = local.all()
    assert codes(lambda: local.trial(READER).describe())[0] == ["DAT045"]
    assert local.all() == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 200_000, b'"' + b"x" * (33 << 20) + b'"', b"{}", b"NaN"]
)
def test_what_is_no_manifest_is_refused(place, content):
    place.put(MANIFEST, content)
    assert codes(lambda: place.trial(READER).describe())[0] == ["DAT045"]
    assert codes(lambda: write(place))[0] == ["DAT045"]
    assert place.all() == {MANIFEST: content}


def test_a_folder_that_is_not_whole_is_refused(place):
    write(place)
    schema = place.trial(READER).describe().schema
    name = next(name for name in place.all() if name != MANIFEST)
    content = place.all()[name]
    place.put(name, content + b"x")
    assert codes(lambda: place.trial(READER).describe())[0] == ["DAT046"]
    place.remove(name)
    found, text = codes(lambda: place.trial(READER).confirm(schema))
    assert (found, "not there" in text) == (["DAT046"], True)


def test_a_file_with_other_columns_is_refused(local):
    write(local, partition_by=["year"])
    name = next(name for name in local.all() if name != MANIFEST)
    pq.write_table(pa.table({"id": [1]}), local.root / "lake" / name)
    manifest(local, lambda told: told["files"][0].update(size=len(local.all()[name])))
    assert local.trial(READER).describe().rows == 200
    assert codes(lambda: read(local))[0] == ["DAT046"]


@pytest.mark.parametrize("rows", [199, 201])
def test_a_folder_with_another_number_of_rows_is_refused(local, rows):
    write(local)
    manifest(local, lambda told: told.update(rows=rows))
    assert codes(lambda: read(local))[0] == ["DAT046"]
    assert read(local, limit=100).num_rows == 100


def test_links_do_not_lead_out_of_a_folder(local):
    write(local)
    elsewhere = local.root / "elsewhere"
    (local.root / "lake/year=2020").rename(elsewhere)
    os.symlink(elsewhere, local.root / "lake/year=2020")
    assert codes(lambda: read(local))[0] == ["DAT046"]
    before = sorted(elsewhere.rglob("*"))
    assert codes(lambda: write(local))[0] == ["DRV007"]
    assert sorted(elsewhere.rglob("*")) == before


def test_a_folder_without_a_manifest_is_not_read(place):
    assert codes(lambda: place.trial(READER).describe())[0] == ["DRV001"]
    place.put("year=2020/x.parquet", b"")
    assert codes(lambda: place.trial(READER).describe())[0] == ["DRV001"]


def test_who_reads_while_another_publishes_is_told(local):
    write(local, flights(60), ["id"])  # more files than a reader opens ahead
    reader = local.trial(READER)
    batches = reader.read().batches()
    next(batches)
    for name in local.all():
        if name != MANIFEST:
            local.remove(name)
    with pytest.raises(Exception, match="DRV038"):
        list(batches)


@pytest.mark.long
def test_a_folder_is_whole_however_often_it_is_published_meanwhile(local):
    write(local)
    folder, over, ends = LocalFolder(local.root, local.root / "lake"), threading.Event(), []

    def look():
        while not over.is_set():
            try:
                ends.append(open_published(folder).manifest.rows)
            except OsirisError as error:
                ends.append(error.diagnostics[0].code)
            except OSError as error:
                ends.append(repr(error))

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        wait_until(lambda: ends)
        for first in range(8):
            write(local, flights(150, first))
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert set(ends) <= {150, 200, "DRV038"}


def test_the_state_changes_with_the_folder(place):
    write(place)
    reader = place.trial(READER)
    schema, state = reader.describe().schema, reader.describe().state
    write(place, flights(10))
    assert reader.confirm(schema) != state
    write(place, pa.table({"id": [1], "year": [2], "carrier": ["x"]}))
    assert codes(lambda: reader.confirm(schema))[0] == ["DAT011"]


def test_others_read_it_by_its_layout(local):
    rows = [row for row in flights().to_pylist() if row["carrier"] != "__HIVE_DEFAULT_PARTITION__"]
    table = pa.Table.from_pylist(rows, flights().schema)
    write(local, table)
    lake = local.root / "lake"
    query = f"SELECT id, year, carrier, text FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true)"
    seen = duckdb.sql(f"{query} ORDER BY id").fetchall()
    assert seen == [tuple(row.values()) for row in rows]
    for row, found in zip(rows, sorted(pq.read_table(lake).to_pylist(), key=lambda row: row["id"]), strict=True):
        assert {**found, "carrier": found["carrier"] or None} == {**row, "carrier": row["carrier"] or None}


SUITES = [
    (WRITER, Case({"path": "t/"}, look=seen_by(READER, {"path": "t/"}))),
    (WRITER, Case({"path": "t/", "partition_by": ["id"]}, look=seen_by(READER, {"path": "t/"}))),
    (READER, Case({"path": "t/"}, fill=filled_by(WRITER, {"path": "t/"}))),
    (READER, Case({"path": "t/"}, fill=filled_by(WRITER, {"path": "t/", "partition_by": ["id"]}))),
]


@pytest.mark.parametrize(
    ("number", "behaviour"),
    [(n, each) for n, (name, case) in enumerate(SUITES) for each in behaviours(name, case, REGISTRY)],
)
def test_it_behaves_as_all_of_its_kind(number, behaviour):
    name, case = SUITES[number]
    assert check_behaviour(name, behaviour, case, REGISTRY) == []


def test_one_who_may_only_read_publishes_nothing(s3, tmp_path):
    place = Stored(tmp_path, s3, s3.new_bucket())
    write(place)
    before = place.all()
    reader = hidden(s3.fields(place.bucket, reader=True))
    config = {"path": "lake/", "partition_by": ["year"]}
    writing = Trial(REGISTRY, WRITER, tmp_path, config, reader, changes={"family": "s3"})
    assert codes(lambda: writing.write(rows_of(flights(9))))[0] == ["DRV037"]
    assert place.all() == before


def test_a_folder_at_the_top_of_a_bucket(store, tmp_path):
    place = Stored(tmp_path, store, store.new_bucket())
    url = f"{store.scheme}://{place.bucket}/"
    write(place, path=url)
    assert by_id(read(place, path=url)).equals(flights())
    assert MANIFEST in store.keys(place.bucket)


PAIR = {"source": "shop orders"}


def append(place, table, version, run="run", kept=()):
    """Append rows as a run that has read the state of that version; return what the writer says."""
    before = State(version, {}, {}, None, None, {"mark": str(version)}, rows=True) if version else None
    cursor = Cursor("id", "none")
    increment = Increment(Pair(PAIR["source"], {}), cursor, before, position={"mark": f"{version + 1}"}, columns={})
    increment.kept = Counter(kept)
    trial = place.trial(WRITER)
    return trial.changed(increment=increment, pair=PAIR, run_key=run).write(rows_of(table))


def test_new_rows_are_appended_with_their_state(place):
    kept = [(bytes(range(16)), -5), (bytes(16), 7), (bytes(16), 7)]
    assert append(place, flights(5), 0, "first").rows == 5
    assert append(place, flights(3, 5), 1, "second", kept).rows == 3
    before = place.all()
    assert append(place, flights(3, 5), 1, "second").rows == 3  # the same run again
    assert codes(lambda: append(place, flights(3, 5), 1, "third"))[0] == ["STA001"]
    assert place.all() == before
    state = json.loads(before[MANIFEST])["state"]
    assert (state["version"], state["run_key"], state["rows"]) == (2, "second", 3)
    assert by_id(read(place)).equals(flights(8))
