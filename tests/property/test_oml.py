"""Any text is a document or a list of diagnostics; and everything that JSON can express, a document can too."""

import json
import math
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from osiris.document import read_document
from osiris.document.reader import resolve_plain
from osiris.errors import InvalidInput
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import load_registry

REGISTRY = load_registry()
GOOD = """\
oml_version: "0.1.0"
name: p
params: {since: {type: date, default: 2024-01-31}, limit: 5}
profiles: {prod: {params: {limit: 7}}}
steps:
  - id: a
    component: filesystem.csv_extractor
    mode: read
    config: {path: "x-${params.limit}.csv", connection: "@filesystem.local"}
  - id: b
    component: duckdb.processor
    mode: transform
    inputs: {df: "@a"}
    config:
      query: |
        SELECT * FROM df WHERE day > ${params.since}
  - id: c
    component: filesystem.csv_writer
    mode: write
    needs: [b]
    config: {path: output/x.csv}
"""
WORDS = st.sampled_from(
    [
        *(
            "steps",
            "params",
            "config",
            "needs",
            "inputs",
            "id",
            "mode",
            "${params.limit}",
            "${run.id}",
            "@a",
            "[]",
            "{}",
        ),
        *(
            ": ",
            "- ",
            "\n",
            "\n  ",
            "\n    ",
            "|",
            ">",
            "&a",
            "*a",
            "!x",
            "<<: *a",
            "'",
            '"',
            "#",
            "%",
            "---",
            "...",
            "?",
        ),
        *(
            "yes",
            "010",
            "1e5",
            "~",
            "null",
            "5",
            "2024-01-31",
            "\t",
            "\ufeff",
            "\u2028",
            "\x00",
            "é",
            "[",
            "]",
            "{",
            "}",
            ",",
        ),
    ]
)
finite = st.floats(allow_nan=False, allow_infinity=False)
# JSON writes characters beyond U+FFFF as two escapes, which YAML does not support; there they are unescaped.
CHARACTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
texts = st.text(CHARACTERS)
# A key of more than 1024 characters, escapes counted, is none.
KEYS = st.text(CHARACTERS, max_size=100)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def outcome(text):
    """Read and validate; any exception but InvalidInput fails the test."""
    try:
        pipeline, notes = validate(parse(text, "f.yaml"), REGISTRY, params={}, env={}, profile="prod", defaults={})
    except InvalidInput as error:
        pipeline, notes = None, error.diagnostics
    assert {d.location.file for d in notes} <= {"f.yaml"}
    assert (pipeline is None) == any(d.severity == "error" for d in notes)
    return pipeline


def refusal(text):
    """Return the codes for which a text is rejected; none if it is read."""
    try:
        read_document(text, "f")
    except InvalidInput as error:
        return {d.code for d in error.diagnostics}
    return set()


@settings(deadline=None)
@given(st.lists(WORDS | st.text(max_size=5), max_size=40).map("".join))
@example("a: *a")
@example("{{")
def test_any_text_ends_in_data_or_diagnostics(text):
    outcome(text)


@settings(deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 30), WORDS | st.text(max_size=4))
def test_a_damaged_file_ends_in_a_pipeline_or_diagnostics(at, length, middle):
    outcome(GOOD[:at] + middle + GOOD[at + length :])


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["oml_version", "name", "steps", "params", "profiles", "metadata", "x-a"]), values)
)
def test_any_shape_ends_in_a_pipeline_or_diagnostics(data):
    outcome(json.dumps(data))


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "component", "mode", "config", "needs", "inputs", "uses"]), values))
)
def test_any_steps_end_in_a_pipeline_or_diagnostics(steps):
    outcome(json.dumps({"oml_version": "0.1.0", "name": "p", "steps": steps}))


@settings(deadline=None)
@given(values)
def test_json_is_read_as_json(value):
    text = json.dumps(value)
    codes = refusal(text)
    assert codes <= ({"OML010"} if re.search(r"[0-9]e[-+0-9]", text) else set())
    assert codes or read_document(text, "f").data == value


@settings(deadline=None)
@given(st.text(max_size=12))
def test_a_plain_scalar_has_one_meaning_or_none(text):
    try:
        value = resolve_plain(text)
    except ValueError:
        return
    assert value is None or isinstance(value, (bool, int, str)) or math.isfinite(value)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_positions_name_every_value(text):
    try:
        document = read_document(json.dumps({"a": [text, {text: 1}]}, ensure_ascii=False), "f")
    except InvalidInput:
        return
    assert len(document.positions) == 5
    assert len(document.keys) == 2


def test_the_good_file_is_good():
    pipeline = outcome(GOOD)
    assert pipeline is not None
    assert [step.id for step in pipeline.steps] == ["a", "b", "c"]
    assert pipeline.params == {"since": "2024-01-31", "limit": 7}
