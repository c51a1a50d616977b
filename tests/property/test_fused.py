"""Files that are read inside of the statement that needs them give what they give when they are read by themselves.

A fused statement may fail where the reader would not, as everything is then run again unfused. It may never give rows
that the reader does not give. Cells that a statement does not need are looked at by the reader alone.
"""

from __future__ import annotations

import decimal
import gzip
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.components.duckdb_processor.driver import Config as QueryConfig
from osiris.components.duckdb_processor.driver import Driver as Processor
from osiris.components.filesystem_csv_extractor.driver import Config as CsvConfig
from osiris.components.filesystem_csv_extractor.driver import Driver as CsvReader
from osiris.components.filesystem_parquet_extractor.driver import Config as ParquetConfig
from osiris.components.filesystem_parquet_extractor.driver import Driver as ParquetReader
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Schema
from osiris.runner.fused import fused_rows
from osiris.table.digest import Digester

pytestmark = pytest.mark.usefixtures("one_engine")

ALL = "SELECT * FROM src"
FUSED, READ, REFUSED = "fused", "read", "refused"
"""What becomes of a case: both ways give its rows; the reader does, after the statement failed; neither does."""
NOT_LOOKED_AT = ("DAT001", "DAT003")
"""What the reader refuses, and a statement that does not need the cell may pass by."""


@dataclass(frozen=True)
class Source:
    """A planned source: the reader, its config, and what it said of the files when they were planned."""

    reader: object
    config: object
    schema: Schema
    native: tuple[str, ...] | None

    @property
    def fusible(self):
        return self.native is not None and {column.name for column in self.schema} <= set(self.native)


@dataclass(frozen=True)
class Outcome:
    """What a statement gave: rows and their digest, or the code of its failure; and the rows read of each source."""

    rows: list[str] | None
    digest: str | None
    code: str | None
    read: dict[str, int]

    @property
    def data(self):
        return self.rows, self.digest


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path, row_group_size=3)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def context(folder, step, counts, **more):
    def count(metric, number):
        counts[metric] = counts.get(metric, 0) + number

    (folder / "scratch").mkdir(exist_ok=True)
    return StepContext(step, folder, folder, folder / "scratch", count=count, **more)


def plan(folder, paths, **config):
    sources = {}
    for step, path in paths.items():
        parquet = path.endswith(".parquet")
        reader = ParquetReader() if parquet else CsvReader()
        settled = ParquetConfig(path, **config) if parquet else CsvConfig(path, **({"sample": 5} | config))
        described = reader.describe(settled, context(folder, step, {}))
        sources[step] = Source(reader, settled, described.schema, described.native)
    return sources


def shown(batches, order):
    """Return rows as texts, of times just their numbers: Python does not have all of them."""

    def plain(column):
        kind = column.type
        bits = 64 if pa.types.is_timestamp(kind) else 32 if pa.types.is_date32(kind) else None
        return (column.view(f"int{bits}") if bits else column).to_pylist()

    rows = [repr(row) for batch in batches for row in zip(*map(plain, batch.columns), strict=True)]
    return rows if order == "fixed" else sorted(rows)


def execute(folder, sources, query, *, fused):
    counts = {step: {} for step in sources}

    def opened(step, source):
        ctx = context(folder, step, counts[step])
        if fused:
            return fused_rows(source.reader.relation(source.config, source.schema, ctx), source.schema)
        return source.reader.read(source.config, source.schema, ctx)

    rows = digest = code = None
    try:
        inputs = {step: opened(step, source) for step, source in sources.items()}
        ctx = context(folder, "q", {}, sources={step: step for step in sources})
        out = Processor().describe(QueryConfig(query), {step: s.schema for step, s in sources.items()}, ctx)
        stream = Processor().transform(QueryConfig(query), inputs, out.schema, ctx)
        batches, digester = list(stream.batches()), Digester(out.schema, stream.order)
        for batch in batches:
            digester.update(batch)
        rows, digest = shown(batches, stream.order), digester.result()["value"]
    except OsirisError as error:
        code = error.diagnostics[0].code
    return Outcome(rows, digest, code, {step: count.get("rows_read", 0) for step, count in counts.items()})


def both_ways(planned, changed=None, query=ALL, paths=None, **config):
    """Plan over some files, change them, and run the statement fused and unfused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder, planned)
        sources = plan(folder, paths or {"src": next(iter(planned))}, **config)
        assert all(source.fusible for source in sources.values())
        put(folder, changed or {})
        return execute(folder, sources, query, fused=True), execute(folder, sources, query, fused=False)


def agree(fused, plain):
    if fused.rows is not None:
        assert plain.code is None, f"refused with {plain.code} unless fused"
        assert fused.data == plain.data


def expect(expected, fused, plain):
    agree(fused, plain)
    found = REFUSED if plain.code else READ if fused.code else FUSED
    assert found == expected
    assert found != FUSED or fused.read == plain.read


ROWS = "".join(f"{n},{n}.50,t{n},2024-01-0{n},{'true' if n % 2 else 'false'}\n" for n in range(1, 8))
CLEAN = "id,v,w,d,b\n" + ROWS

# Rows after the seven clean ones.
TAILS = {
    FUSED: [
        "",
        "8,1.5,x,2024-01-08,true",
        ",,,,",
        "\n\n8,1.5,x,,\n\n\n",
        "8,1.5, x ,,\n",
        "8,1.5,x,,\r\n9,2.5,y,,\r\n",
        "8,1.5,x,,\r9,2.5,y,,\r",
        "8,1.5,a\\,,\n",
        "8,1.5,\\N,,\n8,1.5,NULL,,\n8,1.5,#x,,\n8,1.5,'a',,\n8,1.5,a;b\tc,,\n",
        "8,1.5,\u00e9\U0001f600\u2028\u0085,,\n",
        "8,1.5,a\x00b,,\n",
        "8,1.5,\x1a\x0b\x0c,,\n",
        "8,1.5," + "x" * 100_000 + ",,\n",
    ],
    READ: [
        '8,1.5," ",,true\n',
        '8,1.5,"x",,',
        '8,1.5,"",,\n',
        '"8","1.5","x","2024-01-08","true"\n',
        '8,1.5,"",,true\n',
        '8,1.5,"a""b",,true\n',
        '8,1.5,"""",,true\n',
        '8,1.5,"a,b",,true\n',
        '8,1.5,"a\nb",,true\n',
        '8,1.5,"a\r\nb",,true\n',
        '8,1.5,"9,2.5,y,,true\n",,true\n',
        '8,1.5,\t"a",,true\n',
        '8,1.5,a"b",,true\n',
        "8,1.5," + "x" * 3_000_000 + ",,\n",
        '8,1.5,"a"b,,true\n',
        '8,1.5,"a"  ,,true\n',
        '8,1.5, "a",,true\n',
        '8,1.5,"a\\"b",,true\n',
    ],
    REFUSED: [
        '8,1.5, "a,b",,true\n',
        "8\n",
        "8,1.5,x,\n",
        "8,1.5,x,,,y\n",
        "8,1.5,x,,,\n",
        "8,1.5,x,,true,",
        '8,1.5,"x",,true,\n',
        '8,1.5,"x",,true,""\n',
        " \n",
        b"\x00\n",
        '8,1.5,"x\n9,2.5,y,,true\n',
        '8,1.5,"x',
        b"8,1.5,\xff\xfe,,\n",
        b"8,1.5,\xed\xa0\x80,,\n",
        b"8\x00,1.5,x,,\n",
        b"\xef\xbb\xbf8,1.5,x,,\n",
        '8,"",x,,true\n',
        '"8" ,1.5,x,,true\n',
        ' "8",1.5,x,,true\n',
        '8,1.5,x,"2024-01-08" ,true\n',
        "id,v,w,d,b\n",
    ],
}


@pytest.mark.parametrize(
    ("tail", "expected"), [(tail, key) for key, tails in TAILS.items() for tail in tails], ids=lambda v: repr(v)[:24]
)
def test_lines(tail, expected):
    text = CLEAN.encode() + (tail if isinstance(tail, bytes) else tail.encode())
    expect(expected, *both_ways({"s.csv": CLEAN}, {"s.csv": text}))


FITTING = {
    "id": ["0", "-1", "9223372036854775807", "-9223372036854775808", ""],
    "v": ["0", "-0.5", "0.00", "-7", "9" * 36 + ".99", ""],
    "d": ["2024-02-29", "0001-01-01", "9999-12-31", ""],
    "b": ["true", "false", ""],
}
MISFITTING = {
    "id": "007 +1 -0 1.0 1_000 0x1F 1e5 9223372036854775808 -9223372036854775809 00 . - --1 1. .1 true null NaN \u0663",
    "v": "-0 -0.0 -0.00 .5 5. +1.5 1.555 0.001 1e5 01.5 00.5 1_0.5 NaN inf 1..5 --1.5 -.5 1.5e0 0x1.8 "
    + "1" * 37
    + ".1",
    "d": "2020-02-30 2023-02-29 0000-01-01 10000-01-01 2024-1-1 2024/01/01 -0001-01-01 20240101 2024-13-01 infinity "
    "epoch today 2024-01-01T00:00:00 2024-01-01BC +2024-01-01",
    "b": "True TRUE t 1 0 yes F no on",
}
SPACED = {"id": [" 1", "1 ", "\t1", "1\u00a0"], "v": [" 1.5", "1.5 "], "d": [" 2024-01-01"], "b": ["true ", " true"]}


@pytest.mark.parametrize("column", FITTING)
def test_cells(column):
    def outcomes(cell):
        line = ",".join(cell if name == column else "" for name in ("id", "v", "w", "d", "b")) + "\n"
        return both_ways({"s.csv": CLEAN}, {"s.csv": CLEAN + line})

    for cell in FITTING[column]:
        expect(FUSED, *outcomes(cell))
    for cell in [*MISFITTING[column].split(), *SPACED[column]]:
        expect(REFUSED, *outcomes(cell))


# The files of a plan, what they are replaced by, and the config of the reader.
TEXT = "x,w\nq,a\nr,b\n"
FILES = {
    "bom": ("\ufeff" + TEXT, None, {}, FUSED),
    "crlf": (TEXT.replace("\n", "\r\n"), None, {}, FUSED),
    "cr": (TEXT.replace("\n", "\r"), None, {}, FUSED),
    "header_only": (TEXT, "x,w\n", {}, FUSED),
    "header_without_end": (TEXT, "x,w", {}, FUSED),
    "quoted_header": (TEXT, '"x","w"\nq,a\n', {}, READ),
    "bom_later": (TEXT, "\ufeff" + TEXT, {}, FUSED),
    "blank_before_header": ("\n" + TEXT, None, {}, READ),
    "blanks_after_bom": (TEXT, "\ufeff\r\n" + TEXT, {}, READ),
    "space_before_header": (TEXT, " \n" + TEXT, {}, REFUSED),
    "swapped_later": (TEXT, "w,x\na,q\n", {}, REFUSED),
    "more_later": (TEXT, "x,w,z\nq,a,1\n", {}, REFUSED),
    "semicolon": (TEXT.replace(",", ";"), TEXT.replace(",", ";") + 's;"a;b"\n', {"delimiter": ";"}, READ),
    "semicolon_more": (TEXT.replace(",", ";"), TEXT.replace(",", ";") + "s;a;\n", {"delimiter": ";"}, REFUSED),
    "tab": (TEXT.replace(",", "\t"), TEXT.replace(",", "\t") + '"s"\t"a\tb"\n', {"delimiter": "\t"}, READ),
    "tab_space_quote": (TEXT.replace(",", "\t"), TEXT.replace(",", "\t") + 's\t "a"\n', {"delimiter": "\t"}, READ),
    "typed": ("x,w\n1,a\n", "x,w\n-128,a\n", {"dtype": {"x": "int8"}}, FUSED),
    "typed_misfit": ("x,w\n1,a\n", "x,w\n128,a\n", {"dtype": {"x": "int8"}}, REFUSED),
    "typed_text": ("x,w\n1,a\n", "x,w\n007,a\n", {"dtype": {"x": "utf8"}}, FUSED),
    "columns": ("x,w,z\n1,a,2\n", "x,w,z\n1,a,2\n07,b,3\n", {"columns": ["w", "z"]}, FUSED),
    "columns_more": ("x,w,z\n1,a,2\n", "x,w,z\n1,a,2,\n", {"columns": ["w", "z"]}, REFUSED),
    "columns_moved": ("x,w,z\n1,a,2\n", "z,x,w\n2,1,a\n", {"columns": ["w", "z"]}, FUSED),
    "wide": (",".join(f"c{n}" for n in range(500)) + "\n" + ",".join(["1"] * 500) + "\n", None, {}, FUSED),
}


@pytest.mark.parametrize("case", FILES)
def test_files(case):
    planned, changed, config, expected = FILES[case]
    expect(expected, *both_ways({"s.csv": planned}, {"s.csv": changed} if changed else None, **config))


@pytest.mark.parametrize("name", ["a b.csv", "it's.csv", 'a"b.csv', "\u00f6.csv", "a, b.csv", "a$x.csv", "d=1/x=9.csv"])
def test_names(name):
    expect(FUSED, *both_ways({name: TEXT}))


@pytest.mark.parametrize("number", [2, 5, 6, 60])
def test_many_files_come_in_order_and_all_rows_are_counted(number):
    expect(FUSED, *both_ways({f"p{n}.csv": f"x,w\n{n},a\n" for n in range(number)}, paths={"src": "p*.csv"}))


def test_rows_of_a_file_that_two_sources_read_are_counted_once_for_each():
    query = "SELECT id, 1 AS n FROM src UNION ALL SELECT id, 2 AS n FROM oth"
    expect(FUSED, *both_ways({"s.csv": CLEAN}, query=query, paths={"src": "s.csv", "oth": "s.csv"}))


@pytest.mark.parametrize(
    "last", ["", "\nx,w\nr,b\n", "w,x\na,q\n", "x,v\nr,b\n", "\ufeffx,w\nr,b\n", "x,w\r\nr,b\r\n", "x,w\nr,b,\n"]
)
@pytest.mark.parametrize("columns", [None, ["w", "x"]])
def test_the_last_of_many_files(last, columns):
    planned = {f"{name}.csv": TEXT for name in "abc"}
    agree(*both_ways(planned, {"c.csv": last}, paths={"src": "*.csv"}, columns=columns))


LEFT = "id,w\n" + "".join(f"{n},t{n % 7}\n" for n in range(60))
RIGHT = "id,v\n" + "".join(f"{n * 2},{n}.25\n" for n in range(40))
QUERIES = [
    "SELECT id FROM src WHERE w = 't3'",
    "SELECT id FROM src WHERE false",
    "SELECT id FROM src ORDER BY id DESC LIMIT 3",
    "SELECT id FROM src LIMIT 3",
    "SELECT count(*) AS n FROM src",
    "SELECT w, count(*) AS n, sum(id) AS s, min(w) AS m FROM src GROUP BY w ORDER BY w",
    "SELECT id, sum(id) OVER (ORDER BY id) AS s FROM src QUALIFY s > 10",
    "SELECT s.id, w, v FROM src AS s JOIN oth AS o ON s.id = o.id ORDER BY s.id",
    "SELECT count(*) AS n FROM src AS s LEFT JOIN oth AS o ON s.id = o.id WHERE o.id IS NULL",
    "SELECT id FROM src UNION ALL SELECT id FROM oth",
    "SELECT id FROM src WHERE id IN (SELECT id FROM oth WHERE v > 3)",
    "WITH c AS (SELECT id FROM src) SELECT a.id FROM c AS a JOIN c AS b ON a.id = b.id JOIN oth ON oth.id = a.id",
]


@pytest.mark.parametrize("query", QUERIES)
def test_queries(query):
    paths = {"src": "a.csv"} | ({"oth": "b.csv"} if "oth" in query else {})
    expect(FUSED, *both_ways({"a.csv": LEFT, "b.csv": RIGHT}, query=query, paths=paths))


@pytest.mark.parametrize("query", ["SELECT x / 0 AS y FROM src", "SELECT CAST(w AS INTEGER) AS y FROM src"])
def test_a_statement_that_fails_or_not_does_so_both_ways(query):
    fused, plain = both_ways({"s.csv": "x,w\n1,a\n"}, query=query)
    assert (fused.data, fused.code) == (plain.data, plain.code)


def digits(precision, scale):
    full = decimal.Decimal(10**precision - 1).scaleb(-scale, decimal.Context(prec=80))
    return pa.array(
        [full, full.copy_negate(), None, decimal.Decimal(1).scaleb(-scale)], pa.decimal128(precision, scale)
    )


INTEGERS = {f"{sign}int{bits}": bits for bits in (8, 16, 32, 64) for sign in ("", "u")}
ENDS = {
    name: (0, 2**bits - 1) if name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for name, bits in INTEGERS.items()
}
MOMENTS = [0, -1, None, 2**40]
VALUES = {
    **{name: pa.array([*ends, None, 1], name) for name, ends in ENDS.items()},
    **{f"decimal_{p}_{s}": digits(p, s) for p, s in [(1, 0), (9, 9), (18, 3), (19, 2), (38, 0), (38, 38)]},
    "timestamp": pa.array(MOMENTS, pa.timestamp("us")),
    "instant": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
    "far": pa.array([2**62, -(2**62), None], pa.timestamp("us")),
    "date": pa.array([0, -719162, None, 2932896], pa.date32()),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["", "a\x00b", None, "\u00e9\U0001f600", "a" * 300, "a" * 299 + "b"]),
    "large_text": pa.array(["", None, "b"], pa.large_string()),
    "dictionary": pa.array(["x", "y", None, "x"]).dictionary_encode(),
}
FILTERS = ["v IS NULL", "v IS NOT NULL", "v = (SELECT max(v) FROM src)", "v IN (SELECT v FROM src WHERE k < 2)"]
SHAPES = [ALL, "SELECT v FROM src ORDER BY v, k", "SELECT v, count(*) AS n FROM src GROUP BY v ORDER BY v"]


@pytest.mark.parametrize("name", VALUES)
def test_types_of_parquet(name):
    table = pa.table({"k": range(len(VALUES[name])), "v": VALUES[name]})
    for query in [*SHAPES, *(f"SELECT k FROM src WHERE {where}" for where in FILTERS)]:
        fused, plain = both_ways({"a.parquet": table}, query=query)
        assert fused.rows is not None
        agree(fused, plain)


UNLIKE = {
    "decimal_76": pa.array([decimal.Decimal(10**70), None], pa.decimal256(76, 3)),
    **{f"timestamp_{unit}": pa.array(MOMENTS, pa.timestamp(unit)) for unit in ("ms", "ns")},
    "zoned": pa.array(MOMENTS, pa.timestamp("us", "Europe/Prague")),
    "time": pa.array([0, 86399999999, None], pa.time64("us")),
    "binary": pa.array([b"", b"\x00\xff", None]),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, None], pa.binary(16))),
    "list": pa.array([[1, None], [], None]),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": ""}]),
    "double": pa.array([1.0, None]),
}
UNFUSED = {
    "packed": ("s.csv.gz", gzip.compress(TEXT.encode()), {}),
    "latin": ("s.csv", TEXT.encode("latin-1"), {"encoding": "latin-1"}),
    "wide": ("s.csv", TEXT.encode("utf-16"), {"encoding": "utf-16"}),
    "braces": ("{a}.csv", TEXT, {}),
    "comment": ("s.csv", TEXT, {"comment": "#"}),
    "nulls": ("s.csv", TEXT, {"na_values": ["NA"]}),
    "lenient": ("s.csv", TEXT, {"on_bad_lines": "skip"}),
    "limited": ("s.csv", TEXT, {"limit": 1}),
    "one_column": ("s.csv", "x\n1\n", {}),
    **{name: ("a.parquet", pa.table({"v": values}), {}) for name, values in UNLIKE.items()},
    "limited_parquet": ("a.parquet", pa.table({"v": [1, 2]}), {"limit": 1}),
}


@pytest.mark.parametrize("case", UNFUSED)
def test_what_is_not_offered(tmp_path, case):
    name, content, config = UNFUSED[case]
    put(tmp_path, {name: content})
    assert not plan(tmp_path, {"src": name}, **config)["src"].fusible


TABLE = pa.table({"k": range(12), "w": ["a", None, "b"] * 4})
COUNTED = [
    ALL,
    "SELECT k FROM src WHERE k = 4",
    "SELECT count(w) AS n FROM src WHERE k > 100",
    "SELECT k FROM src ORDER BY k DESC LIMIT 2",
    "SELECT count(*) AS n FROM src",
    "SELECT min(k) AS a, max(k) AS b FROM src",
]


@pytest.mark.parametrize("query", COUNTED)
@pytest.mark.parametrize("files", [1, 7])
def test_rows_of_parquet_are_counted(query, files):
    fused, plain = both_ways({f"p{n}.parquet": TABLE for n in range(files)}, query=query, paths={"src": "p*.parquet"})
    assert plain.read == {"src": 12 * files}
    expect(FUSED, fused, plain)


REPLACED = {
    "order": TABLE.select(["w", "k"]),
    "narrow": TABLE.set_column(0, "k", TABLE["k"].cast(pa.int32())),
    "more": TABLE.append_column("z", TABLE["k"]),
    "less": TABLE.select(["k"]),
    "none": TABLE.slice(0, 0),
    "bytes": TABLE.set_column(1, "w", TABLE["w"].cast(pa.binary())),
    "empty": b"",
    "text": b"k,w\n1,a\n",
}


@pytest.mark.parametrize("case", REPLACED)
@pytest.mark.parametrize("columns", [None, ["w", "k"]])
def test_parquet_that_was_replaced(case, columns):
    planned = {f"{name}.parquet": TABLE for name in "abc"}
    for which in "ac":
        changed = {f"{which}.parquet": REPLACED[case]}
        agree(*both_ways(planned, changed, paths={"src": "*.parquet"}, columns=columns))


# Random files: some that are like the planned ones up to a tail, and some of cells of any kind.
SAMPLE = "id,v,w\n" + "".join(f"{n},{n}.50,t{n}\n" for n in range(6))
ROW = st.builds("{},{},{}\n".format, *[st.text(st.sampled_from('019.-+e" x'), max_size=5)] * 3)
TAIL = st.text(st.sampled_from('01259.-+eE",\n\r \tx;#'), max_size=24) | st.lists(ROW, max_size=4).map("".join)
ASKED = st.sampled_from(
    [ALL, "SELECT w, v, id FROM src WHERE id >= 0 OR id IS NULL", "SELECT w FROM src", "SELECT count(*) AS n FROM src"]
)
BARE = st.sampled_from(
    ["", " ", "0", "7", "-1", "007", "1.5", "2.25", "true", "2024-02-29", "x", " a ", "\\", "NULL", "\u00e9"]
)
KINDS = (
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.decimals(-(10**9), 10**9, places=2).map(str),
    st.dates().map(str),
    st.sampled_from(["true", "false"]),
    st.text(st.sampled_from("ab '\\\u00e9\x00"), max_size=4),
    BARE,
)
QUOTED = st.text(st.sampled_from('ab ",\n\r;\t'), max_size=5).map(lambda text: '"' + text.replace('"', '""') + '"')
RAW = st.text(st.sampled_from('a1 ",;\t|'), max_size=3)
CHOSEN = st.sampled_from([None, ["c1", "c0"]])


@st.composite
def texts(draw):
    """Draw a delimiter, and files of like columns as they are planned and as they are read, with odd cells and ends."""
    delimiter, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n"]))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4))
    odd = draw(st.sampled_from([st.nothing(), st.just(""), QUOTED, BARE, RAW]))
    header, planned, changed = [[f"c{n}" for n in range(len(kinds))]], {}, {}
    for name in ["a.csv", "b.csv", "c.csv"][: draw(st.integers(1, 3))]:
        rows = draw(st.lists(st.tuples(*kinds), max_size=4))
        more = draw(st.lists(st.tuples(*(kind | odd for kind in kinds)), max_size=3))
        planned[name] = end.join(map(delimiter.join, header + rows))
        extra = draw(st.sampled_from(["", "", "", end, delimiter, " ", '"', end + end, end + '"x"']))
        changed[name] = (
            draw(st.sampled_from(["", "", "\ufeff", end])) + end.join(map(delimiter.join, header + rows + more)) + extra
        )
    return delimiter, planned, changed


def check_tail(tail, query):
    fused, plain = both_ways({"s.csv": SAMPLE}, {"s.csv": SAMPLE + tail}, query=query)
    if query == ALL or plain.code not in NOT_LOOKED_AT:
        agree(fused, plain)


def check_text(delimiter, planned, changed, columns):
    fused, plain = both_ways(planned, changed, paths={"src": "*.csv"}, delimiter=delimiter, columns=columns)
    if columns is None or plain.code not in NOT_LOOKED_AT:
        agree(fused, plain)


@settings(max_examples=60, deadline=None)
@given(TAIL, ASKED)
def test_random_tails(tail, query):
    check_tail(tail, query)


@settings(max_examples=60, deadline=None)
@given(texts(), CHOSEN)
def test_random_files(drawn, columns):
    check_text(*drawn, columns)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(TAIL, ASKED)
def test_many_random_tails(tail, query):
    check_tail(tail, query)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(texts(), CHOSEN)
def test_many_random_files(drawn, columns):
    check_text(*drawn, columns)


@pytest.mark.parametrize("kind", ["int32", "utf8", "decimal"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_random_comparisons_over_parquet(kind, data):
    values = {
        "int32": (st.integers(-5, 5), pa.int32()),
        "utf8": (st.text("ab", max_size=3), pa.string()),
        "decimal": (st.decimals(-5, 5, places=1), pa.decimal128(9, 1)),
    }
    cells, arrow = values[kind]
    column = pa.array(data.draw(st.lists(st.none() | cells, max_size=12)), arrow)
    sign = data.draw(st.sampled_from(["=", "<>", "<", ">=", "IS DISTINCT FROM"]))
    bound = data.draw(cells)
    shown_bound = f"'{bound}'" if kind == "utf8" else f"{bound}"
    query = f"SELECT k, v FROM src WHERE {data.draw(st.sampled_from(['', 'NOT ']))}(v {sign} {shown_bound})"
    fused, plain = both_ways(
        {"a.parquet": pa.table({"k": pa.array(range(len(column)), "int64"), "v": column})}, query=query
    )
    assert fused.rows is not None
    agree(fused, plain)
