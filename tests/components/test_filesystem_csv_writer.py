"""Writing CSV files: the exact bytes, whatever the batches, and everything that is rejected."""

import csv
import datetime as dt
import hashlib
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from osiris.components.filesystem_csv_writer.driver import Config, Driver
from osiris.driver import StepContext, Written
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.table import stream
from osiris.types import schema_of


@pytest.fixture
def events():
    return []


@pytest.fixture
def context(tmp_path, events):
    return StepContext(
        "step", tmp_path, tmp_path, tmp_path, emit=lambda name, fields: events.append((name, dict(fields)))
    )


@pytest.fixture
def write(context):
    """`write(table)` checks and writes it, and returns the bytes of the file."""

    def call(table, size=None, path="out/file.csv", **config):
        config = Config(path, **config)
        schema = schema_of(table.schema)
        Driver().check(config, schema, context)
        written = Driver().write(config, stream(schema, table.to_batches(size), "fixed"), context)
        content = (context.root / path).read_bytes()
        assert written == Written(table.num_rows, len(content), (path,))
        assert written.hashes == {path: hashlib.sha256(content).hexdigest()}
        return content

    return call


def code_of(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return [found.code for found in caught.value.diagnostics]


TEXTS = ["plain", "", None, "a,b", 'say "hi"', "two\nlines", "cr\r", " space ", "\ufeffmark", "žlutý"]


def test_text_is_quoted_where_it_must_be(write):
    assert write(pa.table({"a": TEXTS, "b": [1] * len(TEXTS)})).decode() == (
        'a,b\nplain,1\n"",1\n,1\n"a,b",1\n"say ""hi""",1\n"two\nlines",1\n"cr\r",1\n space ,1\n'
        '"\ufeffmark",1\nžlutý,1\n'
    )


def test_one_column(write):
    assert write(pa.table({"a": ["", None, "x"]})) == b'a\n""\n\nx\n'


def test_spelling_of_each_type(write):
    day, later = dt.date(1, 1, 1), dt.datetime.fromisoformat("2024-02-29")
    moment = dt.datetime.fromisoformat("2024-02-29T12:30:00.001000")
    columns = {
        "bool": pa.array([True, False, None]),
        "int8": pa.array([-128, 127, None], pa.int8()),
        "uint64": pa.array([2**64 - 1, 0, None], pa.uint64()),
        "float": pa.array([0.1, 1e300, None]),
        "float32": pa.array([0.1, -0.0, None], pa.float32()),
        "decimal": pa.array([Decimal("1.50"), Decimal("-0.00"), None], pa.decimal128(20, 2)),
        "small": pa.array([Decimal("0E-10"), Decimal("-1E-10"), None], pa.decimal128(20, 10)),
        "wide": pa.array([Decimal("1E-40"), Decimal("-123.5"), None], pa.decimal256(70, 40)),
        "date": pa.array([day, dt.date(9999, 12, 31), None]),
        "time": pa.array([dt.time(0, 0), dt.time(23, 59, 59, 120000), None], pa.time64("us")),
        "timestamp": pa.array([moment, later, None], pa.timestamp("us")),
        "seconds": pa.array([moment.replace(microsecond=0), later, None], pa.timestamp("s")),
        "utc": pa.array([moment, later, None], pa.timestamp("ns", "UTC")),
        "json": pa.array(['{"a": 1}', "[]", None], pa.json_()),
    }
    rows = list(csv.reader(write(pa.table(columns)).decode().splitlines()))
    found = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    assert found == {
        "bool": ("true", "false", ""),
        "int8": ("-128", "127", ""),
        "uint64": ("18446744073709551615", "0", ""),
        "float": ("0.1", "1e+300", ""),
        "float32": ("0.1", "-0", ""),
        "decimal": ("1.50", "0.00", ""),
        "small": ("0.0000000000", "-0.0000000001", ""),
        "wide": ("0." + "0" * 39 + "1", "-123.5" + "0" * 39, ""),
        "date": ("0001-01-01", "9999-12-31", ""),
        "time": ("00:00:00", "23:59:59.12", ""),
        "timestamp": ("2024-02-29T12:30:00.001", "2024-02-29T00:00:00", ""),
        "seconds": ("2024-02-29T12:30:00", "2024-02-29T00:00:00", ""),
        "utc": ("2024-02-29T12:30:00.001Z", "2024-02-29T00:00:00Z", ""),
        "json": ('{"a": 1}', "[]", ""),
    }


def test_floats_that_are_no_numbers(write):
    assert write(pa.table({"a": [math.nan, math.inf, -math.inf]})) == b"a\nNaN\ninf\n-inf\n"


def test_bytes_do_not_depend_on_batches(write):
    table = pa.table({"a": TEXTS * 20_000, "b": list(range(len(TEXTS) * 20_000))})
    whole = write(table)
    assert write(table, size=7777) == whole
    assert write(table.slice(100).slice(0, 500), size=1) == write(table.slice(100, 500))


def test_other_encodings_of_the_same_values(write):
    plain = pa.table({"a": ["x", None, "y"]})
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert write(pa.table({"a": plain["a"].cast(kind)})) == write(plain)


def test_no_rows(write):
    assert write(pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.string())})) == b"a,b\n"
    assert write(pa.table({"a": pa.array([], pa.int64())}), header=False) == b""


def test_options(write):
    table = pa.table({"b": ["x", None, ""], "a": [1, None, -2]})
    assert write(table, header=False) == b'x,1\n,\n"",-2\n'
    assert write(table, delimiter=";") == b'b;a\nx;1\n;\n"";-2\n'
    assert write(table, newline="crlf") == b'b,a\r\nx,1\r\n,\r\n"",-2\r\n'
    assert write(table, newline="cr") == b'b,a\rx,1\r,\r"",-2\r'
    assert write(table, column_order="sorted") == b'a,b\n1,x\n,\n-2,""\n'
    assert write(table, quoting="all") == b'"b","a"\n"x","1"\n,\n"","-2"\n'
    assert write(table, quoting="nonnumeric") == b'"b","a"\n"x",1\n,\n"",-2\n'
    assert write(table, chunk_size=1) == write(table)


def test_a_delimiter_that_numbers_contain(write):
    assert write(pa.table({"x": [-1.5], "y": [dt.date(2024, 1, 1)]}), delimiter="-") == b'x-y\n"-1.5"-"2024-01-01"\n'


def test_names_are_quoted_too(write):
    assert write(pa.table({"a,b": [1], 'c"': [2], "\ufeffd": [3]})) == '"a,b","c""","\ufeffd"\n1,2,3\n'.encode()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1250", "iso-8859-2"])
def test_encodings(write, encoding):
    table = pa.table({"š": ["příliš", "žluťoučký"] * 50_000})
    content = write(table, size=999, encoding=encoding)
    assert content.decode(encoding) == "š\n" + "příliš\nžluťoučký\n" * 50_000
    assert content.startswith({"utf-8-sig": b"\xef\xbb\xbf", "utf-16": b"\xff\xfe"}.get(encoding, b""))


def test_characters_that_the_encoding_does_not_have(write, context):
    with pytest.raises(OsirisError) as caught:
        write(pa.table({"a": ["x"], "b": ["é"]}), encoding="ascii")
    (found,) = caught.value.diagnostics
    assert found.code == "DAT015"
    assert (
        found.message == "step 'step', column 'b': the character 'é' in row 1 cannot be written: ascii does not have it"
    )
    assert code_of(write, pa.table({"é": [1]}), encoding="ascii") == ["DAT015"]
    assert list((context.root / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.date32(), -719_163, "0000-12-31"),
        (pa.date32(), 2_932_897, "10000-01-01"),
        (pa.date32(), 2**31 - 1, "5881580-07-11"),
        (pa.timestamp("s"), -62_135_596_801, "0000-12-31T23:59:59"),
        (pa.timestamp("us"), 2**62, "148108-07-06T14:00:27.387904"),
        (pa.timestamp("ms"), -(2**63), "-9223372036854775808 ms since 1970"),
    ],
)
def test_moments_that_iso_8601_does_not_have(write, kind, value, text):
    numbers = pa.int32() if kind.bit_width == 32 else pa.int64()
    table = pa.table({"a": pa.array([0, value], numbers).cast(kind)})
    with pytest.raises(OsirisError) as caught:
        write(table)
    (found,) = caught.value.diagnostics
    assert (found.code, f"{text} in row 2 cannot be written" in found.message) == ("DAT015", True), found.message


def check(context, path="out.csv", **types):
    Driver().check(Config(path), tuple(Field(name, kind) for name, kind in types.items()), context)


def test_types_without_a_spelling_are_refused_together(context):
    types = {"a": "binary", "b": "list<int64>", "c": "timestamp[us,Europe/Prague]", "d": "uuid", "e": "int64"}
    with pytest.raises(OsirisError) as caught:
        check(context, **types)
    assert [found.code for found in caught.value.diagnostics] == ["CMP012"] * 4
    assert "column 'c' of type timestamp[us,Europe/Prague]: a text file has only UTC" in str(caught.value)
    assert caught.value.exit_code == 2


def test_names_that_a_header_cannot_have(context):
    schema = (Field("a", "int64"), Field("", "int64"), Field("a", "int64"))
    assert code_of(Driver().check, Config("out.csv"), schema, context) == ["CMP012", "CMP012"]


@pytest.mark.parametrize("path", ["out.csv.bz2", "out.zip", "out/", "a\nb.csv"])
def test_paths_that_are_refused(context, path):
    assert code_of(check, context, path, a="int64") == ["DRV007"]


def test_folders_are_made_only_if_asked_for(write, context):
    table = pa.table({"a": [1]})
    assert code_of(write, table, path="x/y/z.csv", create_dirs=False) == ["DRV001"]
    assert write(table, path="x/y/z.csv") == b"a\n1\n"
    (context.root / "file").touch()
    assert code_of(write, table, path="file/z.csv") == ["DRV070"]


def test_the_connections_folder(context, tmp_path):
    context.connection["base_dir"] = "below"
    schema = (Field("a", "int64"),)
    batches = pa.table({"a": [1]}).to_batches()
    written = Driver().write(Config("out.csv"), stream(schema, batches, "fixed"), context)
    assert written.files == ("below/out.csv",)
    assert (tmp_path / "below" / "out.csv").read_bytes() == b"a\n1\n"


def test_a_failing_input_leaves_the_old_file(context, tmp_path):
    (tmp_path / "out.csv").write_bytes(b"old")

    def batches():
        yield from pa.table({"a": [1]}).to_batches()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        Driver().write(Config("out.csv"), stream((Field("a", "int64"),), batches(), "fixed"), context)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out.csv", b"old")]


FORMULAS = [
    "=1+1",
    "+SUM(A1)",
    "-cmd",
    "@x",
    "\tx",
    "\rx",
    " =x",
    "\ufeff=x",
    "\uff1dx",
    "\uff0bx",
    "\uff0dx",
    "\uff20x",
]
HARMLESS = ["-5", "+420", "-1.5", "a=b", "x@y.cz", "", None, "1-2"]


def test_formulas_are_written_and_reported(write, events):
    content = write(pa.table({"a": FORMULAS + HARMLESS, "b": list(range(20))}))
    assert [row[0] for row in csv.reader(content.decode().split("\n")[1:-1])] == FORMULAS + HARMLESS[:-2] + ["", "1-2"]
    fields = {"cells": len(FORMULAS), "columns": {"a": len(FORMULAS)}, "done": "written as they are"}
    assert events == [("formula_like_cells", fields)]


def many_rows():
    rows = range(12_000)
    texts = [*TEXTS, *FORMULAS, *HARMLESS]
    columns = {
        "near": [None if n % 7 == 3 else n % 50 - 25 for n in rows],
        "far": [n * 10**12 for n in rows],
        "cents": [Decimal(n % 90 - 30).scaleb(-2) for n in rows],
        "price": [Decimal(100 + n * 10**6).scaleb(-2) for n in rows],
        "day": [dt.date(1999, 12, 1) + dt.timedelta(n % 80) for n in rows],
        "text": [texts[n * 7 % len(texts)] for n in rows],
        "commas": [None if n % 5 == 0 else "," * (n % 3) for n in rows],
    }
    kinds = {"cents": pa.decimal128(4, 2), "price": pa.decimal128(15, 2)}
    return pa.table({name: pa.array(values, kinds.get(name)) for name, values in columns.items()})


@pytest.mark.parametrize("form", [{}, {"delimiter": "5"}, {"quoting": "all"}, {"formula_guard": "prefix"}])
def test_many_rows_at_once_are_written_as_a_few_are(write, events, form):
    table = many_rows()
    whole = write(table, **form)
    assert write(table, size=100, **form) == whole
    assert write(pa.concat_tables([table[:1], table]).combine_chunks()[1:], **form) == whole
    assert events[0] == events[1] == events[2]


def test_what_stands_under_null_is_not_looked_at(write, events):
    full = pa.array(["=1", "a,b", "", "x"])
    hidden = pa.StringArray.from_buffers(4, *full.buffers()[1:], pa.py_buffer(b"\x08"))
    assert hidden.to_pylist() == [None, None, None, "x"]
    assert write(pa.table({"a": hidden, "b": range(4)})) == b"a,b\n,0\n,1\n,2\nx,3\n"
    assert events == []


def test_harmless_text_is_not_reported(write, events):
    write(pa.table({"a": HARMLESS}))
    assert events == []


@pytest.mark.parametrize("formula", FORMULAS, ids=ascii)
def test_formulas_are_refused(write, formula):
    assert code_of(write, pa.table({"a": ["x", formula]}), formula_guard="refuse") == ["DAT015"]


def test_formulas_get_an_apostrophe(write, events):
    assert write(pa.table({"a": ["=1", "-5", "@x,y"]}), formula_guard="prefix") == b"a\n'=1\n-5\n\"'@x,y\"\n"
    assert events[0][1]["done"] == "an apostrophe was put before them"


@pytest.mark.parametrize(("path", "compression"), [("a.csv.gz", "infer"), ("a.csv.zst", "infer"), ("a.csv", "gzip")])
def test_packed_files_have_the_same_bytes_for_the_same_rows(write, path, compression):
    table = pa.table({"a": TEXTS * 20_000, "b": list(range(len(TEXTS) * 20_000))})
    whole = write(table, path=path, compression=compression)
    assert write(table, size=7777, path=path, compression=compression) == whole
    kind = "zstd" if path.endswith(".zst") else "gzip"
    assert pa.input_stream(pa.BufferReader(whole), compression=kind).read() == write(table, path="plain.csv")


@pytest.mark.parametrize(("path", "compression"), [("a.csv.gz", "none"), ("a.csv.gz", "zstd")])
def test_a_name_that_says_another_packing_is_refused(write, path, compression):
    assert code_of(write, pa.table({"a": [1]}), path=path, compression=compression) == ["DRV007"]
