"""Files that are read inside a statement give the same rows as when they are read by their own step.

A fused statement may fail where the reader would not, because everything then runs again unfused. It may never give
rows that the reader does not give. Text files are never fused.
"""

from __future__ import annotations

import decimal
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
from osiris.runner.worker.steps import fused_rows
from osiris.table.digest import Digester

pytestmark = pytest.mark.usefixtures("one_engine")

ALL = "SELECT * FROM src"
FUSED, READ, REFUSED = "fused", "read", "refused"
"""Outcomes of a case: both ways give its rows; only the reader does, after the statement failed; neither does."""


@dataclass(frozen=True)
class Source:
    """A planned source: the reader, its config, and its description of the files at that time."""

    reader: object
    config: object
    schema: Schema
    native: tuple[str, ...] | None

    @property
    def fusible(self):
        return self.native is not None and {column.name for column in self.schema} <= set(self.native)


@dataclass(frozen=True)
class Outcome:
    """The result of a statement: rows and digest, or the code of its failure; and the rows read of each source."""

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
        settled = ParquetConfig(path, **config) if parquet else CsvConfig(path, **config)
        described = reader.describe(settled, context(folder, step, {}))
        sources[step] = Source(reader, settled, described.schema, described.native)
    return sources


def shown(batches, order):
    """Return rows as texts, with times as plain numbers: Python cannot represent all of them."""

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


@pytest.mark.parametrize("number", [2, 5, 6, 60])
def test_many_files_come_in_order_and_all_rows_are_counted(number):
    files = {f"p{n}.parquet": pa.table({"x": [n]}) for n in range(number)}
    expect(FUSED, *both_ways(files, paths={"src": "p*.parquet"}))


@pytest.mark.parametrize("name", ["a b", "it's", 'a"b', "\u00f6", "a, b", "a$x", "d=1/x=9"])
def test_names(name):
    expect(FUSED, *both_ways({f"{name}.parquet": pa.table({"x": [1, 2]})}))


def test_rows_of_a_file_that_two_sources_read_are_counted_once_for_each():
    query = "SELECT id, 1 AS n FROM src UNION ALL SELECT id, 2 AS n FROM oth"
    expect(FUSED, *both_ways({"s.parquet": LEFT}, query=query, paths={"src": "s.parquet", "oth": "s.parquet"}))


LEFT = pa.table({"id": range(60), "w": [f"t{n % 7}" for n in range(60)]})
RIGHT = pa.table({"id": range(0, 80, 2), "v": [decimal.Decimal(n).scaleb(-2) for n in range(25, 4025, 100)]})
QUERIES = [
    "SELECT id FROM src WHERE w = 't3'",
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
    paths = {"src": "a.parquet"} | ({"oth": "b.parquet"} if "oth" in query else {})
    expect(FUSED, *both_ways({"a.parquet": LEFT, "b.parquet": RIGHT}, query=query, paths=paths))


def test_a_statement_that_needs_no_rows():
    fused, plain = both_ways({"a.parquet": LEFT}, query="SELECT id FROM src WHERE false")
    assert (fused.data, fused.code) == (plain.data, None) == (([], plain.digest), None)


@pytest.mark.parametrize("query", ["SELECT x / 0 AS y FROM src", "SELECT CAST(w AS INTEGER) AS y FROM src"])
def test_a_statement_that_fails_or_not_does_so_both_ways(query):
    fused, plain = both_ways({"s.parquet": pa.table({"x": [1], "w": ["a"]})}, query=query)
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


@pytest.mark.long
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
    "text": ("s.csv", b"x,w\n1,a\n", {}),
    "braces": ("{a}.parquet", pa.table({"v": [1]}), {}),
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


@pytest.mark.long
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


TWELVE = b"\x16\x18\x19"
"""How a footer of this size says that there are twelve rows, before the list of groups of them."""


def claiming(folder, rows):
    """Return a file of twelve rows whose footer gives another number."""
    put(folder, {"true.parquet": TABLE})
    content = (folder / "true.parquet").read_bytes()
    assert content.count(TWELVE) == 1
    return content.replace(TWELVE, b"\x16" + bytes([2 * rows]) + b"\x19")


@pytest.mark.parametrize("rows", [11, 13, 0])
@pytest.mark.parametrize("query", COUNTED)
def test_a_file_that_declares_other_rows_than_it_has(tmp_path, rows, query):
    damaged = claiming(tmp_path, rows)
    for paths in ({"src": "p.parquet"}, {"src": "*.parquet"}):
        fused, plain = both_ways({"p.parquet": TABLE, "q.parquet": TABLE}, {"p.parquet": damaged}, query, paths)
        assert (fused.code, fused.rows, plain.code, plain.rows) == ("DAT055", None, "DAT055", None)


def fewer_when_read(folder, query):
    """Run a fused statement over a file that is replaced between reading its footer and its rows."""
    put(folder, {"p.parquet": TABLE})
    source = plan(folder, {"src": "p.parquet"})["src"]
    counts = {}
    relation = source.reader.relation(source.config, source.schema, context(folder, "src", counts))
    put(folder, {"p.parquet": TABLE.slice(0, 7)})
    ctx = context(folder, "q", {}, sources={"src": "src"})
    described = Processor().describe(QueryConfig(query), {"src": source.schema}, ctx)
    inputs = {"src": fused_rows(relation, source.schema)}
    with pytest.raises(OsirisError) as caught:
        list(Processor().transform(QueryConfig(query), inputs, described.schema, ctx).batches())
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    "query", [*COUNTED, "SELECT w, count(*) AS n FROM src GROUP BY w", "SELECT max(w) AS m FROM src"]
)
def test_rows_are_counted_by_the_engine_too(tmp_path, query):
    found = fewer_when_read(tmp_path, query)
    assert (found.code, found.message) == ("DAT055", "p.parquet declares 12 rows, but 7 were read")
