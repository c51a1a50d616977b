"""Comments in CSV, compared with a character-by-character reader whose only rule is that a quote opens at the start of
a cell.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.components.filesystem_csv_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError

KINDS = {'"': "quote", "#": "mark", ",": "delimiter", "\n": "end", "\r": "end"}
OUTSIDE = {"mark": ("", "comment"), "delimiter": ("cell", "start"), "end": ("row", "start"), "other": ("add", "plain")}
STATES = {
    "start": {**OUTSIDE, "quote": ("open", "quoted")},
    "plain": {**OUTSIDE, "quote": ("add", "plain")},
    "quoted": {**dict.fromkeys(OUTSIDE, ("add", "quoted")), "quote": ("", "closing")},
    "closing": {**OUTSIDE, "quote": ("add", "quoted"), "other": ("stray", "stray")},
    "comment": {**dict.fromkeys([*OUTSIDE, "quote"], ("", "comment")), "end": ("row", "start")},
}
"""State to what each kind of character does there, and the state after it."""


def rows_of(text):
    """Return the rows of a text as lists of cells, None for an empty one.

    None for a text that ends within quotes, or has text other than a comment after a closing quote.
    """
    rows, row, cell, quoted, state = [], [], "", False, "start"
    for char in [*text, "\n"]:
        act, state = STATES[state][KINDS.get(char, "other")]
        if act == "stray":
            return None
        cell += char if act == "add" else ""
        quoted = quoted or act == "open"
        if act == "cell" or (act == "row" and (row or cell or quoted)):
            row.append(cell if cell or quoted else None)
            cell, quoted = "", False
        if act == "row" and row:
            rows.append(row)
            row = []
    return None if state == "quoted" else rows


def read(text, **config):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.csv").write_bytes(text.encode())
        context = StepContext("step", folder, folder, folder)
        config = Config("a.csv", comment="#", dtype={"k": "utf8", "v": "utf8"}, **config)
        schema = Driver().describe(config, context).schema
        found = Driver().read(config, schema, context)
        return [list(row.values()) for batch in found.batches() for row in batch.to_pylist()]


def check(body, **config):
    text = "k,v\n" + body
    expected = rows_of(text)
    if expected is None or any(len(row) != 2 for row in expected):
        with pytest.raises(OsirisError):
            read(text, **config)
    else:
        assert read(text, **config) == expected[1:]


BODIES = [
    'a"b,1\n# it\'s a "comment\n2,x\n',
    '5" pipe,1 # five inches "\n6" pipe,2\n',
    '# one\n# "two\n1,2\n',
    '1, "a # b"\n2,c\n',
    '1,"a # b" # c "d\n',
    '1,"a\n# b"\n2,c\n',
    '1,"a""# b"\n"#",2\n',
    '1,"a"b"c # d\n2,x\n',
    "1,a#b\r\n#c\r\n2,d\r\n",
    "1,a#b\r#c\r2,d",
    '"# x",y\n#,\n',
    '1,""#\n2,"""#"\n',
    "1,#\n2,x\n",
    'a"\n#"\n,b\n',
    '1,"open\n',
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_is_a_comment(body, end):
    check(body.replace("\r\n", "\n").replace("\r", "\n").replace("\n", end))


TEXTS = st.text(st.sampled_from('a# ",\n'), max_size=24) | st.text(st.sampled_from('a#",\r\n'), max_size=24)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_random_texts(body):
    check(body)


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(TEXTS)
def test_many_random_texts(body):
    check(body)


def test_lines_that_are_skipped_are_no_part_of_the_table():
    assert read('made by "us\nk,v\n1,"a # b"\n', skip_rows=1) == [["1", "a # b"]]


def test_a_comment_before_the_header():
    assert read('# a "quote\nk,v# names\n1,2\n') == [["1", "2"]]


@pytest.mark.parametrize("before", ["", "# c\n"])
def test_a_comment_across_the_pieces_in_which_a_file_is_read(before):
    filler = "".join(f'{number}" pipe,x # "\n' for number in range(90_000))
    rows = read(f"{before}k,v\n{filler}")
    assert (len(rows), rows[-1]) == (90_000, ['89999" pipe', "x "])
