"""What is written as JSON is read back, and JSON text is unchanged by compacting except for white space."""

import datetime as dt
import decimal
import json
import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.components.filesystem_json_extractor.driver import Config as ReaderConfig
from osiris.components.filesystem_json_extractor.driver import Driver as Reader
from osiris.components.filesystem_json_writer.driver import Config as WriterConfig
from osiris.components.filesystem_json_writer.driver import Driver as Writer
from osiris.driver import StepContext
from osiris.families.json_text import compact, parse
from osiris.table import stream
from osiris.types import arrow_type, schema_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", '"', "\\", "\n", "\r\n", "\u2028", "\0"]
)
MOMENT = st.datetimes()


def decimals(digits, scale):
    unscaled = st.integers(-(10**digits) + 1, 10**digits - 1)
    return unscaled.map(lambda number: decimal.Decimal(number).scaleb(-scale, decimal.Context(prec=80)))


VALUES = {
    "bool": st.booleans(),
    "int8": st.integers(-(2**7), 2**7 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float32": st.floats(width=32, allow_subnormal=False, allow_nan=False, allow_infinity=False),
    "float64": st.floats(allow_subnormal=False, allow_nan=False, allow_infinity=False),
    "decimal(5,2)": decimals(5, 2),
    "decimal(38,38)": decimals(38, 38),
    "decimal(76,20)": decimals(76, 20),
    "utf8": TEXT,
    "date": st.dates(),
    "time[us]": st.times(),
    "timestamp[us]": MOMENT,
    "timestamp[us,UTC]": MOMENT.map(lambda moment: moment.replace(tzinfo=dt.UTC)),
    "timestamp[ns]": MOMENT.map(lambda moment: moment.replace(year=1700 + moment.year % 500, day=1)),
}
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(1, 6))
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(sorted(VALUES)))
        cells = draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows))
        columns[name] = pa.array(cells, arrow_type(kind))
    return pa.table(columns)


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(["file.jsonl", "file.json.gz", "file.zst"]), st.sampled_from([None, 1, 2]))
def test_what_is_written_is_read_back(table, name, size):
    with tempfile.TemporaryDirectory() as folder:
        context = StepContext("step", *[Path(folder)] * 3)
        schema = schema_of(table.schema)
        Writer().check(WriterConfig(name), schema, context)
        Writer().write(WriterConfig(name), stream(schema, table.to_batches(size), "fixed"), context)
        config = ReaderConfig(name, dtype={column.name: column.type for column in schema})
        assert Reader().describe(config, context).schema == schema
        found = Reader().read(config, schema, context).reader().read_all()
        assert repr(found.to_pydict()) == repr(table.to_pydict())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.booleans(), st.sampled_from([None, 2]))
def test_compact_text_is_the_same_value_and_depends_on_it_alone(value, ascii_only, indent):
    spelled = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    text = compact(parse(spelled))
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert compact(parse(text)) == text
