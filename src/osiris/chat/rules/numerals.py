"""Numbers in words."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from osiris.chat.rules.vocabulary import NUMBERS, SCALES

if TYPE_CHECKING:
    from osiris.chat.rules.cursor import Cursor


def number_text(cursor: Cursor) -> str | None:
    """Read a number, in digits or in words: `1.5 million`, `five hundred`, `twenty five`; None if none comes."""
    digits = cursor.kind() == "number"
    if not digits and cursor.text() not in NUMBERS:
        return None
    word = cursor.text()
    cursor.at += 1
    if digits and cursor.text() not in SCALES:
        return word
    number = Fraction(word) if digits else Fraction(NUMBERS[word])
    ones = 1 if cursor.text() == "-" else 0
    if not digits and 20 <= number <= 90 and 1 <= NUMBERS.get(cursor.text(ones), 0) <= 9:
        number += NUMBERS[cursor.text(ones)]
        cursor.at += ones + 1
    while cursor.text() in SCALES:
        number *= SCALES[cursor.text()]
        cursor.at += 1
    return str(number) if number.denominator == 1 else None
