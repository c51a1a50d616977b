"""The canonical format, by example."""

import pytest

from osiris.errors import InvalidInput
from osiris.oml.layout import format_oml
from osiris.registry import load_registry

REGISTRY = load_registry()
LOOSE = """\
# header

# about the name
name:   'x'   # the name
steps:
# first
- component: filesystem.csv_extractor # comp
  # the id
  id: a
  config: # cfg
    # above limit
    limit: 5   # five
    path: "x.csv"

    # columns: [a]
  # in a
  mode: read
# before b

- # behind the dash
  x-note: {b: 1,  a: "yes"}
  id: b
  component: duckdb.processor
  needs: [ a, # why
     c ] # end
  config: {timeout: 5m, query: "SELECT * FROM a WHERE this_is_a_rather_long_name = 1 AND another = 2 ORDER BY one"} # q
  mode: transform
- id: c
  component: duckdb.processor
  config:
    query: |  # the query
      SELECT 1
        -- no comment of YAML # 1

  # behind the query
  mode: transform
  # last in c

# end of file
oml_version: 0.1.0
metadata:
  day: 2024-01-01
  n: 0x1F
  nothing:
  note: # one
    # two
    value # three
x-list: [ # nothing
  ]
"""
CANONICAL = """\
# header

# end of file
oml_version: "0.1.0"
# about the name
name: x  # the name

metadata:
  day: "2024-01-01"
  "n": 0x1F
  nothing: null
  # one
  # two
  note: value  # three

steps:
  # first
  # the id
  - id: a
    component: filesystem.csv_extractor  # comp
    # in a
    mode: read
    config:  # cfg
      path: x.csv
      # above limit
      limit: 5  # five

      # columns: [a]

  # before b

  # behind the dash
  - id: b
    component: duckdb.processor
    mode: transform
    needs:
      - a  # why
      - c
      # end
    config:  # q
      query: |-
        SELECT * FROM a WHERE this_is_a_rather_long_name = 1 AND another = 2 ORDER BY one
      timeout: 5m
    x-note: {b: 1, a: "yes"}

  - id: c
    component: duckdb.processor

    # behind the query
    mode: transform
    config:
      query: |  # the query
        SELECT 1
          -- no comment of YAML # 1
    # last in c

# nothing
x-list: []
"""


def formatted(text):
    return format_oml(text, "f.yaml", REGISTRY)


def value(text):
    """Return the canonical lines for a value of `metadata`."""
    result = formatted(f"metadata:\n  a: {text}\n")
    return result.partition("  a:")[2].removeprefix(" ").removesuffix("\n")


def test_a_loose_file():
    assert formatted(LOOSE) == CANONICAL


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("'plain words'", "plain words"),
        ("'it''s'", "it's"),
        ('"a: b"', '"a: b"'),
        ('"a #b"', '"a #b"'),
        ('"yes"', '"yes"'),
        ('"y"', '"y"'),
        ('"~"', '"~"'),
        ('"null"', '"null"'),
        ('"1.0"', '"1.0"'),
        ('"1.0.0"', '"1.0.0"'),
        ('"2024-01-31"', '"2024-01-31"'),
        ('"@a.b"', '"@a.b"'),
        ("'${params.x}'", "${params.x}"),
        ("[ '${params.x}' , b ]", '["${params.x}", b]'),
        ('"\\t"', '"\\t"'),
        ('"\\u200b"', "\u200b"),
        ('"\\x85\\u2028\\ufeff\\0"', '"\\x85\\u2028\\ufeff\\x00"'),
        ("True", "true"),
        ("1.50", "1.50"),
        ("{}", "{}"),
        ('"x\\r\\ny"', '"x\\r\\ny"'),
        ('"x\\n\\n"', '"x\\n\\n"'),
        ('"x\\ny"', "|-\n    x\n    y"),
        ('"x\\n\\n  y\\n"', "|\n    x\n\n      y"),
        ('"  x\\ny"', "|2-\n      x\n    y"),
        (">-\n    folded\n    text", "folded text"),
        ("[" + "aaaaaaaa, " * 12 + "a]", "\n" + "\n".join(["    - aaaaaaaa"] * 12 + ["    - a"])),
    ],
)
def test_a_value(written, canonical):
    assert value(written) == canonical


def test_a_long_text_is_folded_and_long_sql_never():
    text = " ".join(["word"] * 30)
    lines = value(text).split("\n")
    assert lines[0] == ">-"
    assert max(map(len, lines)) <= 100
    assert " ".join(line.strip() for line in lines[1:]) == text


def test_the_sql_of_a_check_is_a_block_too():
    sql = "SELECT * FROM output WHERE amount < 0 OR amount > 1000000 OR customer = 'nobody at all'"
    step = "steps:\n  - component: duckdb.processor\n    config:\n"
    assert (
        formatted(f"{step}      checks: [{{sql: {sql}}}]\n")
        == f"{step}      checks:\n        - sql: |-\n            {sql}\n"
    )


@pytest.mark.parametrize("escape", ["\\a", "\\0", "\\x7f", "\\uFFFE", "\\uFEFF", "\\e"])
def test_a_long_text_with_a_character_that_needs_an_escape_is_not_folded(escape):
    result = formatted(f'x-a: "{"word " * 30}{escape} end"\n')
    assert result.startswith('x-a: "word word ')
    assert formatted(result) == result


def test_a_comment_before_the_bracket_stays_before_what_is_inside():
    text = "x-a: # one\n  { # two\n    b: 1 } # three\nx-b: # four\n  [1, 2]\n"
    assert formatted(text) == "# one\nx-a:\n  # two\n  b: 1\n  # three\n\nx-b: [1, 2]  # four\n"


def test_what_stands_behind_the_head_of_a_file_goes_with_the_first_key():
    text = "# of the file\n\n# of the name\nname: a\noml_version: 0.1.0\n"
    assert formatted(text) == '# of the file\n\noml_version: "0.1.0"\n# of the name\nname: a\n'


def test_line_ends_and_a_byte_order_mark():
    assert formatted("\ufeffname: x\r\nmetadata: {a: 1}  \r\n\r\n\r\n") == "name: x\nmetadata: {a: 1}\n"


def test_a_component_that_is_not_installed_keeps_the_order_of_its_config():
    text = "steps:\n  - id: a\n    component: no.such\n    config:\n      z: 1\n      a: 2\n"
    assert formatted(text) == text


@pytest.mark.parametrize("text", ["a: *b\n", "- a\n", "a: 1\na: 2\n", "a: yes\n", "{", "", "steps: &x []\n"])
def test_what_is_no_document_is_refused(text):
    with pytest.raises(InvalidInput):
        formatted(text)


@pytest.mark.parametrize("text", ["steps: 5\n", "steps:\n  - 5\n", "steps:\n  - config: 5\n", "steps: {a: 1}\n"])
def test_what_has_another_shape_is_laid_out_all_the_same(text):
    assert formatted(text) == text
