"""A position inside a text is a position in the file, whatever the style of the text."""

import pytest

from osiris.compiler.statements import locate
from osiris.errors import Location
from osiris.oml.parse import parse

CASES = [
    ('a: "SELECT nope"', "nope"),
    ("a: 'SELECT nope'", "nope"),
    ("a: SELECT nope", "nope"),
    ("a: |\n  SELECT 1,\n    nope\n", "nope"),
    ("a: |-  # why\n  SELECT 1,\n\n  nope\n", "nope"),
    ("a: |2\n    SELECT\n    nope\n", "nope"),
    ("b:\n  - x: 1\n    a: |\n      SELECT nope,\n      2\n", "nope"),
    ("a: |\r\n  SELECT 1,\r\n    nope\r\n", "nope"),
    ('a: "SELECT\\t1, nope"', "nope"),
    ("a: >\n  SELECT 1,\n  nope\n", "nope"),
    ('a: "SELECT\n  1, nope"', "nope"),
]


def query_of(document):
    pointer = next(p for p in document.positions if p.endswith("/a"))
    value = document.data
    for part in pointer.split("/")[1:]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return pointer, value


def inside(text, word):
    before = text[: text.index(word)]
    return Location(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))


@pytest.mark.parametrize(("text", "word"), CASES)
def test_the_word_stands_where_it_is_said_to_stand(tmp_path, text, word):
    (tmp_path / "p.yaml").write_bytes(text.encode())
    document = parse(text, "p.yaml")
    pointer, value = query_of(document)
    at = locate(tmp_path, document.where(pointer), pointer, inside(value, word), value)
    line = text.splitlines()[at.line - 1]
    assert line[at.column - 1 :].startswith(word)
    assert (at.file, at.pointer) == ("p.yaml", pointer)


def test_after_a_parameter_the_place_is_that_of_the_same_word(tmp_path):
    text = "a: |\n  SELECT ${params.x}, ${params.y},\n  nope\n"
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    at = parse(text, "p.yaml").where("/a")
    for inside_, there in {(1, 10): (2, 10), (1, 17): (2, 23), (2, 1): (3, 3)}.items():
        found = locate(tmp_path, at, "/a", Location(line=inside_[0], column=inside_[1]), "SELECT 12345, 'b',\nnope\n")
        assert (found.line, found.column) == there


def test_a_file_that_is_gone_leaves_the_place_of_the_whole(tmp_path):
    at = Location("gone.yaml", 3, 4)
    assert locate(tmp_path, at, "/a", Location(line=1, column=2), "x") == Location("gone.yaml", 3, 4, "/a")
