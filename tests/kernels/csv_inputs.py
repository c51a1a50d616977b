"""Columns that are written as CSV, as its writer passes them, and texts that a spreadsheet may take for formulas."""

from __future__ import annotations

import pyarrow as pa
from tests.kernels.arrow_inputs import SPELLED, array_of, decimal_kind, lying, rows_of
from tests.kernels.cases import Beyond, exact, inputs_of


@inputs_of("csv_rows")
def rows(chance, plain):
    from osiris.families.csv_text import TextColumn

    count = rows_of(chance)
    kinds = [_kind(chance) for _ in range(chance.randint(1, 6))]
    columns = [
        TextColumn(array_of(chance, kind, count, wild=not plain), _quoted(chance, kind, plain)) for kind in kinds
    ]
    delimiter, end = chance.choice((",", ";", "\t", "|")), chance.choice(("\n", "\r\n"))
    if plain:
        return columns, delimiter, end
    if chance.random() < 0.1:
        return [], delimiter, end
    if chance.random() < 0.2:
        wrong = lying(chance, array_of(chance, pa.string(), count))
        if wrong is not None:
            return Beyond(([*columns, TextColumn(wrong, chance.choice(("none", "needy", "all")))], delimiter, end))
    return (
        columns,
        chance.choice((delimiter, *":1-.a ", "é", "😀", '"', "\n", "\0", "")),
        chance.choice((end, "", "\r", "é\n")),
    )


def _kind(chance):
    return chance.choice((*SPELLED, pa.string(), pa.string(), decimal_kind(chance), pa.json_(pa.string())))


def _quoted(chance, kind, plain):
    if plain:
        is_text = pa.types.is_string(kind) or isinstance(kind, pa.BaseExtensionType)
        return chance.choice(("needy", "needy", "all") if is_text else ("none", "none", "all"))
    return chance.choice(("none", "none", "needy", "all"))


@inputs_of("csv_formulas")
def formulas(chance, plain):
    texts = array_of(chance, pa.string(), rows_of(chance))
    if plain:
        return (_of_half_width(texts),)
    wrong = None if chance.random() < 0.5 else lying(chance, texts)
    return (texts,) if wrong is None else Beyond((wrong,))


def _of_half_width(texts):
    """Return texts without byte order marks and full-width characters, which the compiled function does not handle."""
    kept = [None if each and b"\xef" in each.encode() else each for each in texts.to_pylist()]
    return exact(pa.array(["", *kept], pa.string()).slice(1))
