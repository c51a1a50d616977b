"""Types: every spelling has one Arrow type and every Arrow type one spelling; everything else is rejected by code."""

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osiris.errors import InvalidInput
from osiris.model import Field
from osiris.types import (
    Type,
    arrow_schema,
    arrow_type,
    is_type_name,
    meant_type,
    near_type,
    parse_type,
    schema_of,
    type_name,
)

FORMS = [
    ("bool", pa.bool_()),
    *((f"{sign}int{bits}", getattr(pa, f"{sign}int{bits}")()) for sign in ("", "u") for bits in (8, 16, 32, 64)),
    ("float32", pa.float32()),
    ("float64", pa.float64()),
    ("decimal(1,0)", pa.decimal128(1, 0)),
    ("decimal(38,38)", pa.decimal128(38, 38)),
    ("decimal(39,2)", pa.decimal256(39, 2)),
    ("decimal(76,76)", pa.decimal256(76, 76)),
    ("utf8", pa.utf8()),
    ("binary", pa.binary()),
    ("date", pa.date32()),
    ("time[s]", pa.time32("s")),
    ("time[ms]", pa.time32("ms")),
    ("time[us]", pa.time64("us")),
    ("time[ns]", pa.time64("ns")),
    ("timestamp[s]", pa.timestamp("s")),
    ("timestamp[ns]", pa.timestamp("ns")),
    ("timestamp[us,UTC]", pa.timestamp("us", "UTC")),
    ("timestamp[ms,Europe/Prague]", pa.timestamp("ms", "Europe/Prague")),
    ("timestamp[us,+05:30]", pa.timestamp("us", "+05:30")),
    ("uuid", pa.uuid()),
    ("json", pa.json_()),
    ("list<list<date>>", pa.list_(pa.list_(pa.date32()))),
    ('struct<"a":int8>', pa.struct([("a", pa.int8())])),
    (
        'struct<"say \\"hi\\"":utf8,"":list<uuid>,"ž,>":struct<"\\n":json>>',
        pa.struct(
            [('say "hi"', pa.utf8()), ("", pa.list_(pa.uuid())), ("ž,>", pa.struct([("\n", pa.json_())]))],
        ),
    ),
]

OTHER_ENCODINGS = [
    (pa.large_utf8(), "utf8"),
    (pa.string_view(), "utf8"),
    (pa.dictionary(pa.int8(), pa.utf8()), "utf8"),
    (pa.dictionary(pa.int32(), pa.int64()), "int64"),
    (pa.large_binary(), "binary"),
    (pa.binary_view(), "binary"),
    (pa.binary(7), "binary"),
    (pa.decimal32(9, 2), "decimal(9,2)"),
    (pa.decimal64(18, 18), "decimal(18,18)"),
    (pa.decimal256(5, 2), "decimal(5,2)"),
    (pa.json_(pa.large_utf8()), "json"),
    (pa.large_list(pa.string_view()), "list<utf8>"),
    (pa.list_(pa.int8(), 3), "list<int8>"),
]

NO_TYPES = [
    "int",
    "INT64",
    "int128",
    "string",
    "varchar",
    "decimal",
    "decimal(0,0)",
    "decimal(3,4)",
    "decimal(77,0)",
    "decimal(05,2)",
    "decimal(5,02)",
    "time",
    "time[us,UTC]",
    "timestamp",
    "timestamp[m]",
    "timestamp[us,]",
    "list",
    "list<>",
    "list<int8",
    "list<int8>>",
    "struct<>",
    "struct<a:int8>",
    'struct<"a":>',
    'struct<"a":int8',
    'struct<"a":int8,>',
    'struct<"a"int8>',
    'struct<"a":int8>>',
    'struct<"\\q":int8>',
    'struct<"\\u0061":int8>',
    'struct<"\\ud800":int8>',
    "",
    " int64",
    "int64 ",
    "decimal(5, 2)",
    'struct<"\n":int8>',
    "list<" * 40 + "int8" + ">" * 40,
]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_spelling_and_form(name, form):
    assert is_type_name(name)
    assert arrow_type(name) == form
    assert type_name(form) == name


@pytest.mark.parametrize(("form", "name"), OTHER_ENCODINGS, ids=str)
def test_other_encodings_have_no_spelling_of_their_own(form, name):
    assert type_name(form) == name


@pytest.mark.parametrize("name", NO_TYPES)
def test_what_is_no_type(name):
    assert not is_type_name(name)
    with pytest.raises(InvalidInput, match="DAT012"):
        arrow_type(name)


@pytest.mark.parametrize(
    ("written", "near", "meant"),
    [
        ("decimal(9, 2)", "decimal(9,2)", "decimal(9,2)"),
        ("Numeric(12,4)", "decimal(12,4)", "decimal(12,4)"),
        (" INT64", "int64", "int64"),
        ("integer", "int64", "int64"),
        ("stirng", "utf8", "utf8"),
        ("numeric", "decimal(18,2)", None),
        ("decimal(9)", "decimal(18,2)", None),
        ("int62", "int64", None),
    ],
)
def test_a_fix_of_a_type_keeps_its_digits(written, near, meant):
    assert (near_type(written), meant_type(written)) == (near, meant)


@pytest.mark.parametrize(
    "form",
    [
        pa.null(),
        pa.float16(),
        pa.decimal128(3, -2),
        pa.duration("s"),
        pa.month_day_nano_interval(),
        pa.map_(pa.utf8(), pa.int8()),
        pa.list_(pa.null()),
        pa.list_view(pa.int8()),
        pa.struct([]),
        pa.struct([("x", pa.date64())]),
    ],
    ids=str,
)
def test_arrow_types_outside_the_set(form):
    with pytest.raises(InvalidInput, match="DAT012"):
        type_name(form)


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text):
    assert is_type_name(text) in (True, False)


@given(st.text(st.characters(codec="utf-8"), max_size=10))
def test_any_name_of_a_field_survives(name):
    form = pa.struct([(name, pa.int8())])
    assert arrow_type(type_name(form)) == form
    assert parse_type(type_name(form)).children == ((name, Type("int8")),)


def test_schema_there_and_back():
    schema = (Field("id", "int64", nullable=False), Field("", "decimal(40,2)"), Field("tags", "list<utf8>"))
    assert schema_of(arrow_schema(schema)) == schema


def test_the_host_can_check_a_spelling_without_arrow():
    program = "import sys; from osiris.types import is_type_name as t; print(t('list<uuid>'), 'pyarrow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]
