"""What is written is read back: any table of types that text can hold, and any text that is copied."""

import datetime as dt
import decimal
import re
import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.components.filesystem_csv_extractor.driver import Config as ReaderConfig
from osiris.components.filesystem_csv_extractor.driver import Driver as Reader
from osiris.components.filesystem_csv_writer.driver import Config as WriterConfig
from osiris.components.filesystem_csv_writer.driver import Driver as Writer
from osiris.driver import StepContext
from osiris.families.text_format import DECLARED_PATTERNS, PATTERNS, Spelling, spell
from osiris.table import stream
from osiris.types import arrow_type, schema_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", '"', "\n", "\r\n", ",", "NaN", "\ufeff"]
)
DAY = st.dates()
MOMENT = st.datetimes()
SECONDS = MOMENT.map(lambda moment: moment.replace(microsecond=0))
CLOCK = st.times()


def integers(bits, *, signed):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


def decimals(digits, scale):
    unscaled = st.integers(-(10**digits) + 1, 10**digits - 1)
    return unscaled.map(lambda number: decimal.Decimal(number).scaleb(-scale, decimal.Context(prec=80)))


VALUES = {
    "bool": st.booleans(),
    **{f"int{bits}": integers(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    "float32": st.floats(width=32, allow_subnormal=False),
    "float64": st.floats(allow_subnormal=False),
    "decimal(5,2)": decimals(5, 2),
    "decimal(38,0)": decimals(38, 0),
    "decimal(38,38)": decimals(38, 38),
    "decimal(76,20)": decimals(76, 20),
    "utf8": TEXT,
    "date": DAY,
    "time[s]": CLOCK.map(lambda clock: clock.replace(microsecond=0)),
    "time[us]": CLOCK,
    "timestamp[s]": SECONDS,
    "timestamp[us]": MOMENT,
    "timestamp[us,UTC]": MOMENT.map(lambda moment: moment.replace(tzinfo=dt.UTC)),
    "timestamp[ns]": MOMENT.map(lambda moment: moment.replace(year=1700 + moment.year % 500, day=1)),
}
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(0, 6))
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(sorted(VALUES)))
        cells = st.none() | VALUES[kind]
        columns[name] = pa.array(draw(st.lists(cells, min_size=rows, max_size=rows)), arrow_type(kind))
    return pa.table(columns)


FORMS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|-.:e5"),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]),
        "header": st.booleans(),
    }
)
LAYOUT = st.fixed_dictionaries(
    {
        "newline": st.sampled_from(["lf", "crlf", "cr"]),
        "quoting": st.sampled_from(["minimal", "all", "nonnumeric"]),
    }
)


def write(folder, table, form, layout, size=None):
    context = StepContext("step", folder, folder, folder)
    schema = schema_of(table.schema)
    config = WriterConfig("file.csv", **form, **layout)
    Writer().check(config, schema, context)
    Writer().write(config, stream(schema, table.to_batches(size), "fixed"), context)
    return (folder / "file.csv").read_bytes()


def read(folder, schema, **config):
    context = StepContext("step", folder, folder, folder)
    config = ReaderConfig("file.csv", **config)
    described = Reader().describe(config, context)
    assert described.schema == schema
    return Reader().read(config, described.schema, context).reader().read_all()


@settings(max_examples=150, deadline=None)
@given(tables(), FORMS, LAYOUT, st.sampled_from([None, 1, 2]))
def test_what_is_written_is_read_back(table, form, layout, size):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = write(folder, table, form, layout, size)
        if not content.removeprefix(b"\xff\xfe").removeprefix(b"\xef\xbb\xbf"):
            return  # a file without header and rows says nothing of its columns
        if not form["header"]:
            table = table.rename_columns([str(number) for number in range(table.num_columns)])
        if not form["header"] and table.num_columns == 1 and table.column(0).null_count == len(table):
            return  # nor does one of blank lines
        schema = schema_of(table.schema)
        dtype = {column.name: column.type for column in schema}
        found = read(folder, schema, dtype=dtype, **form)
        assert [repr(column.to_pylist()) for column in found.columns] == [
            repr(column.to_pylist()) for column in table.columns
        ]
        assert write(folder, found, form, layout) == write(folder, table, form, layout)


@settings(max_examples=100, deadline=None)
@given(tables(), LAYOUT)
def test_text_that_is_copied_keeps_every_character(table, layout):
    form = {"delimiter": ",", "encoding": "utf-8", "header": True}
    layout = {**layout, "quoting": "minimal"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = write(folder, table, form, layout)
        texts = pa.schema([(column, pa.string()) for column in table.column_names])
        found = read(folder, schema_of(texts), as_text=True)
        assert write(folder, found, form, layout) == content


DIGITS = st.text("0123456789", max_size=4)
NUMBERS = st.text("012.+-eExX_ n", max_size=5) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "-", "+", " ", "0x"]),
    DIGITS | st.integers(0, 2**70).map(str),
    st.just("") | DIGITS.map(".{}".format),
    st.sampled_from(["", "", "e1", "E1", "E-2"]),
)
TIMES = st.text("0123456789:.-TZ +", max_size=12) | st.builds(
    "{:04}-{:02}-{:02}{}{}".format,
    st.integers(0, 10_000),
    st.integers(0, 13),
    st.integers(0, 32),
    st.just("") | st.builds("{}{:02}:{:02}:{:02}".format, st.sampled_from("T t"), *[st.integers(0, 61)] * 3),
    st.sampled_from(["", "Z", "z", "+00:00", "+01:00", "-0100", ".5", ".123456", ".1234567", ".5Z"]),
)
CLOCKS = st.builds("{:02}:{:02}:{:02}{}".format, *[st.integers(0, 61)] * 3, st.sampled_from(["", ".5", ".", "Z"]))
KINDS = {
    "int64": ("integer", NUMBERS),
    "uint64": ("unsigned", NUMBERS),
    "decimal(38,9)": ("decimal", NUMBERS),
    "bool": ("bool", st.sampled_from(["true", "false", "True", "TRUE", "1", "0", "t", "yes", " true", ""])),
    "date": ("date", TIMES),
    "timestamp[us]": ("timestamp", TIMES),
    "timestamp[us,UTC]": ("instant", TIMES),
    "time[us]": ("time", CLOCKS | TIMES),
}


def in_range(kind, cell):
    """Return whether a well-spelled cell is also a value of its type."""
    try:
        if kind == "int64" or kind == "uint64":
            return (-(2**63) <= int(cell) < 2**63) if kind == "int64" else int(cell) < 2**64
        if kind == "date" or kind.startswith("timestamp"):
            dt.date.fromisoformat(cell[:10])
        fraction = re.search(r"\.(\d*)", cell)
        if kind.startswith("time") and fraction:
            return len(fraction[1]) <= 6
        return "UTC" not in kind or dt.datetime.fromisoformat(cell).astimezone(dt.UTC).year > 0
    except (ValueError, OverflowError):
        return False


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_a_cell_is_read_if_and_only_if_it_is_a_spelling(data):
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    declared = data.draw(st.booleans())
    name, cells = KINDS[kind]
    cell = data.draw(cells)
    pattern = (DECLARED_PATTERNS.get(name) if declared else None) or PATTERNS[name]
    spelled = re.fullmatch(pattern, cell, re.ASCII) is not None
    found = Spelling(kind, declared).read(pa.array([cell, None, cell]))
    assert (found is not None) == (spelled and in_range(kind, cell))


CELLS = NUMBERS | TIMES | CLOCKS | st.sampled_from(["true", "false", "NaN", "inf", "x"])
COLUMNS = st.lists(CELLS, max_size=4) | st.lists(NUMBERS, max_size=4) | st.lists(TIMES, max_size=4)


@settings(max_examples=400, deadline=None)
@given(COLUMNS)
def test_the_guessed_type_fits_every_cell_that_it_was_guessed_from(cells):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        context = StepContext("step", folder, folder, folder)
        (folder / "file.csv").write_text("id,x\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells)))
        schema = Reader().describe(ReaderConfig("file.csv"), context).schema
        found = Reader().read(ReaderConfig("file.csv"), schema, context).reader().read_all()
        texts = pa.array([cell or None for cell in cells], pa.string())
        assert found.column("x").null_count == texts.null_count
        if schema[1].type in ("utf8", "int64", "bool", "date"):
            assert spell(found.column("x").combine_chunks()).to_pylist() == texts.to_pylist()
