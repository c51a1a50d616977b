"""Whether quotes stand in CSV files where every parser takes them for the same: looked at as bytes, in pieces."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    import numpy as np

_PIECE = 4 << 20
_LONGEST = 4 * _PIECE
"""Bytes without a line break after which a piece ends within a line: its last byte is only a neighbour, too."""
_QUOTE, _LF, _CR = b'"'[0], b"\n"[0], b"\r"[0]


class _Look(NamedTuple):
    """What is seen in a piece: its quotes, and whether it is wrong if it begins outside or inside of a quoted cell."""

    quotes: int
    wrong: tuple[bool, bool]


def has_quotes(path: Path) -> bool:
    """Tell whether a quote stands anywhere in a file."""
    with path.open("rb") as source:
        return any(b'"' in piece for piece in iter(lambda: source.read(_PIECE), b""))


def is_well_quoted(path: Path, delimiter: bytes, columns: int) -> bool:
    """Tell whether quotes enclose whole cells only, and no row that ends in an empty cell has a cell too many.

    Parsers forgive blanks around a quoted cell and a delimiter behind the last one, each in its own way.
    """
    inside = False
    for look in _looks(path, delimiter, columns):
        if look.wrong[inside]:
            return False
        inside ^= look.quotes % 2 == 1
    return not inside


def _looks(path: Path, delimiter: bytes, columns: int) -> Iterator[_Look]:
    """Yield what is seen in each piece, in order; numpy lets several be looked at at once."""
    threads = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Look]] = deque()
        for piece in _pieces(path):
            waiting.append(pool.submit(_look, piece, delimiter, columns))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        yield from (each.result() for each in waiting)


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces from one line break to another, both of them with it."""
    text = b"\n"
    with path.open("rb") as source:
        while read := source.read(_PIECE):
            text += read
            if (end := text.rfind(b"\n", 1)) > 0:
                yield text[: end + 1]
                text = text[end:]
            elif len(text) > _LONGEST:
                yield text
                text = text[-2:]
    yield text + b"\n"


def _look(piece: bytes, delimiter: bytes, columns: int) -> _Look:
    import numpy as np

    text = np.frombuffer(piece, np.uint8)
    quotes = np.flatnonzero(text[1:-1] == _QUOTE) + 1
    opens = _is_any(text[quotes - 1], (delimiter[0], _LF, _CR))
    opens[1:] |= np.diff(quotes) == 1  # the second of two quotes, which mean one
    closes = _is_any(text[quotes + 1], (delimiter[0], _LF, _CR, _QUOTE))
    ends_empty = any(delimiter + end in piece for end in (b"\n", b"\r"))
    bad = tuple(
        not (opens[inside::2].all() and closes[1 - inside :: 2].all())
        or (ends_empty and _has_surplus(text, quotes, inside, delimiter, columns))
        for inside in (0, 1)
    )
    return _Look(len(quotes), (bad[0], bad[1]))


def _is_any(values: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    found: np.ndarray = np.logical_or.reduce([values == each for each in wanted])
    return found


def _has_surplus(text: np.ndarray, quotes: np.ndarray, inside: int, delimiter: bytes, columns: int) -> bool:
    """Tell whether a row ends in a delimiter and has not one less of them than there are columns."""
    import numpy as np

    def outside(places: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = places[(np.searchsorted(quotes, places) + inside) % 2 == 0]
        return chosen

    is_delimiter, is_end = text == delimiter[0], (text == _LF) | (text == _CR)
    last = outside(np.flatnonzero(is_delimiter[:-1] & is_end[1:]))
    if not len(last):
        return False
    delimiters, ends = outside(np.flatnonzero(is_delimiter)), outside(np.flatnonzero(is_end))
    begin = ends[np.searchsorted(ends, last) - 1]
    counts = np.searchsorted(delimiters, last, "right") - np.searchsorted(delimiters, begin)
    return bool((counts != columns - 1).any())
