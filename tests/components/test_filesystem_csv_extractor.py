"""Reading CSV files: every option, and everything that can be wrong with a file, with its line."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import zipfile
from collections import Counter
from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from osiris.components.filesystem_csv_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field


class Project:
    """A folder with files, and an extractor that reads them."""

    def __init__(self, root):
        self.root = root
        self.counts = Counter()
        self.events = []
        self.connection = {}

    def put(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    @property
    def context(self):
        return StepContext(
            "step",
            self.root,
            self.root,
            self.root,
            connection=self.connection,
            emit=lambda name, fields: self.events.append((name, dict(fields))),
            count=lambda name, value: self.counts.update({name: value}),
        )

    def describe(self, path="in.csv", **config):
        return Driver().describe(Config(path, **config), self.context).schema

    def types(self, path="in.csv", **config):
        return {column.name: column.type for column in self.describe(path, **config)}

    def read(self, path="in.csv", schema=None, **config):
        """Return the rows as a dictionary of lists, with the described or a given schema."""
        schema = schema or self.describe(path, **config)
        stream = Driver().read(Config(path, **config), schema, self.context)
        rows = {column.name: [] for column in schema}
        for batch in stream.batches():
            for name, values in batch.to_pydict().items():
                rows[name] += values
        return rows

    def refused(self, path="in.csv", schema=None, **config):
        """Return the one diagnostic with which describing or reading fails."""
        with pytest.raises(OsirisError) as caught:
            self.read(path, schema, **config)
        (found,) = caught.value.diagnostics
        return found


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_small_file(project):
    project.put("in.csv", 'id,name\n1,"Smith, ""J"""\n2,\n3,""\n')
    assert project.describe() == (Field("id", "int64"), Field("name", "utf8"))
    assert project.read() == {"id": [1, 2, 3], "name": ['Smith, "J"', None, ""]}


def test_rows_and_bytes_are_counted_by_reading_alone(project):
    content = "a\n" + "1\n" * 1000
    project.put("in.csv", content)
    schema = project.describe()
    assert project.counts == {}
    project.read(schema=schema)
    assert project.counts == {"rows_read": 1000, "bytes_read": len(content)}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_any_line_end(project, end, last):
    project.put("in.csv", end.join(["a,b", '1,"x' + end + 'y"', "2,z"]) + end * last)
    assert project.read() == {"a": [1, 2], "b": [f"x{end}y", "z"]}


@pytest.mark.parametrize("names", ["a", "a,b"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "marked"])
def test_a_header_and_no_rows(project, names, end, start):
    project.put("in.csv", start + names + end)
    columns = names.split(",")
    assert project.types() == dict.fromkeys(columns, "utf8")
    for options in ({}, {"skip_blank_lines": False}, {"skip_blank_lines": True}, {"dtype": {"a": "int64"}}):
        for more in ({}, {"comment": "#"}):
            assert project.read(**options, **more) == {name: [] for name in columns}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("text", ["a,b\r", "# c\ra,b\r1,x\r", "a,b\r1,x"])
def test_a_first_piece_that_holds_nothing_is_not_the_end(project, text, encoding):
    project.put("in.csv", text.encode(encoding))
    found = project.read(comment="#", encoding=encoding)
    assert found == ({"a": [1], "b": ["x"]} if "1" in text else {"a": [], "b": []})


def test_a_mark_that_comes_alone_is_not_the_end(project):
    first, rest = (gzip.compress(part) for part in (codecs.BOM_UTF8, b"a,b\n1,x\n"))
    project.put("in.csv.gz", first + rest)
    assert project.read(path="in.csv.gz") == {"a": [1], "b": ["x"]}


def test_a_blank_line_is_a_null_row_only_in_a_file_of_one_column(project):
    project.put("one.csv", 'a\n1\n\n""\n\n')
    assert project.read("one.csv") == {"a": ["1", None, "", None]}
    assert project.read("one.csv", skip_blank_lines=False) == {"a": ["1", None, "", None]}
    assert project.read("one.csv", skip_blank_lines=True) == {"a": ["1", ""]}
    project.put("two.csv", "\n\na,b\n\n1,2\n\n3,4\n\n")
    assert project.read("two.csv") == {"a": [1, 3], "b": [2, 4]}
    assert project.read("two.csv", skip_blank_lines=False) == {
        "a": [None, 1, None, 3, None],
        "b": [None, 2, None, 4, None],
    }
    project.put("two.csv", "a,b\n\n1,2\nx,y\n")
    assert project.refused("two.csv", skip_blank_lines=False, dtype={"a": "int64"}).location.line == 4


def test_delimiter_and_na_values(project):
    project.put("in.csv", 'a;b\n1;NA\n-;"NA"\n')
    assert project.read(delimiter=";", na_values=["NA", "-"]) == {"a": [1, None], "b": [None, "NA"]}
    for delimiter in "\t| ae5.":
        project.put("in.csv", f"x{delimiter}y\n1{delimiter}2\n")
        assert project.read(delimiter=delimiter) == {"x": [1], "y": [2]}


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1250", "iso-8859-2")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_encoding(project, encoding):
    rows = "".join(f"{n},příliš žluťoučký {n}\n" for n in range(50_000))
    project.put("in.csv", f"id,šé\n{rows}".encode(encoding))
    found = project.read(encoding=encoding)
    assert list(found) == ["id", "šé"]
    assert found["id"] == list(range(50_000))
    assert found["šé"][-1] == "příliš žluťoučký 49999"


def test_a_byte_order_mark_is_not_part_of_a_name(project):
    project.put("in.csv", b"\xef\xbb\xbfa,b\n1,2\n")
    assert project.read() == {"a": [1], "b": [2]}


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("folder")
        archive.writestr("folder/in.csv", content)
    return buffer.getvalue()


PACKED = {
    "gzip": (gzip.compress, ".gz"),
    "zstd": (lambda content: pa.Codec("zstd").compress(content).to_pybytes(), ".zst"),
    "bz2": (bz2.compress, ".bz2"),
    "xz": (lzma.compress, ".xz"),
    "zip": (zipped, ".zip"),
}


@pytest.mark.parametrize("kind", PACKED)
def test_packed_files(project, kind):
    pack, suffix = PACKED[kind]
    packed = pack(b"a,b\n" + b"1,x\n" * 200_000)
    project.put(f"in.csv{suffix}", packed)
    project.put("in.dat", packed)
    schema = project.describe(f"in.csv{suffix}")
    assert project.read(f"in.csv{suffix}", schema)["a"] == [1] * 200_000
    of_its_catalogue = 0 if kind != "zip" else 200
    assert len(packed) - of_its_catalogue <= project.counts["bytes_read"] <= len(packed)
    assert project.read("in.dat", compression=kind)["a"] == [1] * 200_000


@pytest.mark.parametrize("kind", PACKED)
def test_damaged_packed_files_are_refused(project, kind):
    pack, _suffix = PACKED[kind]
    packed = pack(b"a,b\n" + b"1,x\n" * 200_000)
    for damaged in (packed[: len(packed) // 2], b"not packed at all, but long enough to be looked at", b""):
        project.put("in.dat", damaged)
        assert project.refused("in.dat", compression=kind).code in ("DAT013", "DAT004")


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bz2", "xz"])
@pytest.mark.parametrize(
    "after", [b"garbage!", b"\0", b"\1\0\0\0" * 300_000, "damaged"], ids=["text", "zero", "long", "damaged"]
)
def test_what_follows_a_stream_must_be_another_one(project, kind, after):
    """The command-line tools say what follows: `gzip` alone ignores zeros, and `xz` four of them or a multiple."""
    pack, _suffix = PACKED[kind]
    second = pack(b"2,y\n" * 1_000)
    rest = bytes([second[0] ^ 1]) + second[1:] if after == "damaged" else after
    project.put("in.dat", pack(b"a,b\n1,x\n") + second + rest)
    if (kind, after) == ("gzip", b"\0"):
        assert len(project.read("in.dat", compression=kind)["a"]) == 1_001
    else:
        assert project.refused("in.dat", compression=kind).code == "DAT013"


@pytest.mark.parametrize("zeros", [0, 4, 8, (1 << 20) + 4])
def test_zeros_between_xz_streams(project, zeros):
    padding = b"\0" * zeros
    project.put("in.csv.xz", lzma.compress(b"a\n1\n") + padding + lzma.compress(b"2\n3\n") + padding)
    assert project.read("in.csv.xz") == {"a": [1, 2, 3]}
    project.put("in.csv.xz", lzma.compress(b"a\n1\n") + padding + b"\0" + lzma.compress(b"2\n3\n"))
    assert project.refused("in.csv.xz").code == "DAT013"


def test_an_archive_must_hold_one_file(project):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    project.put("in.zip", buffer.getvalue())
    assert project.refused("in.zip").message == "in.zip: the archive contains 2 files, but must contain exactly one"


def test_header_options(project):
    project.put("in.csv", "junk,junk\na,b\n1,2\n3,4\n")
    assert project.read(header=1) == {"a": [1, 3], "b": [2, 4]}
    assert project.read(skip_rows=1) == {"a": [1, 3], "b": [2, 4]}
    assert project.read(skip_rows=2, header=False) == {"0": [1, 3], "1": [2, 4]}
    assert project.refused(header=0).code == "DAT004"
    assert project.read(skip_rows=2, header=False, columns=["1"]) == {"1": [2, 4]}


def test_a_file_of_one_null_without_header(project):
    project.put("in.csv", "\n1\n")
    assert project.read(header=False) == {"0": [None, 1]}


def test_columns_are_pruned_and_keep_the_order_asked_for(project):
    project.put("in.csv", "a,b,c\n1,x,2.5\n2,y,3\n")
    assert project.types(columns=["c", "a"]) == {"c": "decimal(38,1)", "a": "int64"}
    assert list(project.read(columns=["c", "a"])) == ["c", "a"]


def test_comments(project):
    project.put("in.csv", '# one\na,b# names\n1,"# no comment"\n# two\n2,x#y\n')
    assert project.read(comment="#") == {"a": [1, 2], "b": ["# no comment", "x"]}
    project.put("one.csv", "# c\na\n1\n# c\n2\n")
    assert project.read("one.csv", comment="#") == {"a": [1, 2]}


def test_lines_are_counted_with_their_comments(project):
    project.put("in.csv", "# c\na,b\n# c\n1,2\n# c\n1,2,3\n")
    assert project.refused(comment="#").location.line == 6


def test_limit_is_over_all_files(project):
    project.put("1.csv", "a\n1\n2\n")
    project.put("2.csv", "a\n3\n4\n")
    assert project.read("?.csv", limit=3) == {"a": [1, 2, 3]}
    assert project.read("?.csv", limit=2) == {"a": [1, 2]}
    project.put("3.csv", "a\n5\n")
    assert project.read("?.csv") == {"a": [1, 2, 3, 4, 5]}


def test_a_row_beyond_the_limit_is_not_looked_at(project):
    project.put("in.csv", "a\n1\n2\nx\n")
    assert project.read(limit=2, dtype={"a": "int64"}) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("b,a", "its columns are in another order than those of 1.csv"),
        ("a", "it has no column 'b', which 1.csv has"),
        ("a,b,c", "it has a column 'c', which 1.csv does not have"),
    ],
)
def test_files_of_a_pattern_need_the_same_header(project, header, problem):
    project.put("1.csv", "a,b\n1,2\n")
    project.put("2.csv", f"{header}\n")
    found = project.refused("*.csv")
    assert (found.code, found.message) == ("DAT004", f"2.csv: {problem}")
    assert found.hint == "write all files with the same columns, or read this file in a step of its own"


def test_a_type_must_fit_all_files_of_a_pattern(project):
    project.put("1.csv", "a\n1\n")
    project.put("2.csv", "a\n1.5\n")
    assert project.types("*.csv") == {"a": "decimal(38,1)"}


def test_the_connections_folder(project):
    project.put("data/in.csv", "a\n1\n")
    project.connection = {"base_dir": "data"}
    assert project.read() == {"a": [1]}
    project.connection = {"base_dir": str(project.root / "data")}
    assert project.read() == {"a": [1]}


def test_types_are_taken_from_the_first_rows_unless_all_are_asked_for(project):
    project.put("in.csv", "a\n" + "1\n" * 500 + "x\n")
    assert project.types() == {"a": "utf8"}
    assert project.types(sample=500) == {"a": "int64"}
    assert project.types(sample="all") == {"a": "utf8"}
    found = project.refused(sample=500)
    assert (str(found.location), found.message) == ("in.csv:502", "column 'a': 'x' is not int64")
    assert "na_values" in found.hint


PAIRS = [
    ("2.55", "2.555", "decimal(38,3)"),
    ("7", "129.90", "decimal(38,2)"),
    ("7", "12345678901234567890", "decimal(38,0)"),
    ("7", "1.5e3", "float64"),
    ("7.5", "1.5e3", "float64"),
    ("2024-01-31", "2024-01-31T10:00:00", "timestamp[us]"),
    ("2024-01-31T10:00:00", "2024-01-31", "timestamp[us]"),
    ("10:00:00", "10:00:00.1234560", "time[ns]"),
    ("7", "x", None),
    ("7", "N/A", None),
    ("7", "007", None),
    ("true", "maybe", None),
    ("2024-01-31", "31.1.2024", None),
    ("10:00:00", "ten", None),
]


@pytest.mark.parametrize(("first", "later", "wider"), PAIRS)
def test_the_hint_at_a_misfit_has_the_type_that_holds_both_values(project, first, later, wider):
    project.put("in.csv", f'a b\n"{first}"\n"{later}"\n')
    hint = project.refused(sample=1).hint
    assert "osiris compile FILE --refresh" in hint
    dtype = json.loads(re.search(r"dtype: (\{.*?\})", hint)[1])
    assert dtype == {"a b": wider or "utf8"}
    assert list(project.read(sample=1, dtype=dtype)) == ["a b"]
    is_number = first.replace(".", "").isdigit() and any(map(str.isdigit, later))
    assert ("na_values" in hint) == (wider is None and not is_number)


@pytest.mark.parametrize(("value", "number"), [("12,5", "12.50"), ("-1.234.567,89", "-1234567.89")])
def test_the_hint_at_a_decimal_comma_has_the_sql_that_converts_it(project, value, number):
    project.put("in.csv", f'a b\n"7.5"\n"{value}"\n')
    hint = project.refused(sample=1).hint
    found = re.fullmatch(r"for a decimal comma set dtype: (\{.*?\}), and convert the column in SQL: (.*)", hint)
    assert json.loads(found[1]) == {"a b": "utf8"}
    assert list(project.read(sample=1, dtype={"a b": "utf8"})) == ["a b"]
    (converted,) = duckdb.connect().execute(f'SELECT {found[2]} FROM (SELECT ? AS "a b")', [value]).fetchone()
    assert str(converted) == number


def test_of_a_declared_type_no_second_look_is_advised(project):
    project.put("in.csv", "a\n2.55\n2.555\n")
    assert project.refused(dtype={"a": "decimal(38,2)"}).hint == 'set dtype: {"a": "decimal(38,3)"}'
    assert "--refresh" not in project.refused(dtype={"a": "bool"}).hint


def test_a_misfit_is_found_behind_line_ends_in_quotes(project):
    rows = "".join(f'{n},"two\r\nlines\n{n}"\n' for n in range(120_000))
    project.put("in.csv", f"id,text\n{rows}oops,x\n")
    assert project.types() == {"id": "int64", "text": "utf8"}
    found = project.refused()
    assert (found.code, found.location.line) == ("DAT001", 2 + 3 * 120_000)


def test_a_long_or_strange_value_is_shown_short_and_printable(project):
    project.put("in.csv", "id,a\n1,\x1b[31m\u202e" + "x" * 500 + "\n")
    found = project.refused(dtype={"a": "int64"})
    assert found.message.isprintable()
    assert len(found.message) < 150


def test_declared_types(project):
    project.put("in.csv", "a,b,c,d,e\n1,2,2024-01-01,x,3\n")
    declared = {"a": "utf8", "b": "decimal(5,2)", "c": "datetime64[ns]", "d": "category", "e": "Int16"}
    assert project.types(dtype=declared) == {
        "a": "utf8",
        "b": "decimal(5,2)",
        "c": "timestamp[ns]",
        "d": "utf8",
        "e": "int16",
    }


@pytest.mark.parametrize(
    ("name", "code"), [("quux", "DAT012"), ("binary", "DAT006"), ("list<int64>", "DAT006"), ("uuid", "DAT006")]
)
def test_types_that_text_does_not_have(project, name, code):
    project.put("in.csv", "a\n1\n")
    assert project.refused(dtype={"a": name}).code == code


@pytest.mark.parametrize("option", [{"columns": ["nmae"]}, {"dtype": {"nmae": "utf8"}}, {"parse_dates": ["nmae"]}])
def test_unknown_columns(project, option):
    project.put("in.csv", "id,name\n1,x\n")
    found = project.refused(**option)
    assert (found.code, found.hint) == ("DAT005", "did you mean 'name'?")


def test_parse_dates(project):
    project.put(
        "in.csv",
        "a,b,c,d\n2024-01-01,2024-01-01,2024-01-01 10:00:00+02:00,\n"
        "2024-01-02,2024-01-01T10:00:00,2024-01-01T10:00:00Z,\n",
    )
    assert project.types(parse_dates=["a", "b", "c", "d"]) == {
        "a": "date",
        "b": "timestamp[us]",
        "c": "timestamp[us,UTC]",
        "d": "timestamp[us]",
    }
    assert project.types(parse_dates=True)["b"] == "utf8"
    project.put("in.csv", "a\n2024-01-01\n\n31.12.2024\n2024-01-02\n")
    found = project.refused(parse_dates=["a"])
    assert (str(found.location), found.message) == ("in.csv:4", "column 'a': '31.12.2024' is not a date or timestamp")


def test_parse_dates_does_not_mix_with_and_without_zone(project):
    project.put("in.csv", "a\n2024-01-01T00:00:00\n2024-01-01T00:00:00Z\n")
    assert project.refused(parse_dates=["a"]).location.line == 3


@pytest.mark.parametrize(("row", "found"), [("1", 1), ("1,2,3", 3), ('1,2,"x\ny"', 3)])
def test_rows_of_another_width(project, row, found):
    project.put("in.csv", f'a,b\n1,"x\ny"\n{row}\n1,2\n')
    refused = project.refused()
    assert refused.code == "DAT002"
    assert (str(refused.location), refused.message) == ("in.csv:4", f"{found} fields where the header has 2")


def test_rows_of_another_width_can_be_skipped_and_are_counted(project):
    project.put("in.csv", "a,b\n1,2\n3\n4,5\n6,7,8\n9,x\n")
    schema = project.describe(on_bad_lines="skip")
    assert project.read(schema=schema, on_bad_lines="skip") == {"a": [1, 4, 9], "b": ["2", "5", "x"]}
    assert (project.counts["rows_read"], project.counts["rows_rejected"]) == (5, 2)
    assert project.events == []
    project.read(schema=schema, on_bad_lines="warn")
    assert project.events == [
        ("row_skipped", {"file": "in.csv", "fields": 1, "skipped": 1}),
        ("row_skipped", {"file": "in.csv", "fields": 3, "skipped": 2}),
    ]


def test_a_misfit_behind_skipped_rows_has_its_own_line(project):
    project.put("in.csv", "a,b\n1\n1,2\n1,2,3\nx,2\n")
    found = project.refused(on_bad_lines="skip", dtype={"a": "int64"})
    assert found.location.line == 5


@pytest.mark.parametrize(
    ("content", "encoding", "offset"),
    [
        (b"a,b\n1,x\n2,\xff\n", "utf-8", 10),
        (b"\xef\xbb\xbfa,b\n1,x\n2,\xff\n", "utf-8", 13),
        (b"a,b\n1,\xe2\x82", "utf-8", 6),
        ("a,b\n1,é\n".encode(), "ascii", 6),
        ("a,b\n1,x".encode("utf-16-le") + b"\x00\xd8\x20\x00", "utf-16-le", 14),
        ("a,b\n1,x\n".encode("utf-16-le"), "utf-16", 0),
        (b"a,\xff\n1,x\n", "utf-8", 2),
        (b"a,b\n" + b"1,x\n" * 700_000 + b"2,\xff\n", "utf-8", 2_800_006),
    ],
)
def test_bytes_of_another_encoding(project, content, encoding, offset):
    project.put("in.csv", content)
    found = project.refused(encoding=encoding, dtype={"b": "utf8"} if b"b" in content[:8] else {})
    assert found.code == "DAT003"
    assert f"byte {offset} is not {encoding}" in found.message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is empty"),
        ("\n\n", "it has no header"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,b,a\n1,2,3\n", "the column name 'a' appears twice"),
    ],
)
def test_bad_headers(project, content, problem):
    project.put("in.csv", content)
    found = project.refused()
    assert (found.code, found.message) == ("DAT004", f"in.csv: {problem}")


def test_a_source_that_is_no_longer_as_planned(project):
    project.put("in.csv", "a,b\n1,2\n")
    schema = project.describe()
    picked = project.describe(columns=["b"])
    project.put("in.csv", "b,c,a\n2,3,1\n")
    found = project.refused(schema=schema)
    assert (found.code, found.message) == ("DAT011", "step 'step': the columns of in.csv are b, c, a")
    assert project.read(schema=picked, columns=["b"]) == {"b": [2]}
    project.put("in.csv", "a\n1\n")
    found = project.refused(schema=picked, columns=["b"])
    assert found.message == "step 'step': in.csv has no column 'b'"


def test_a_quote_left_open_is_an_error_and_not_a_value(project):
    for end in ("", "\n", "\nmore,rows\n"):
        project.put("in.csv", f'a,b\n1,2\n3,"x{end}')
        found = project.refused()
        assert (found.code, found.message) == ("DAT013", "in.csv: the quote opened in line 3 is never closed")
        assert project.refused(columns=["a"]).code == "DAT013"


@pytest.mark.parametrize("cell", ['"a "quoted" word"', '"5" pipe"', '"x"y', '"x" ', '"x""y"z', '"a\nb"c'])
@pytest.mark.parametrize("before", [1, 200_000])
def test_text_after_a_closing_quote_is_an_error_and_not_a_value(project, cell, before):
    project.put("in.csv", "a,b,c\n" + "1,y,z\n" * before + f"1,{cell},z\n2,y,z\n")
    found = project.refused()
    line = before + 2 + cell.count("\n")
    assert (found.code, found.location.line) == ("DAT013", line)
    assert found.message == f"in.csv: a cell in line {line} has text after its closing quote"


@pytest.mark.parametrize("header", ['"id" x,name', 'id,"na"me', '"a\nb"c,d'])
def test_text_after_a_closing_quote_of_the_header_is_an_error(project, header):
    project.put("in.csv", f"{header}\n1,2\n")
    found = project.refused()
    assert (found.code, found.message) == ("DAT013", "in.csv: its header has text after a closing quote")


def test_a_quote_in_a_cell_that_does_not_begin_with_one_is_text(project):
    project.put("in.csv", 'a,b\n5" pipe,x\na""b,"c""d"\n"",""""\n')
    assert project.read() == {"a": ['5" pipe', 'a""b', ""], "b": ["x", 'c"d', '"']}


def test_a_row_may_be_larger_than_a_block(project):
    large = "x" * 5_000_000
    project.put("in.csv", "a,b\n" + "1,y\n" * 10 + f"2,{large}\n" + "3,z\n" * 10)
    rows = project.read()
    assert rows["a"] == [1] * 10 + [2] + [3] * 10
    assert rows["b"][10] == large
    assert project.counts["rows_read"] == 21


def test_a_cell_may_not_be_larger_than_the_limit(project):
    project.put("in.csv", b'a,b\n1,2\n3,"' + b"x" * (65 << 20))
    found = project.refused()
    assert (found.code, found.location.line) == ("DAT007", 3)
    assert found.hint == "check for a quote that is never closed"


def test_nothing_to_read(project):
    assert project.refused().code == "DRV001"
    assert project.refused("*.csv").code == "DRV001"
    (project.root / "in.csv").mkdir()
    assert project.refused().code == "DRV005"


def test_text_is_checked_where_its_type_was_declared(project):
    project.put("in.csv", "a\n" + "1\n" * 100_000 + "x\n")
    assert project.describe(as_text=True) == (Field("a", "utf8"),)
    assert project.describe(as_text=True, dtype={"a": "int64"}) == (Field("a", "utf8"),)
    assert project.refused(as_text=True, dtype={"a": "int64"}).code == "DAT001"


def test_rows_are_counted_or_estimated(project):
    project.put("in.csv", "a\n" + "1\n" * 1000)
    assert Driver().describe(Config("in.csv"), project.context).rows == 1000
    assert Driver().describe(Config("in.csv", dtype={"a": "int64"}), project.context).rows is None
    project.put("in.csv", "a,b\n" + "12345678901234567890,some text\n" * 1_000_000)
    assert 900_000 < Driver().describe(Config("in.csv"), project.context).rows < 1_100_000


def test_a_source_is_confirmed_by_its_header_and_its_first_rows(project):
    project.put("in.csv", "a,b\n1,x\n2,y\n")
    described = Driver().describe(Config("in.csv"), project.context)
    confirm = Driver().confirm

    def refusal(**config):
        with pytest.raises(OsirisError) as caught:
            confirm(Config("in.csv", **config), described.schema, project.context)
        return [(problem.code, problem.location.line) for problem in caught.value.diagnostics]

    assert confirm(Config("in.csv"), described.schema, project.context) == described.state
    project.put("in.csv", "a,b\n1,x\n2,y\n3,z\n")
    assert confirm(Config("in.csv"), described.schema, project.context) != described.state
    project.put("in.csv", "a,b\n1,x\n\n\nno,y\n")
    assert refusal() == [("DAT001", 5)]
    assert refusal(as_text=True, dtype={"a": "int64"}) == [("DAT001", 5)]
    assert confirm(Config("in.csv", sample=1), described.schema, project.context)
    assert confirm(Config("in.csv", as_text=True), described.schema, project.context)
    assert confirm(Config("in.csv"), described.schema, replace(project.context, on_reject="quarantine"))
    project.put("in.csv", "a,c\n1,x\n")
    assert refusal() == [("DAT011", None)]
    assert project.counts == {}


def quarantined(project, path="in.csv", **config):
    """Read with quarantine; return the values of column a and the rejected rows without their header."""
    context = replace(project.context, on_reject="quarantine")
    schema = Driver().describe(Config(path, **config), context).schema
    rows = Driver().read(Config(path, **config), schema, context).reader().read_all()
    with (project.root / "rejected.csv").open(newline="") as file:
        heading, *rejects = csv.reader(file)
    assert heading == ["file", "line", "column", "value", "reason", "row"]
    assert {row for *_, row in rejects} == {""}
    return rows.column("a").to_pylist(), [row[:-1] for row in rejects]


@pytest.mark.parametrize(
    "text", ["a\rb", "\r", "a\nb", "\r\n", "a,b", 'a"b', '"', "'", "\t", "é\x85\u2028z", "=1+1", "#x"]
)
def test_whatever_is_set_aside_is_one_row_of_the_file(project, text):
    cell = text.replace('"', '""')
    project.put("in.csv", f'a\n1\n"{cell}"\n2\n"{cell}{cell}"\n')
    values, rejects = quarantined(project, dtype={"a": "int64"})
    assert values == [1, 2]
    assert [value for _, _, _, value, _ in rejects] == [text, text + text]


def test_rows_that_do_not_fit_are_set_aside(project):
    project.put("in.csv", 'a,b\n1,x\n"2\n",y\n3\nx,z\n4,u,5\n,w\n')
    values, rejects = quarantined(project, dtype={"a": "int64", "b": "utf8"})
    assert values == [1, None]
    assert rejects == [
        ["in.csv", "3", "a", "2\n", "not int64"],
        ["in.csv", "5", "", "3", "1 fields where the header has 2"],
        ["in.csv", "6", "a", "x", "not int64"],
        ["in.csv", "7", "", "4,u,5", "3 fields where the header has 2"],
    ]
    assert {name: project.counts[name] for name in ("rows_read", "rows_rejected")} == {
        "rows_read": 6,
        "rows_rejected": 4,
    }
    assert project.events == [("rows_quarantined", {"file": "rejected.csv", "rows": 4})]


def test_rejects_have_their_own_lines_in_a_large_file(project):
    lines = [f"{n}" if n % 1000 else "no" if n % 3000 else "1,2" for n in range(1, 300_001)]
    project.put("in.csv", "a\n" + "\n".join(lines))
    values, rejects = quarantined(project, dtype={"a": "int64"})
    assert values == [n for n in range(1, 300_001) if n % 1000]
    assert sorted(int(reject[1]) for reject in rejects) == [n + 1 for n in range(1000, 300_001, 1000)]
    assert {reject[4] for reject in rejects} == {"not int64", "2 fields where the header has 1"}
    assert project.counts["rows_rejected"] == 300


def test_text_that_is_copied_is_set_aside_where_its_type_was_declared(project):
    project.put("in.csv", "a,b\n007,1.0\nx,2.00\ny,no\n")
    values, rejects = quarantined(project, as_text=True, dtype={"b": "decimal(5,1)"})
    assert values == ["007", "x"]
    assert rejects == [["in.csv", "4", "b", "no", "not decimal(5,1)"]]


def test_skipped_rows_behind_one_that_is_larger_than_a_block_are_counted_once(project):
    project.put("in.csv", "a,b\n1\n" + "2,x\n" * 10 + "3," + "y" * (3 << 20) + "\n4\n5,z\n")
    assert len(project.read(on_bad_lines="skip")["a"]) == 12
    assert project.counts["rows_rejected"] == 2


def test_everyday_mistakes_get_a_hint_that_helps(project):
    project.put("semicolons.csv", "id;name\n1;a,b\n")
    assert project.refused("semicolons.csv").hint == "the header contains ';': set delimiter: \";\""
    project.put("windows.csv", b"id,name\n1,abc\n2,caf\xe9\n")
    found = project.refused("windows.csv")
    assert (found.code, found.location.line, "cp1252" in found.hint) == ("DAT003", 3, True)
    project.put("dates.csv", "day\n31.01.2025\n")
    found = project.refused("dates.csv", dtype={"day": "date"})
    assert (found.code, "strptime(\"day\", '%d.%m.%Y')::DATE" in found.hint) == ("DAT001", True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("unit", ["\r\n", "x\r\n", "\r", "\n\r", '\r\n"'])
def test_line_ends_in_quotes_are_kept_wherever_a_block_of_the_parser_ends(project, unit, threads):
    cells = [unit * count for count in range(1, 700) for _ in range(8)]  # several blocks; they end at any byte of it
    rows = "".join(f'{number},"{cell.replace(chr(34), chr(34) * 2)}"\n' for number, cell in enumerate(cells))
    project.put("in.csv", "id,text\n" + rows)
    context = replace(project.context, threads=threads)
    config, schema = Config("in.csv"), (Field("id", "int64", nullable=True), Field("text", "utf8", nullable=True))
    found = [row for batch in Driver().read(config, schema, context).batches() for row in batch.to_pylist()]
    assert found == [{"id": number, "text": cell} for number, cell in enumerate(cells)]
