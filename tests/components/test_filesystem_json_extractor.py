"""Reading JSON files: exact types from the values, and everything that is rejected, with its position."""

import bz2
import datetime as dt
import gzip
import io
import json
import lzma
import zipfile
from decimal import Decimal

import pyarrow as pa
import pytest

from osiris.components.filesystem_json_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.files import json_files
from osiris.families.files.compression import PIECE
from osiris.model import Field


class Project:
    """A project folder, with the counts and events of its step."""

    def __init__(self, root):
        self.root = root
        self.counts = {}
        self.events = []

    def put(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def context(self, on_reject="fail"):
        def count(name, value):
            self.counts[name] = self.counts.get(name, 0) + value

        return StepContext(
            "step",
            self.root,
            self.root,
            self.root,
            on_reject=on_reject,
            emit=lambda name, fields: self.events.append((name, dict(fields))),
            count=count,
        )

    def describe(self, path="in.json", **config):
        return Driver().describe(Config(path, **config), self.context())

    def types(self, path="in.json", **config):
        return {column.name: column.type for column in self.describe(path, **config).schema}

    def read(self, path="in.json", schema=None, on_reject="fail", **config):
        """Return the rows as a dictionary of lists, with the described or a given schema."""
        schema = schema or self.describe(path, **config).schema
        rows = {column.name: [] for column in schema}
        for batch in Driver().read(Config(path, **config), schema, self.context(on_reject)).batches():
            for name, values in batch.to_pydict().items():
                rows[name] += values
        return rows

    def refused(self, path="in.json", schema=None, **config):
        """Return the one diagnostic with which describing or reading fails."""
        with pytest.raises(OsirisError) as caught:
            self.read(path, schema, **config)
        (found,) = caught.value.diagnostics
        return found


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_line_is_a_row_and_a_key_a_column(project):
    project.put("in.json", '{"id": 1, "name": "Smith"}\n\n{"id": 2, "name": null}\r\n  {"name": "", "id": 3}  ')
    assert project.describe().schema == (Field("id", "int64"), Field("name", "utf8"))
    assert project.read() == {"id": [1, 2, 3], "name": ["Smith", None, ""]}


def test_an_array_of_objects(project):
    project.put("in.json", '\n [ {"id": 1,\n "x": "a"} ,\n{"id": 2}\n]\n\n')
    assert project.read() == {"id": [1, 2], "x": ["a", None]}
    assert project.read(format="array") == project.read()
    assert project.refused(format="lines").code == "DAT020"
    project.put("in.json", '{"id": 1}')
    assert project.refused(format="array").message == "an array is expected"


def test_columns_stand_in_the_order_of_their_first_appearance(project):
    project.put("in.json", '{"b": 1}\n{"c": 1, "b": 2}\n{"a": 1, "c": 2, "b": 3}\n')
    assert list(project.types()) == ["b", "c", "a"]
    assert project.read()["a"] == [None, None, 1]


def test_rows_and_bytes_are_counted_by_reading_alone(project):
    content = '{"a": 1}\n' * 1000
    project.put("in.json", content)
    schema = project.describe().schema
    assert project.counts == {}
    project.read(schema=schema)
    assert project.counts == {"rows_read": 1000, "bytes_read": len(content)}


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ("1, 0, -7", "int64", [1, 0, -7]),
        ("9223372036854775808, 1", "decimal(38,0)", [Decimal(2**63), Decimal(1)]),
        ("1.50, 2, -0.125", "decimal(38,3)", [Decimal("1.500"), Decimal("2.000"), Decimal("-0.125")]),
        (
            "0.1, 0.12345678901234567890",
            "decimal(38,20)",
            [Decimal("0.10000000000000000000"), Decimal("0.12345678901234567890")],
        ),
        ("1e5, 0.1, -2.5E-3", "float64", [1e5, 0.1, -0.0025]),
        ("-0.0, 0.5", "float64", [-0.0, 0.5]),
        ("1e400", "json", ["1e400"]),
        ("-0", "float64", [-0.0]),
        ("1e5, 0.12345678901234567890", "json", ["1e5", "0.12345678901234567890"]),
        ("12" * 30, "json", ["12" * 30]),
        ("true, false", "bool", [True, False]),
        ('"x", ""', "utf8", ["x", ""]),
        ('"1", "2024-02-29"', "utf8", ["1", "2024-02-29"]),
        ('1, "1"', "json", ["1", '"1"']),
        ("1, true", "json", ["1", "true"]),
        ('{"b": 1.10, "a": [ ]}, [1, null]', "json", ['{"b":1.10,"a":[]}', "[1,null]"]),
        ('"\\u00e9\\/\\ud83d\\ude00\\n", ""', "utf8", ["é/😀\n", ""]),
        ('["\\u00e9\\/\\n"]', "json", ['["é/\\n"]']),
        ("null, null", "json", [None, None]),
    ],
)
def test_types_come_from_the_values_and_nothing_is_lost(project, values, kind, read):
    items = json.JSONDecoder().raw_decode
    rest, rows = values, []
    while rest:
        end = items(rest)[1]
        rows.append(f'{{"n": null, "v": {rest[:end]}}}')
        rest = rest[end:].lstrip(", ")
    for content in ("\n".join(rows), f"[{','.join(rows)}]"):
        project.put("in.json", content)
        assert project.types()["v"] == kind
        assert repr(project.read()["v"]) == repr(read)


def test_declared_types_are_read_from_strings_too(project):
    project.put("in.json", '{"a": "1.50", "b": 7, "c": "true", "d": "2024-02-29", "e": 1}\n{"a": 2, "b": "7"}\n')
    dtype = {"a": "decimal(12,2)", "b": "str", "c": "bool", "d": "date", "e": "json"}
    assert project.read(dtype=dtype) == {
        "a": [Decimal("1.50"), Decimal("2.00")],
        "b": ["7", "7"],
        "c": [True, None],
        "d": [dt.date(2024, 2, 29), None],
        "e": ["1", None],
    }
    assert project.refused(dtype={"a": "list<int64>"}).code == "DAT006"
    assert project.refused(dtype={"a": "no"}).code == "DAT012"
    assert project.refused(dtype={"a": "int64"}).code == "DAT001"


def test_parse_dates(project):
    project.put("in.json", '{"t": "2024-02-29T12:00:00Z"}\n{"t": null}\n')
    assert project.types(parse_dates=["t"]) == {"t": "timestamp[us,UTC]"}
    for value in ('"soon"', "5", '"\\ud800"'):
        project.put("in.json", f'{{"t": "2024-02-29"}}\n{{"t": {value}}}\n')
        found = project.refused(parse_dates=["t"])
        assert (found.code, found.location.line) == ("DAT001", 2)


def test_columns_limit_and_unknown_names(project):
    project.put("in.json", '{"a": 1, "b": {"x": 1}}\n{"a": 2}\n{"a": 3}\n')
    assert project.read(columns=["b", "a"], limit=2) == {"b": ['{"x":1}', None], "a": [1, 2]}
    assert project.refused(columns=["A"]).hint == "did you mean 'a'?"
    assert project.refused(dtype={"no": "int64"}).code == "DAT005"
    assert project.read(columns=["a", "rare"], dtype={"rare": "int64"})["rare"] == [None, None, None]


def test_keys_that_are_data(project):
    project.put("in.json", "".join(f'{{"id": {n}, "key{n}": 1}}\n' for n in range(4096)))
    assert project.refused().hint == "list the columns to read"
    assert project.read(columns=["id"])["id"] == list(range(4096))


@pytest.mark.parametrize("pattern", ["*.json", "**/*.json"])
def test_files_of_a_pattern_are_read_by_name_and_typed_together(project, pattern):
    project.put("b.json", '[{"x": 1.5, "y": true}]')
    project.put("a.json", '{"x": 1}\n')
    assert project.types(pattern) == {"x": "decimal(38,1)", "y": "bool"}
    assert project.read(pattern) == {"x": [Decimal("1.0"), Decimal("1.5")], "y": [None, True]}


def test_a_value_behind_the_sample_must_fit(project):
    project.put("in.json", '{"a": 1}\n{"a": 2}\n\n{"a": "x"}\n')
    found = project.refused(sample=2)
    assert (found.code, str(found.location)) == ("DAT001", "in.json:4")
    assert found.message == "column 'a': \"x\" is not int64"
    assert "osiris compile FILE --refresh" in found.hint
    assert "--refresh" not in project.refused(dtype={"a": "int64"}).hint
    assert project.types(sample="all") == {"a": "json"}


def test_a_key_behind_the_sample_is_named(project):
    project.put("in.json", '{"a": 1}\n{"a": 2, "new": 1}\n')
    found = project.refused(sample=1)
    assert (found.code, str(found.location)) == ("DAT011", "in.json:2")
    assert "in.json has the key 'new'" in found.message
    assert project.read(sample=1, columns=["a"]) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"a": 1', "expecting ',' delimiter"),
        ('{"a": 1} {"a": 2}', "something follows the value"),
        ("[1]", "an object is expected"),
        ("7", "an object is expected"),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ('{"a": -Infinity}', "-Infinity is not a JSON value"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' appears twice in one object"),
        ('{"b": {"x": 1, "x": 1}}', "the key 'x' appears twice in one object"),
        ("{'a': 1}", "expecting property name enclosed in double quotes"),
        ('{"a": 01}', "expecting ',' delimiter"),
        ('{"a": "' + "\t" + '"}', "invalid control character at"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "it is nested more than 64 deep"),
    ],
)
def test_what_is_not_one_object_is_refused_with_its_line(project, line, problem):
    project.put("in.json", f'{{"a": 1}}\n{line}\n{{"a": 3}}\n')
    found = project.refused()
    assert (found.code, found.message, found.location.line) == ("DAT020", problem, 2)
    assert project.read(on_bad_lines="skip", schema=(Field("a", "int64"),)) == {"a": [1, 3]}
    assert (project.counts["rows_read"], project.counts["rows_rejected"]) == (3, 1)
    project.read(on_bad_lines="warn", schema=(Field("a", "int64"),))
    assert project.events == [("row_skipped", {"file": "in.json", "line": 2, "problem": problem, "skipped": 1})]


@pytest.mark.parametrize(
    ("content", "problem", "line"),
    [
        ('[{"a": 1},\n', "expecting value", 2),
        ('[{"a": 1}\n{"a": 2}]', "a comma or the end of the array is expected", 2),
        ('[{"a": 1}', "a comma or the end of the array is expected", 1),
        ('[{"a": 1},\n]', "expecting value", 2),
        ('[{"a": 1}]\n[]', "something follows the array", 2),
        ('[{"a": 1},\n\n{"a" 2}]', "expecting ':' delimiter", 3),
        ('[{"a": 1},\n{"a": "2]', "unterminated string starting at", 2),
        ('[{"a": 1},\n[]]', "an object is expected", 2),
        ('[{"a": 1},\n{"a": NaN}]', "NaN is not a JSON value", 2),
    ],
)
def test_what_is_wrong_in_an_array_is_refused_with_its_line(project, content, problem, line):
    project.put("in.json", content)
    found = project.refused()
    assert (found.code, found.message, found.location.line) == ("DAT020", problem, line)


def test_half_of_a_surrogate_pair_is_no_text(project):
    project.put("in.json", '{"a": "x"}\n{"a": "\\ud800"}\n')
    found = project.refused()
    assert (found.code, found.location.line) == ("DAT001", 2)
    assert found.message.isascii()
    for kind in ("utf8", "json"):
        assert project.refused(dtype={"a": kind}).hint == (
            "no dtype holds it: correct the file, set on_reject: quarantine, or leave 'a' out by 'columns'"
        )
        schema = (Field("a", kind),)
        kept = project.read(schema=schema, dtype={"a": kind}, on_reject="quarantine")["a"]
        assert kept == ["x" if kind == "utf8" else '"x"']
    project.put("two.json", '{"a": "\\ud800", "b": 1}\n')
    assert project.read("two.json", columns=["b"]) == {"b": [1]}
    project.put("in.json", '{"a": "x"}\n{"a": "\\ud800"}\n')
    for key in ("\\ud800", ""):
        project.put("in.json", f'{{"{key}": "x"}}\n')
        assert project.refused().code == "DAT004"


def test_composed_values_have_a_limited_depth(project):
    project.put("in.json", '{"a": ' + "[" * 64 + "]" * 64 + "}\n")
    assert project.read() == {"a": ["[" * 64 + "]" * 64]}
    project.put("in.json", '{"a": ' + "[" * 65 + "]" * 65 + "}\n")
    assert project.refused().code == "DAT001"


def test_nothing_to_read(project):
    for content in ("", "\n\n", "[]"):
        project.put("in.json", content)
        assert project.refused().code == "DAT004"
        assert project.read(columns=["a"], dtype={"a": "int64"}) == {"a": []}
    assert project.refused("none.json").code == "DRV001"


def file_of(rows, array):
    return "[\n" + ",\n".join(rows) + "\n]" if array else "\n".join(rows)


@pytest.mark.parametrize("array", [False, True])
def test_rows_are_found_again_in_any_piece_of_a_large_file(project, array):
    rows = [f'{{"id": {n}, "text": "{"é" * (n % 97)}"}}' for n in range(40_000)]
    project.put("in.json", file_of(rows, array))
    found = project.read()
    assert found["id"] == list(range(40_000))
    assert found["text"] == ["é" * (n % 97) for n in range(40_000)]
    rows[39_990] = '{"id": "no"}'
    project.put("in.json", file_of(rows, array))
    assert project.refused(sample=10).location.line == 39_991 + array


def test_a_row_may_be_cut_anywhere_between_pieces(project):
    tail = '", "a": -1.5e3, "b": true, "c": "\\ud83d\\ude00", "d": [null]} , {"a": 12, "d": {}}]'
    for cut in range(2, len(tail) + 2):
        head = '[{"p": "'
        project.put("in.json", head + "x" * (PIECE - len(head) - len(tail) + cut) + tail)
        assert project.read(columns=["a", "b", "c", "d"]) == {
            "a": [-1500.0, 12.0],
            "b": [True, None],
            "c": ["😀", None],
            "d": ["[null]", "{}"],
        }


def test_a_row_has_a_limited_size(project):
    for content in ('{"a": "' + "x" * (65 << 20) + '"}\n', '[\n{"a": "' + "x" * (65 << 20), "\n" + " " * (65 << 20)):
        project.put("in.json", content)
        assert project.refused().code in ("DAT007", "DAT004")
    project.put("in.json", '{"a": 1}\n{"a": "' + "x" * (65 << 20) + '"}\n')
    found = project.refused()
    assert (found.code, found.location.line) == ("DAT007", 2)
    assert json_files.MAX_ROW == 64 << 20


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in.json", content)
    return file.getvalue()


PACKERS = {
    "gz": gzip.compress,
    "zst": lambda content: pa.Codec("zstd").compress(content).to_pybytes(),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files(project, kind):
    content = PACKERS[kind](b'{"a": 1}\n' * 50_000)
    project.put(f"in.json.{kind}", content)
    assert project.read(f"in.json.{kind}") == {"a": [1] * 50_000}
    project.put("plain.json", content)
    names = {"gz": "gzip", "zst": "zstd"}
    assert project.read("plain.json", compression=names.get(kind, kind)) == {"a": [1] * 50_000}
    project.put(f"in.json.{kind}", content[:-9])
    assert project.refused(f"in.json.{kind}", sample=1).code == "DAT013"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings(project, encoding):
    project.put("in.json", '{"á": "ž"}'.encode(encoding))
    assert project.read(encoding=encoding) == {"á": ["ž"]}
    project.put("in.json", b'{"a": "\xff"}\n')
    assert project.refused().code == "DAT003"


def test_rows_are_counted_or_estimated(project):
    project.put("in.json", '{"a": 1}\n' * 1000)
    assert project.describe().rows == 1000
    project.put("in.json", '{"a": 1}\n' * 1_000_000)
    assert 900_000 < project.describe(sample=100).rows < 1_100_000


def test_the_state_is_that_of_names_sizes_and_times(project):
    project.put("in.json", '{"a": 1}\n')
    described = project.describe()
    assert described.state == project.describe().state
    confirm = Driver().confirm
    assert confirm(Config("in.json"), described.schema, project.context()) == described.state
    project.put("in.json", '{"a": 1.5}\n')
    with pytest.raises(OsirisError) as caught:
        confirm(Config("in.json"), described.schema, project.context())
    assert [(d.code, d.location.line) for d in caught.value.diagnostics] == [("DAT001", 1)]
    assert confirm(Config("in.json"), project.describe().schema, project.context()) != described.state
    project.put("in.json", '{"a": 1, "b": 1}\n')
    with pytest.raises(OsirisError) as caught:
        confirm(Config("in.json"), described.schema, project.context())
    assert [d.code for d in caught.value.diagnostics] == ["DAT011"]
    assert confirm(Config("in.json"), described.schema, project.context("quarantine"))
    assert project.counts == {}


def test_rows_that_do_not_fit_are_set_aside(project):
    lines = ['{"a": 1}', '{"a": "x"}', "oops", '{"a": 2, "b": 3}', '{"a": {"c": 1}}', '{"a": 5}']
    project.put("in.json", "\n".join(lines))
    assert project.read(schema=(Field("a", "int64"),), on_reject="quarantine") == {"a": [1, 5]}
    assert (project.root / "rejected.csv").read_text() == (
        "file,line,column,value,reason,row\n"
        'in.json,2,a,"""x""",not int64,\n'
        "in.json,3,,oops,expecting value,\n"
        "in.json,4,b,3,no column of the plan,\n"
        'in.json,5,a,"{""c"":1}",not int64,\n'
    )
    assert {name: project.counts[name] for name in ("rows_read", "rows_rejected")} == {
        "rows_read": 6,
        "rows_rejected": 4,
    }
    assert project.events == [("rows_quarantined", {"file": "rejected.csv", "rows": 4})]


def test_nothing_is_set_aside_where_all_fits(project):
    project.put("in.json", '{"a": 1}\n')
    assert project.read(on_reject="quarantine") == {"a": [1]}
    assert [path.name for path in project.root.iterdir()] == ["in.json"]
    assert project.events == []
