"""Encoders for columns that hold not every value of a type: each value is looked at, so that none becomes another.

The server would round, cut off or fill up most of what they refuse, without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.json_text import BadJson, parse
from osiris.families.postgres import encode as to
from osiris.families.sql.columnar import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.families.postgres.encode import Encode, Part

_SHOWN = 60
_LONGEST_NAME = 63
_NUMBER = r"^(?:0(?:\.\d+)?|-?(?:[1-9]\d*(?:\.\d+)?|0\.\d*[1-9]\d*)|NaN|-?Infinity)$"
"""A number as the server spells it, so that it reads back as the same text."""
_NAMED = r'"\s*:'
"""What follows each name of an object in JSON, and may stand in texts too."""
_FINE = r"[.,]\d{6}\d*[1-9]"
"""A fraction of more than six digits."""
_ZERO = r"(?:^|[^\\])(?:\\\\)*\\u0000"
"""U+0000 as it is escaped in JSON."""
_LETTER = r"^(?:[\x01-\x7f]?|\\[2-3][0-7]{2})$"
_FIRST_CODE = 0x80


def checked(encode: Encode, right: Callable[[pa.Array], pa.Array], reason: str) -> Encode:
    """Return an encoder that raises Unfit for the first value that is not right, as far as `encode` takes it at all."""

    def encode_right(array: pa.Array) -> Sequence[Part]:
        parts = encode(array)
        row = pc.index(right(array), False).as_py()
        if row >= 0:
            raise Unfit(row, _shown(array[row].as_py()), reason)
        return parts

    return encode_right


def _shown(value: object) -> str:
    return repr(value[:_SHOWN]) if isinstance(value, str) else str(value)


def without_zero(encode: Encode) -> Encode:
    """Return the encoder for JSON whose texts the server reads: those hold no U+0000."""
    why = "a text within it has the character U+0000, which the database cannot hold"
    return checked(encode, lambda array: pc.invert(pc.match_substring_regex(_texts(array), _ZERO)), why)


def _texts(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def limited(limit: int, *, exact: bool) -> Encode:
    """Return the encoder for a column of so many characters: the server would cut off blanks, or add some."""
    compare = pc.equal if exact else pc.less_equal
    why = f"the column has values of {'exactly' if exact else 'at most'} {limit} characters"
    return checked(to.texts, lambda array: compare(pc.utf8_length(array), limit), why)


def rounded_moments(encode: Encode, digits: int) -> Encode:
    """Return the encoder for times or timestamps of a column with fewer digits of seconds than six."""
    step = 10 ** (6 - digits)

    def right(array: pa.Array) -> pa.Array:
        count = array.view(pa.int64())
        return pc.equal(pc.multiply(pc.divide(count, step), step), count)

    return checked(encode, right, f"the column has {digits} digits behind the second")


def odd_decimals(digits: int, scale: int) -> Encode:
    """Return the encoder for a column whose scale is negative, or larger than its number of digits.

    Values of the type that it is read as end in zeros then, or begin with some behind the point.
    """

    def right(array: pa.Array) -> pa.Array:
        least = pc.round(array, scale if scale < 0 else scale - digits, "towards_zero")
        return pc.equal(least, array if scale < 0 else pa.scalar(0, array.type))

    return checked(to.decimals, right, f"the column is numeric({digits},{scale})")


def parsed_json(array: pa.Array) -> Sequence[Part]:
    """Encode JSON for a column that keeps its values and not its spelling: of a name that comes twice it keeps one."""
    parts = to.parsed_json(array)
    texts = _texts(array)
    several = pc.greater(pc.count_substring_regex(texts, _NAMED), 1)
    for row in np.flatnonzero(several.fill_null(False)):
        text = texts[int(row)].as_py()
        try:
            parse(text)
        except BadJson as bad:
            raise Unfit(int(row), _shown(text), bad.problem) from None
    return parts


fine_moments = checked(
    to.texts,
    lambda array: pc.invert(pc.match_substring_regex(array, _FINE)),
    "PostgreSQL counts microseconds",
)
names = checked(
    to.texts,
    lambda array: pc.less_equal(pc.binary_length(array), _LONGEST_NAME),
    f"a name has at most {_LONGEST_NAME} bytes",
)
numbers = checked(
    to.texts,
    lambda array: pc.match_substring_regex(array, _NUMBER),
    "it is not as PostgreSQL spells a number; cast it to a decimal",
)


def _letters(array: pa.Array) -> Sequence[Part]:
    """Encode values of the type "char", each of them one byte."""
    return to.blobs(pa.array([None if text is None else _byte(text) for text in array.to_pylist()], pa.binary()))


def _byte(text: str) -> bytes:
    """Return the byte behind a text: none is zero, and one beyond ASCII is spelled with a backslash in octal digits."""
    return bytes([int(text[1:], 8)]) if len(text) > 1 and text[1:].isdigit() else text.encode()[:1] or b"\0"


letters = checked(_letters, lambda array: pc.match_substring_regex(array, _LETTER), 'a "char" is one letter of ASCII')
