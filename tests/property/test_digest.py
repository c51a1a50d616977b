"""Digests match docs/decisions/0002-digests.md: its vectors, and a slow, literal implementation of its rules."""

import hashlib
import json
import math
import re
import struct
from decimal import Context, Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.canonical import fingerprint
from osiris.model import Field
from osiris.table import Digester
from osiris.types import arrow_type, parse_type

PAGE = (Path(__file__).parents[2] / "docs" / "decisions" / "0002-digests.md").read_text(encoding="utf-8")
VECTORS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `([0-9a-f]{64})` \| `([0-9a-f]{32})` \|$", PAGE, re.MULTILINE)
WHOLE = [json.loads(block) for block in re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL)]

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
FIELD = 0xD6E8FEB86659FD93
NULL = 0x6A09E667F3BCC908
TEXTS = ("utf8", "json", "binary")
WIDTHS = {"bool": 1, "float32": 4, "float64": 8, "date": 4, "timestamp": 8, "uuid": 16}


# --- values, as the page writes them: integers for what is counted, bytes for texts -----------------------------------


def width(kind):
    if kind.kind == "decimal":
        return 8 if kind.parameters[0] <= 18 else 16 if kind.parameters[0] <= 38 else 32
    if kind.kind == "time":
        return 4 if kind.parameters[0] in ("s", "ms") else 8
    return WIDTHS.get(kind.kind) or int(kind.kind.lstrip("uint")) // 8


def fixed_bytes(kind, value):
    size = width(kind)
    if kind.kind == "uuid":
        return value
    if kind.kind in ("float32", "float64"):
        if math.isnan(value):
            return bytes.fromhex("0000c07f" if size == 4 else "000000000000f87f")
        return struct.pack("<f" if size == 4 else "<d", value or 0.0)
    return int(value).to_bytes(size, "little", signed=not kind.kind.startswith(("uint", "bool")))


def mix(word):
    word = word * 0xBF58476D1CE4E5B9 & WORD
    word ^= word >> 32
    word = word * 0x94D049BB133111EB & WORD
    return word ^ word >> 29


def text_hash(data):
    count = len(data) // 8
    words = [int.from_bytes(data[8 * i : 8 * i + 8], "little") for i in range(count)]
    words.append(int.from_bytes(data[8 * count :], "little") | (len(data) % 8) << 56)
    return mix(sum(mix(word + place * STEP & WORD) for place, word in enumerate(words, 1)) & WORD)


def together(hashes):
    total = 0
    for found in hashes:
        total = total * FIELD + found & WORD
    return mix(total)


def cell(kind, value):
    if value is None:
        return NULL
    if kind.kind in TEXTS:
        return text_hash(value)
    if kind.kind == "list":
        items = sum(mix(cell(kind.children[0][1], item) + place * STEP & WORD) for place, item in enumerate(value, 1))
        return mix(items + (len(value) + 1) * STEP & WORD)
    if kind.kind == "struct":
        return together(cell(inner, value[name]) for name, inner in kind.children)
    data = fixed_bytes(kind, value)
    if len(data) > 8:
        return text_hash(data)
    signed = not kind.kind.startswith(("uint", "float", "bool"))
    return mix(int.from_bytes(data, "little", signed=signed) + STEP & WORD)


def sums(hashes, nulls):
    return f"{sum(hashes) & WORD:016x}{sum(found * found for found in hashes) + nulls & WORD:016x}"


def column_hash(kind, values):
    nulls, lengths, data, inner = b"", b"", b"", []
    kept = [value for value in values if value is not None]
    for row, value in enumerate(values):
        nulls += b"" if value is not None else row.to_bytes(8, "little")
    if kind.kind in TEXTS:
        lengths, data = b"".join(len(v).to_bytes(4, "little") for v in kept), b"".join(kept)
    elif kind.kind == "list":
        lengths = b"".join(len(v).to_bytes(4, "little") for v in kept)
        inner = [column_hash(kind.children[0][1], [item for value in kept for item in value])]
    elif kind.kind == "struct":
        inner = [column_hash(child, [value[name] for value in kept]) for name, child in kind.children]
    else:
        data = b"".join(fixed_bytes(kind, value) for value in kept)
    parts = [hashlib.sha256(part).digest() for part in (nulls, lengths, data)]
    return hashlib.sha256(b"".join(parts + inner)).digest()


def slow_digest(schema, columns, order):
    kinds = [parse_type(field.type) for field in schema]
    rows = len(columns[0])
    if order == "fixed":
        head = {"kind": "ordered", "algorithm": "sha256"}
        found = data = [column_hash(kind, values).hex() for kind, values in zip(kinds, columns, strict=True)]
    else:
        head = {"kind": "unordered", "algorithm": "moments"}
        cells = [[cell(kind, value) for value in values] for kind, values in zip(kinds, columns, strict=True)]
        nulls = [values.count(None) for values in columns]
        found = [sums(hashes, count) for hashes, count in zip(cells, nulls, strict=True)]
        data = sums([together(row) for row in zip(*cells, strict=True)], sum(nulls))
    head |= {"rows": rows, "schema": fingerprint([[field.name, field.type] for field in schema])}
    names = [field.name for field in schema]
    return {**head, "columns": dict(zip(names, found, strict=True)), "value": fingerprint({**head, "data": data})}


# --- the same values as Arrow arrays ----------------------------------------------------------------------------------


def build(name, values):
    """Return the Arrow array of a type's values, in the type's own encoding."""
    kind, arrow = parse_type(name), arrow_type(name)
    if kind.kind == "list":
        inner = build_inner(kind.children[0][1], arrow.value_type, [i for v in values if v is not None for i in v])
        ends = [0]
        for value in values:
            ends.append(ends[-1] + len(value or ()))
        mask = pa.array([value is None for value in values], pa.bool_())
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), inner, type=arrow, mask=mask)
    if kind.kind == "struct":
        parts = [
            build_inner(inner, field.type, [None if v is None else v[field.name] for v in values])
            for (_, inner), field in zip(kind.children, arrow.fields, strict=True)
        ]
        mask = pa.array([value is None for value in values], pa.bool_())
        return pa.StructArray.from_arrays(parts, fields=arrow.fields, mask=mask)
    return build_flat(kind, arrow, values)


def build_inner(kind, arrow, values):
    return build(spelled(arrow), values) if kind.children else build_flat(kind, arrow, values)


def spelled(arrow):
    from osiris.types import type_name

    return type_name(arrow)


def build_flat(kind, arrow, values):
    if kind.kind == "decimal":
        digits = Context(prec=80)
        return pa.array([None if v is None else digits.scaleb(Decimal(v), -arrow.scale) for v in values], arrow)
    if kind.kind == "json":
        return pa.ExtensionArray.from_storage(arrow, pa.array(values, pa.binary()).cast(pa.utf8()))
    if kind.kind == "uuid":
        return pa.ExtensionArray.from_storage(arrow, pa.array(values, pa.binary(16)))
    if kind.kind == "utf8":
        return pa.array(values, pa.binary()).cast(pa.utf8())
    if kind.kind in ("date", "time", "timestamp"):
        return pa.array(values, pa.int32() if width(kind) == 4 else pa.int64()).view(arrow)
    return pa.array(values, arrow)


def otherwise(array, choice):
    """Return the same values in another encoding, if the type has one."""
    if choice == "slice":
        return pa.concat_arrays([array.slice(0, 1), array, array.slice(0, 1)]).slice(1 if len(array) else 0, len(array))
    if isinstance(array, pa.ExtensionArray) or pa.types.is_nested(array.type):
        return array
    others = {
        pa.utf8(): {"view": pa.string_view(), "large": pa.large_utf8()},
        pa.binary(): {"view": pa.binary_view(), "large": pa.large_binary()},
    }
    if choice == "dictionary":
        return array.dictionary_encode()
    return array.cast(others.get(array.type, {}).get(choice, array.type))


def garbage_under_null(array):
    """Return an array whose fixed-width values under NULL are not zero."""
    if isinstance(array, pa.ExtensionArray) or array.type.num_fields or pa.types.is_boolean(array.type):
        return array
    validity, *buffers = array.buffers()
    if len(buffers) != 1 or not array.null_count:
        return array
    size = array.type.bit_width // 8
    data = bytearray(buffers[0].to_pybytes())
    for row in range(len(array)):
        if not array[row].is_valid:
            data[size * row : size * row + size] = bytes([row % 255 + 1]) * size
    return pa.Array.from_buffers(array.type, len(array), [validity, pa.py_buffer(bytes(data))])


RULE = settings(deadline=None, max_examples=60)

# --- random tables ----------------------------------------------------------------------------------------------------

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


@st.composite
def type_names(draw, depth=0):
    simple = st.sampled_from(["bool", *INTEGERS, "float32", "float64", *TEXTS, "date", "uuid"])
    units = st.sampled_from(["s", "ms", "us", "ns"])
    choices = [
        simple,
        st.builds(lambda p, s: f"decimal({p},{min(p, s)})", st.integers(1, 76), st.integers(0, 76)),
        units.map(lambda unit: f"time[{unit}]"),
        st.builds(lambda unit, zone: f"timestamp[{unit}{zone}]", units, st.sampled_from(["", ",UTC", ",+02:00"])),
    ]
    if depth < 2:
        inner = type_names(depth + 1)
        names = st.lists(NAMES, min_size=1, max_size=3, unique=True)
        choices += [inner.map(lambda name: f"list<{name}>")]
        choices += [names.flatmap(lambda names: st.tuples(*(inner for _ in names)).map(lambda t: struct_of(names, t)))]
    return draw(st.one_of(choices))


def struct_of(names, kinds):
    fields = (f"{json.dumps(name, ensure_ascii=False)}:{kind}" for name, kind in zip(names, kinds, strict=True))
    return f"struct<{','.join(fields)}>"


def values_of(kind):
    name = kind.kind
    if name == "list":
        return st.none() | st.lists(values_of(kind.children[0][1]), max_size=4)
    if name == "struct":
        return st.none() | st.fixed_dictionaries({child: values_of(inner) for child, inner in kind.children})
    texts = st.text(st.characters(codec="utf-8"), max_size=40).map(str.encode)
    special = {
        "bool": st.booleans(),
        "float32": st.floats(width=32),
        "float64": st.floats(),
        "utf8": texts,
        "json": texts,
        "binary": st.binary(max_size=40),
        "uuid": st.binary(min_size=16, max_size=16),
        "date": st.integers(-700000, 2900000),
    }
    if name == "decimal":
        most = 10 ** kind.parameters[0] - 1
        return st.none() | st.integers(-most, most)
    if name == "time":
        return st.none() | st.integers(
            0, 86400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.parameters[0]] - 1
        )
    if name in special:
        return st.none() | special[name]
    bits, signed = 8 * width(kind), not name.startswith("uint")
    return st.none() | st.integers(-(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)


@st.composite
def tables(draw, min_rows=0):
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    kinds = draw(st.lists(type_names(), min_size=len(names), max_size=len(names)))
    schema = tuple(Field(name, kind) for name, kind in zip(names, kinds, strict=True))
    rows = draw(st.integers(min_rows, 12))
    columns = [draw(st.lists(values_of(parse_type(kind)), min_size=rows, max_size=rows)) for kind in kinds]
    return schema, columns


def batch_of(schema, columns):
    arrays = [build(field.type, values) for field, values in zip(schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in schema])


def digest(schema, batches, order):
    digester = Digester(schema, order)
    for batch in batches:
        digester.update(batch)
    return digester.result()


def both(schema, columns):
    batch = batch_of(schema, columns)
    return digest(schema, [batch], "fixed"), digest(schema, [batch], "free")


# --- the rules --------------------------------------------------------------------------------------------------------


def from_json(kind, value):
    """Return a value as written in the page's table: bytes in hex, floats that JSON lacks as text."""
    if value is None:
        return None
    if kind.kind == "list":
        return [from_json(kind.children[0][1], item) for item in value]
    if kind.kind == "struct":
        return {name: from_json(inner, value[name]) for name, inner in kind.children}
    if kind.kind in ("binary", "uuid"):
        return bytes.fromhex(value)
    if kind.kind in TEXTS:
        return value.encode()
    return float(value) if kind.kind.startswith("float") else value


@pytest.mark.parametrize(("name", "values", "ordered", "unordered"), VECTORS)
def test_golden_vector(name, values, ordered, unordered):
    columns = [[from_json(parse_type(name), value) for value in json.loads(values)]]
    fixed, free = both((Field("c", name),), columns)
    assert (fixed["columns"]["c"], free["columns"]["c"]) == (ordered, unordered)


def test_golden_vectors_cover_every_type():
    assert {parse_type(name).kind for name, *_ in VECTORS} == {
        *("bool", *INTEGERS, "float32", "float64", *TEXTS, "date", "time", "timestamp", "uuid", "decimal", "list"),
        "struct",
    }


@pytest.mark.parametrize("expected", WHOLE, ids=lambda whole: whole["kind"])
def test_golden_whole(expected):
    schema = (Field("id", "int64"), Field("name", "utf8"))
    columns = [[1, 2, None], [b"a", b"", None]]
    assert expected in both(schema, columns)


def test_the_page_shows_both_kinds():
    assert [whole["kind"] for whole in WHOLE] == ["ordered", "unordered"]


@RULE
@given(tables(), st.sampled_from(["fixed", "free"]))
def test_digest_is_what_the_page_says(table, order):
    schema, columns = table
    assert digest(schema, [batch_of(schema, columns)], order) == slow_digest(schema, columns, order)


ENCODINGS = st.sampled_from(["plain", "slice", "dictionary", "view", "large"])


@RULE
@given(tables(), st.data(), st.sampled_from(["fixed", "free"]))
def test_batches_and_encodings_leave_no_trace(table, data, order):
    schema, columns = table
    whole = batch_of(schema, columns)
    dirty = pa.RecordBatch.from_arrays([garbage_under_null(array) for array in whole.columns], names=whole.schema.names)
    cuts = sorted(data.draw(st.lists(st.integers(0, whole.num_rows), max_size=4)))
    batches = []
    for start, end in zip([0, *cuts], [*cuts, whole.num_rows], strict=True):
        choice = data.draw(ENCODINGS)
        arrays = [otherwise(array, choice) for array in dirty.slice(start, end - start).columns]
        batches.append(pa.RecordBatch.from_arrays(arrays, names=whole.schema.names))
    assert digest(schema, batches, order) == digest(schema, [whole], order)


@RULE
@given(tables(min_rows=2), st.data())
def test_order_of_rows_is_seen_by_the_ordered_digest_only(table, data):
    schema, columns = table
    order = data.draw(st.permutations(range(len(columns[0]))))
    moved = [[values[row] for row in order] for values in columns]
    (fixed, free), (fixed_moved, free_moved) = both(schema, columns), both(schema, moved)
    assert free == free_moved
    assert (fixed == fixed_moved) == (slow_digest(schema, columns, "fixed") == slow_digest(schema, moved, "fixed"))


@RULE
@given(tables(min_rows=1), st.data())
def test_any_changed_cell_is_seen_in_its_column(table, data):
    schema, columns = table
    at = data.draw(st.integers(0, len(schema) - 1))
    row = data.draw(st.integers(0, len(columns[0]) - 1))
    kind = parse_type(schema[at].type)
    value = data.draw(values_of(kind))
    changed = [list(values) for values in columns]
    changed[at][row] = value
    same = column_hash(kind, [value]) == column_hash(kind, [columns[at][row]])
    for before, after in zip(both(schema, columns), both(schema, changed), strict=True):
        differing = [name for name, found in before["columns"].items() if found != after["columns"][name]]
        assert differing == ([] if same else [schema[at].name])
        assert (before["value"] == after["value"]) == same


AS_NULL = 1671960421666166243  # the word that has the hash of NULL


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((name, AS_NULL) for name in ("int64", "uint64", "timestamp[ns]")),
        ("float64", struct.unpack("<d", struct.pack("<Q", AS_NULL))[0]),
    ],
)
def test_the_value_with_the_hash_of_null_is_not_taken_for_it(kind, value):
    schema = (Field("a", "utf8"), Field("b", kind))
    assert cell(parse_type(kind), value) == NULL
    with_value, with_null = (both(schema, [[b"x", None], [value - value, found]])[1] for found in (value, None))
    assert with_value["columns"]["a"] == with_null["columns"]["a"]
    assert with_value["columns"]["b"] != with_null["columns"]["b"]
    assert with_value["value"] != with_null["value"]


@pytest.mark.parametrize("kind", ["float32", "float64", "list<float64>", 'struct<"x":float32>'])
def test_what_is_equal_in_sql_is_equal_here(kind):
    wrapped = {"list": lambda value: [value], "struct": lambda value: {"x": value}}.get(parse_type(kind).kind)
    schema, pairs = (Field("a", kind),), [(0.0, -0.0), (math.nan, -math.nan)]
    for pair in pairs:
        one, other = ([wrapped(value) if wrapped else value for value in order] for order in (pair, pair[::-1]))
        assert both(schema, [one]) == both(schema, [other])


@RULE
@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=2)), min_size=2, max_size=8))
def test_pairing_is_seen_in_the_value_only(rows):
    schema = (Field("id", "int64"), Field("name", "utf8"))
    ids, names = [row[0] for row in rows], [row[1].encode("utf-8", "replace") for row in rows]
    turned = names[1:] + names[:1]
    before = digest(schema, [batch_of(schema, [ids, names])], "free")
    after = digest(schema, [batch_of(schema, [ids, turned])], "free")
    assert before["columns"] == after["columns"]
    same = sorted(zip(ids, names, strict=True)) == sorted(zip(ids, turned, strict=True))
    assert (before["value"] == after["value"]) == same


@pytest.mark.parametrize("sizes", [[1 << 17], [(1 << 17) + 1, 5], [8, 200_003, 0, 150_000], [3, 300, 1000, 0, 129]])
def test_values_larger_than_a_piece(sizes):
    schema = (Field("text", "binary"), Field("items", "list<int32>"))
    pattern = bytes(range(251))
    columns = [[(pattern * 1000)[:size] for size in sizes], [list(range(size // 8)) for size in sizes]]
    batch = batch_of(schema, columns)
    for order in ("fixed", "free"):
        assert digest(schema, [batch], order) == slow_digest(schema, columns, order)
