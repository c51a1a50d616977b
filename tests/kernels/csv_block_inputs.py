"""Rows of CSV files by their columns: spelled as our own writer would, or in any other way."""

from __future__ import annotations

from tests.kernels.cases import inputs_of, touched

from osiris.families.files.csv_blocks import Grammar
from osiris.families.text_format import Checked, Spelling

TYPES = (
    "utf8",
    "int64",
    "decimal(38,2)",
    "decimal(5,2)",
    "decimal(18,18)",
    "decimal(38,0)",
    "decimal(76,20)",
    "date",
    "bool",
    "int32",
)
WHOLE = ("0", "7", "-3", "42", "999", "-999999999999999999")
PLAIN = {
    "int64": (*WHOLE, "123456789012345678"),
    "int32": WHOLE[:5],
    "date": ("1970-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "2000-02-29", "1900-03-01"),
    "bool": ("true", "false"),
    "decimal(38,2)": (*WHOLE[:5], "0.5", "-0.01", "21168.23", "-12345678901234.56"),
    "decimal(5,2)": ("0", "1.5", "-0.01", "999.99"),
    "decimal(18,18)": ("0", "0.5", "-0.123456789012345678"),
    "decimal(38,0)": WHOLE,
    "decimal(76,20)": WHOLE,
    "utf8": ("a", "é日", "a b", '"x,y"', '"a""b"', '""', '"a\nb"', '"x\r\ny"', '""""', '5" pipe', "word" * 9),
}
ODD = (
    *("007", "-0", "+1", "0x1F", " 1", "1.0", "-", "9" * 19, "9223372036854775808", '""', "1e3", "NaN", "-0.00"),
    *(".5", "5.", "1.555", "1.550", "00.1", "1..2", "-.5", "1234.5", "2023-02-29", "0000-01-01", "2024-13-01"),
    *("2024-1-1", "2024-01-01 ", "1900-02-29", "20a4-01-01", "True", '"a"b', '"open', "\ufeff", "\0", "\x00\x04\x00"),
)


def _cell(chance, kind, odd):
    if chance.random() < 0.1:
        return ""
    if chance.random() < odd:
        return chance.choice(ODD)
    cell = chance.choice(PLAIN[kind])
    return f'"{cell}"' if kind != "utf8" and chance.random() < 0.1 else cell


@inputs_of("csv_columns")
def text(chance, plain):
    """Return rows with line ends and the final end row, and their grammar."""
    types = [chance.choice(TYPES) for _ in range(chance.randint(2, 6))]
    names = [f"c{number}" for number in range(len(types))]
    wanted = chance.sample(names, chance.randint(1, len(names)))
    kinds = dict(zip(names, types, strict=True))
    columns = {name: chance.choice((Spelling, Spelling, Checked))(kinds[name]) for name in wanted}
    delimiter = "," if plain else chance.choice(",;\t|é.1")
    grammar = Grammar(names, columns, delimiter, () if plain else chance.choice(((), ("7",))), chance.random() < 0.5)
    end, odd = chance.choice(("\n", "\n", "\r\n")), 0 if plain else chance.choice((0, 0.01, 0.2))
    size = chance.choice((0, 1, 3, 50))
    rows = [delimiter.join(_cell(chance, kind, odd) for kind in types) + end for _ in range(size)]
    if not plain and rows and chance.random() < 0.3:
        rows[chance.randrange(len(rows))] = chance.choice(("", end, delimiter + end, rows[0] + "\r", rows[0] * 2, '"'))
    content = (chance.choice(("", "\ufeff")) + "".join(rows)).encode()
    content = content if plain or chance.random() < 0.5 else touched(chance, content)
    return content + grammar.end_row, grammar
