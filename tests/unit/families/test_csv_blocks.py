"""Blocks of CSV text that are parsed in parallel give the same rows as one after the other."""

import csv
import io
import itertools
import random

import pytest
from tests.chance import draw_seed, say_tried

from osiris.errors import OsirisError
from osiris.families.files import compression, csv_files
from osiris.families.files.csv_blocks import Grammar, StrayQuote, _end_of_rows, _without_stray_quotes, parse
from osiris.families.files.csv_files import CsvFile, Dialect
from osiris.families.text_format import Spelling

CASES = 200
CELLS = ("", "7", "word", "é", '"x,y"', '"a\nb"', '""""', '""', "wordword", "\ufeff", '5" pipe')


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows."""
    monkeypatch.setattr(compression, "PIECE", 200)
    monkeypatch.setattr(csv_files, "BLOCKS", (400, 6400, 25600))


def content(chance):
    width = chance.randint(1, 3)
    cells = CELLS if chance.random() < 0.3 else CELLS[:-1]
    rows = [",".join(chance.choice(cells) for _ in range(width)) for _ in range(chance.randint(0, 80))]
    if rows and chance.random() < 0.1:
        rows[chance.randrange(len(rows))] += chance.choice((',"', ",", '"'))
    ends = chance.choice((["\n"], ["\n", "\r\n", "\r", "\n\n"]))
    text = ",".join("abc"[:width]) + "\n" + "".join(row + chance.choice(ends) for row in rows)
    return (text.rstrip("\n") if chance.random() < 0.3 else text).encode()


def rows_of(path, threads):
    """Return the rows, or the error, which may be detected some rows later."""
    file = CsvFile(path, "file", Dialect(path="file"), threads)
    columns = dict.fromkeys(file.names(), Spelling("utf8"))
    found = []
    try:
        for part in file.rows(columns):
            assert part.first == len(found)
            found += zip(*(part.read(name, column).to_pylist() for name, column in columns.items()), strict=True)
    except OsirisError as error:
        return error.diagnostics
    return found


def test_threads_give_the_rows_of_one(tmp_path, small_blocks):
    chance, path = random.Random(draw_seed()), tmp_path / "file.csv"
    for _ in range(CASES):
        path.write_bytes(content(chance))
        assert rows_of(path, 3) == rows_of(path, 1)
    say_tried("CSV files with the same rows by several threads", CASES)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_that_has_the_mark_of_an_end_gives_no_row_of_its_own_making(threads):
    """A quote that is open at the end of a block is in the last column, used or not."""
    text = b'x,5" pipe\n' + b"f,1\n" * 20 + b'\x00\x04\x00,"foo\nbar,baz"\n' + b"z,2\n" * 30
    expected = [row[0] for row in csv.reader(io.StringIO(text.decode()))]
    grammar = Grammar(("a", "b"), {"a": Spelling("utf8")}, ",", (), skips_blank_lines=True)
    for size in range(40, 160):
        found = [cell for cells in parse(grammar, iter([text]), size, threads) for cell in cells.rows.column(0)]
        assert [cell.as_py() for cell in found] == expected, size


def test_a_text_whose_quotes_never_pair_has_no_whole_row():
    rows = b'1,5" nail,3.50\n' + b'1,"Nail, long",3.50\n' * 50_000
    assert _end_of_rows(rows) == 0
    assert _end_of_rows(b"1,2\n" + rows) == 4
    assert _end_of_rows(rows + b'"\n') == len(rows) + 2


def test_text_after_a_closing_quote_is_found_wherever_a_text_is_cut():
    """Truth is Python's own parser in its strict mode."""
    chance = random.Random(draw_seed())
    for _ in range(20_000):
        text = "".join(chance.choice('""",\n\r ab') for _ in range(chance.randint(0, 14)))
        cuts = sorted(chance.randint(0, len(text)) for _ in range(3))
        pieces = [text[start:end].encode() for start, end in itertools.pairwise((0, *cuts, len(text)))]
        try:
            list(csv.reader(io.StringIO(text, newline=""), strict=True))
            is_stray = False
        except csv.Error as error:
            is_stray = "expected after" in str(error)
        try:
            assert b"".join(_without_stray_quotes(iter(pieces), ",")) == text.encode()
            assert not is_stray, (text, pieces)
        except StrayQuote:
            assert is_stray, (text, pieces)
    say_tried("texts cut into pieces", 20_000)
