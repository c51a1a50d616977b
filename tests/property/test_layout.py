"""The canonical format of a file means the same, keeps every comment, and is its own canonical format."""

import json
import re
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osiris.document import read_document
from osiris.errors import InvalidInput
from osiris.oml.layout import format_oml
from osiris.oml.validate import validate
from osiris.registry import load_registry

REGISTRY = load_registry()
TESTS = Path(__file__).parents[1]
FILES = [path for folder in ("golden", "unit", "e2e", "corpora") for path in sorted((TESTS / folder).rglob("*.yaml"))]
FILES += sorted((TESTS.parent / "src" / "osiris" / "templates").rglob("pipelines/*.yaml"))
COMMENT = re.compile(r"#(c[0-9]+)\b")

LINES = st.text(st.sampled_from("ab: #-\"'\\{[|>é\t"), max_size=12)
# JSON writes characters beyond U+FFFF as two escapes, which YAML does not support.
TEXTS = st.one_of(
    st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20),
    st.lists(LINES, min_size=1, max_size=5).map("\n".join),
    st.lists(st.sampled_from(["a", "#b", "c # d"]), min_size=1, max_size=3).map(lambda lines: "\n".join([*lines, ""])),
    st.lists(st.sampled_from(["word", "#", "-", "a:", "longer-word"]), min_size=1, max_size=60).map(" ".join),
    st.lists(st.sampled_from(["word", "\x07", "\x7f", "\ufeff", "\xa0", "\u3000"]), max_size=60).map(" ".join),
    st.sampled_from(["yes", "~", "0.1.0", "2024-01-31", "1_0", "null", "@a", "${params.x}", "=", "<<", "...", "---"]),
)
SCALARS = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=12,
)
STEPS = st.lists(
    st.dictionaries(st.sampled_from(["config", "needs", "mode", "component", "id", "x-a", "inputs", "other"]), VALUES),
    max_size=3,
)
FILE = st.fixed_dictionaries(
    {}, optional={"metadata": VALUES, "x-a": VALUES, "steps": STEPS, "name": VALUES, "oml_version": VALUES}
)


def formatted(text):
    return format_oml(text, "f.yaml", REGISTRY)


def data_of(text):
    return read_document(text, "f.yaml").data


def heads(text):
    return [line.rstrip() for line in text.splitlines() if line.startswith("#")]


def check(text):
    result = formatted(text)
    assert data_of(result) == data_of(text)
    assert formatted(result) == result
    assert sorted(COMMENT.findall(result)) == sorted(COMMENT.findall(text))
    return result


class Written:
    """Writes data as YAML in varying styles, with comments wherever YAML allows one."""

    def __init__(self, draw):
        self.draw = draw
        self.numbers = count()

    def chance(self):
        return self.draw(st.integers(0, 3)) == 0

    def beside(self):
        return f"  #c{next(self.numbers)}" if self.chance() else ""

    def above(self, pad):
        return [f"{pad}#c{next(self.numbers)}" if self.chance() else "" for _ in range(self.draw(st.integers(0, 2)))]

    def flow(self, value, pad):
        lines = json.dumps(value, indent=1, ensure_ascii=True).split("\n")
        return [pad + line + (self.beside() if line[-1] in "[{," else "") for line in lines]

    def block(self, value, pad):
        if isinstance(value, dict) and value and self.draw(st.booleans()):
            return [line for key, item in value.items() for line in self.entry(f"{json.dumps(key)}:", item, pad)]
        if isinstance(value, list) and value and self.draw(st.booleans()):
            return [line for item in value for line in self.entry("-", item, pad)]
        return None

    def literal(self, text, pad):
        """Return the lines of a text as a block, if it is a plain case of one."""
        if isinstance(text, str) and re.fullmatch(r"([a-z#][ -~]*\n)+", text):
            return [f"{pad}{line}" for line in text.split("\n")[:-1]]
        return None

    def entry(self, head, value, pad):
        above = self.above(pad)
        step = pad + " " * self.draw(st.integers(1, 3))
        lines = self.block(value, step)
        if lines is not None:
            return [*above, pad + head + self.beside(), *lines, *self.above(step)]
        lines = self.literal(value, step)
        if lines is not None:
            return [*above, f"{pad}{head} |{self.beside()}", *lines]
        first, *more = self.flow(value, step + " ")
        if self.chance():
            lines = [*self.above(step), first, *more[:-1], *(line + self.beside() for line in more[-1:])]
            return [*above, f"{pad}{head}{self.beside()}", *lines]
        return [*above, f"{pad}{head} {first.lstrip()}", *more[:-1], *(line + self.beside() for line in more[-1:])]

    def file(self, data):
        lines = [line for key, item in data.items() for line in self.entry(f"{key}:", item, "")]
        return "\n".join([*self.above(""), *(lines or ["{}"]), *self.above("")]) + "\n"


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda path: path.name)
def test_every_file_of_ours_keeps_its_meaning(folder):
    for path in folder.glob("*.yaml"):
        try:
            text = path.read_bytes().decode()
            data_of(text)
        except (UnicodeDecodeError, InvalidInput):
            continue
        if "steps" in text:
            assert heads(check(text)) == heads(text)


@settings(deadline=None)
@given(FILE)
@example({"metadata": {"a": " x\n  y\n"}})
@example({"metadata": ["\n\n a", "a\n\n", "a\n ", "\ta\nb", " \nb", "a\r\nb", "\n"]})
@example({})
@example({"metadata": {"word " * 25: [], "b": [{}, []]}})
@example({"metadata": {"a": "word " * 40 + "end", "b": "word " * 40 + "end\n", "c": "word " * 40}})
def test_any_data_keeps_its_meaning(data):
    check(json.dumps(data, ensure_ascii=True))


@settings(deadline=None)
@given(FILE, st.data())
def test_any_file_keeps_its_meaning_and_its_comments(data, drawn):
    check(Written(drawn.draw).file(data))


@settings(deadline=None)
@given(VALUES, st.data())
def test_comments_keep_their_order_where_keys_do(value, drawn):
    text = Written(drawn.draw).file({"metadata": value, "x-a": 1})
    assert COMMENT.findall(formatted(text)) == COMMENT.findall(text)


def test_a_very_long_key_stays_marked_as_one():
    key = "k" * 1100
    text = f"metadata:\n  ? {key}\n  : # c0\n    a: 1\n  b:\n    - ? {key}\n      :\n        c: [] # c1\n"
    assert list(data_of(check(text))["metadata"]["b"][0]) == [key]


def test_a_character_beyond_the_first_plane_stays_as_it_is():
    text = "metadata: {a: \U0001f40d}\n"
    assert check(text) == text


def test_the_pipelines_of_templates_are_in_canonical_form():
    for path in FILES:
        if "templates" in path.parts:
            assert formatted(path.read_text()) == path.read_text()


def test_a_pipeline_is_the_same_before_and_after():
    path = TESTS / "golden" / "mutated" / "good" / "monthly.yaml"

    def pipeline(text):
        document = read_document(text, "f.yaml")
        return validate(document, REGISTRY, params={}, env={}, profile=None, defaults={})[0]

    assert pipeline(formatted(path.read_text())) == pipeline(path.read_text())
