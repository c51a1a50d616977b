"""Writing JSON files: the exact bytes, whatever the batches, the round trip, and everything that is rejected."""

import datetime as dt
import gzip
import hashlib
import json
import math
import subprocess
import sys
import textwrap
from decimal import Decimal

import pyarrow as pa
import pytest

from osiris.components.filesystem_json_extractor.driver import Config as ReaderConfig
from osiris.components.filesystem_json_extractor.driver import Driver as Reader
from osiris.components.filesystem_json_writer.driver import Config, Driver
from osiris.driver import StepContext, Written
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.table import stream
from osiris.types import schema_of


@pytest.fixture
def context(tmp_path):
    return StepContext("step", tmp_path, tmp_path, tmp_path)


@pytest.fixture
def write(context):
    """`write(table)` checks and writes it, and returns the bytes of the file."""

    def call(table, size=None, path="out/file.jsonl", **config):
        config = Config(path, **config)
        schema = schema_of(table.schema)
        Driver().check(config, schema, context)
        written = Driver().write(config, stream(schema, table.to_batches(size), "fixed"), context)
        content = (context.root / path).read_bytes()
        assert written == Written(table.num_rows, len(content), (path,))
        assert written.hashes == {path: hashlib.sha256(content).hexdigest()}
        return content

    return call


def refused(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return caught.value.diagnostics


TEXTS = [
    "plain",
    "",
    None,
    'say "hi"',
    "back\\slash",
    "two\nlines\r\t\b\f",
    "\x00\x1f\x7f",
    "\u2028",
    "žlutý 😀",
    "\\n",
]


def test_text_is_escaped_where_it_must_be(write):
    content = write(pa.table({"a": TEXTS, 'b"\\': [1] * len(TEXTS)})).decode()
    assert content == "".join(
        json.dumps({"a": text, 'b"\\': 1}, ensure_ascii=False, separators=(",", ":")) + "\n" for text in TEXTS
    )


def test_spelling_of_each_type(write):
    moment = dt.datetime.fromisoformat("2024-02-29T12:30:00.001000")
    columns = {
        "bool": pa.array([True, None]),
        "uint64": pa.array([2**64 - 1, None], pa.uint64()),
        "float": pa.array([0.1, None]),
        "float32": pa.array([0.1, None], pa.float32()),
        "decimal": pa.array([Decimal("1.50"), None], pa.decimal128(20, 2)),
        "small": pa.array([Decimal("-1E-10"), None], pa.decimal128(20, 10)),
        "date": pa.array([dt.date(1, 1, 1), None]),
        "time": pa.array([dt.time(23, 59, 59, 120000), None], pa.time64("us")),
        "timestamp": pa.array([moment, None], pa.timestamp("us")),
        "utc": pa.array([moment, None], pa.timestamp("ns", "UTC")),
        "json": pa.array(['{"a" : 1.10,\n"b":[ ]}', None], pa.json_()),
        "list": pa.array([["x", None, '"'], None]),
        "struct": pa.array([{"n": 1, "l": [Decimal("1.0")]}, None]),
    }
    first, second = write(pa.table(columns)).decode().splitlines()
    assert first == (
        '{"bool":true,"uint64":18446744073709551615,"float":0.1,"float32":0.1,"decimal":1.50,"small":-0.0000000001,'
        '"date":"0001-01-01","time":"23:59:59.12","timestamp":"2024-02-29T12:30:00.001",'
        '"utc":"2024-02-29T12:30:00.001Z","json":{"a":1.10,"b":[]},"list":["x",null,"\\""],"struct":{"n":1,"l":[1.0]}}'
    )
    assert json.loads(second) == dict.fromkeys(columns)


NESTED = pa.array(
    [[{"a": 1, "b": ["x"]}], None, [], [None, {"a": None, "b": None}], [{"a": 2, "b": []}, {"a": 3, "b": [None, "y"]}]],
    pa.list_(pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])),
)


def test_lists_of_structs_of_lists(write):
    expected = [json.dumps({"v": value}, separators=(",", ":")) for value in NESTED.to_pylist()]
    assert write(pa.table({"v": NESTED})).decode().splitlines() == expected
    assert write(pa.table({"v": NESTED}).slice(1, 3)).decode().splitlines() == expected[1:4]
    assert write(pa.table({"v": NESTED}), size=1).decode().splitlines() == expected


@pytest.mark.parametrize("path", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_bytes_do_not_depend_on_batches(write, path):
    count = len(TEXTS) * 20_000
    table = pa.table({"a": TEXTS * 20_000, "b": list(range(count)), "c": [[n] for n in range(count)]})
    whole = write(table, path=path)
    assert write(table, size=7777, path=path) == whole
    plain = write(table, path="plain.jsonl")
    if path.endswith(".gz"):
        assert whole[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"  # no name, no time
        assert gzip.decompress(whole) == plain
    elif path.endswith(".zst"):
        assert pa.input_stream(pa.BufferReader(whole), compression="zstd").read() == plain


def test_other_encodings_of_the_same_values(write):
    plain = pa.table({"a": ["x", None, "y"]})
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert write(pa.table({"a": plain["a"].cast(kind)})) == write(plain)


def test_no_rows(write):
    assert write(pa.table({"a": pa.array([], pa.int64())})) == b""
    assert gzip.decompress(write(pa.table({"a": pa.array([], pa.int64())}), path="a.gz")) == b""


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([1.0, math.nan]), "the number nan"),
        (pa.array([None, -math.inf]), "the number -inf"),
        (pa.array([[], [math.inf]]), "the number inf"),
        (pa.array([0, -719_163], pa.int32()).cast(pa.date32()), "0000-12-31"),
        (pa.array([[], [-719_163]], pa.list_(pa.date32())), "0000-12-31"),
        (pa.array(["{}", "{"], pa.json_()), "'{'"),
        (pa.array(['{"a": 1, "a": 2}'] * 2, pa.json_()), '\'{"a": 1, "a": 2}\''),
        (pa.array([{"d": 0.0}, {"d": math.nan}]), "the number nan"),
    ],
)
def test_values_without_a_spelling(write, context, column, value):
    right = pa.table({"ok": [1, 2, 3], "bad": pa.nulls(3, column.type)})
    row = 4 if value.startswith('\'{"a"') else 5
    (found,) = refused(write, pa.concat_tables([right, pa.table({"ok": [1, 2], "bad": column})]))
    told = f"column 'bad': {value} in row {row} cannot be written"
    assert (found.code, told in found.message) == ("DAT015", True), found.message
    assert list((context.root / "out").iterdir()) == []


def test_types_without_a_spelling_are_refused_together(context):
    types = {"a": "binary", "b": "list<binary>", "c": "timestamp[us,Europe/Prague]", "d": "uuid", "e": "list<int64>"}
    found = refused(Driver().check, Config("a.jsonl"), tuple(Field(*item) for item in types.items()), context)
    assert [problem.code for problem in found] == ["CMP012"] * 4
    assert "column 'c' of type timestamp[us,Europe/Prague]: JSON has only UTC" in found[2].message


def test_names_and_paths_that_are_refused(context, write):
    schema = (Field("a", "int64"), Field("", "int64"), Field("a", "int64"))
    assert [d.code for d in refused(Driver().check, Config("a.jsonl"), schema, context)] == ["CMP012", "CMP012"]
    table = pa.table({"a": [1]})
    for path, compression in (
        ("a.zip", "infer"),
        ("a.bz2", "none"),
        ("a.gz", "none"),
        ("a.gz", "zstd"),
        ("a/", "none"),
    ):
        (found,) = refused(write, table, path=path, compression=compression)
        assert found.code == "DRV007"
    assert [d.code for d in refused(write, table, path="x/y.jsonl", create_dirs=False)] == ["DRV001"]
    assert write(table, path="packed", compression="gzip")[:2] == b"\x1f\x8b"


def test_a_failing_input_leaves_the_old_file(context, tmp_path):
    (tmp_path / "out.jsonl.gz").write_bytes(b"old")

    def batches():
        yield from pa.table({"a": [1]}).to_batches()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        Driver().write(Config("out.jsonl.gz"), stream((Field("a", "int64"),), batches(), "fixed"), context)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out.jsonl.gz", b"old")]


def test_numbers_text_and_bools_are_read_back_without_being_declared(write, context):
    table = pa.table(
        {
            "i": [1, None, -(2**63)],
            "d": pa.array([Decimal("1.50"), None, Decimal("-0.25")], pa.decimal128(38, 2)),
            "t": TEXTS[3:6],
            "b": [True, None, False],
            "j": pa.array(['{"x":1.10}', None, "[]"], pa.json_()),
        }
    )
    write(table, path="file.jsonl.zst")
    config = ReaderConfig("file.jsonl.zst")
    schema = Reader().describe(config, context).schema
    assert schema == schema_of(table.schema)
    assert Reader().read(config, schema, context).reader().read_all() == table


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_limit_of_file_sizes_leaves_nothing(tmp_path, suffix):
    code = """
        import hashlib, resource, sys
        from pathlib import Path
        import pyarrow as pa
        from osiris.components.filesystem_json_writer.driver import Config, Driver
        from osiris.driver import StepContext
        from osiris.errors import OsirisError
        from osiris.model import Field
        from osiris.table import stream
        root = Path.cwd()
        ctx = StepContext("step", root, root, root)
        texts = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(100_000)]
        batches = pa.table({"a": texts}).to_batches()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            Driver().write(Config(sys.argv[1]), stream((Field("a", "utf8"),), batches, "fixed"), ctx)
        except OsirisError as error:
            print([found.code for found in error.diagnostics])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), f"out.jsonl{suffix}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("['DRV006']", "")
    assert list(tmp_path.iterdir()) == []
