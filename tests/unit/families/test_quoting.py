"""Which CSV files have quotes that every parser takes for the same; the pieces in which they are read do not matter."""

import random

import pytest

from osiris.components.filesystem_csv_extractor import quoting
from osiris.components.filesystem_csv_extractor.quoting import has_quotes, is_well_quoted

GOOD = [
    'a,b\n"x","y"\n',
    'a,b\n"x,\n""z""",1\n2,""\n',
    'a,b\r\n"x",\r\n"y","z"\r\n',
    'a,b\n"x",""',
    '"a","b"\n1,2',
    'a,b\n" x ","y,"\n"\n,\n",\n',
    'a,b\n"""","""x"\n',
]
BAD = [
    'a,b\n "x",y\n',
    'a,b\n"x" ,y\n',
    'a,b\nx"y,z\n',
    'a,b\n"x"y,z\n',
    'a,b\n"x",y,\n',
    'a,b\n"x",y\n1,2,\n',
    'a,b\n"x,y\n',
    'a,b\n"x",y,\r\n',
]


@pytest.mark.parametrize(("text", "well"), [*((t, True) for t in GOOD), *((t, False) for t in BAD)])
def test_quotes(tmp_path, text, well):
    file = tmp_path / "f.csv"
    file.write_bytes(text.encode())
    assert has_quotes(file)
    assert is_well_quoted(file, b",", 2) == well


def test_files_of_many_pieces(tmp_path):
    chance = random.Random(7)
    cells = ['"a, b "', '""', "plain", "", '"x\n"', '""" "']
    rows = [",".join([*(chance.choice(cells) for _ in range(3)), '" end,"']) for _ in range(400_000)]
    file = tmp_path / "f.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    assert file.stat().st_size > 2 * quoting._PIECE
    assert is_well_quoted(file, b",", 4)
    rows[300_000] += ","
    file.write_text("\n".join(rows), encoding="utf-8")
    assert not is_well_quoted(file, b",", 4)


def test_a_line_longer_than_a_piece(tmp_path):
    file = tmp_path / "f.csv"
    file.write_bytes(b'a,b\n"' + b"x,\n " * (6 * quoting._PIECE // 4) + b'",1\n')
    assert is_well_quoted(file, b",", 2)
    file.write_bytes(b'a,b\n"' + b"xyz " * (6 * quoting._PIECE // 4) + b'" ,1\n')
    assert not is_well_quoted(file, b",", 2)
