"""64-bit hashes of the cells of Arrow arrays, which the unordered digest adds up, and the canonical bytes of cells.

All arithmetic is on unsigned 64-bit words and wraps around. Every operation and constant here defines the digest: see
docs/decisions/0002-digests.md; golden vectors test them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Places = NDArray[np.int64]

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
FIELD = 0xD6E8FEB86659FD93
MIX = ((0xBF58476D1CE4E5B9, 32), (0x94D049BB133111EB, 29))
NULL = 0x6A09E667F3BCC908

_SHORT = 16
"""Texts of up to this many words are hashed word by word, for all rows at once; longer ones by running sums."""

_ITEMS = 1 << 14
"""The words of text, or items of lists, that are hashed at a time: their arrays fit into the processor's cache."""


def hash_cells(array: pa.Array) -> Words:
    """Return the hash of each cell of an array; NULL has the same hash in every type."""
    kind = array.type
    if is_text(kind) or is_.is_list(kind):
        return _hash_varying(array)
    if is_.is_struct(kind):
        hashes = side_by_side([hash_cells(child) for child in array.flatten()])
    else:
        hashes = _hash_fixed(fixed(array))
    if array.null_count:
        hashes[_nulls(array)] = NULL
    return hashes


def side_by_side(parts: list[Words]) -> Words:
    """Return the hash of each row or struct from the hashes of its cells, which depends on their positions."""
    total = parts[0].copy()
    for part in parts[1:]:
        total *= np.uint64(FIELD)
        total += part
    return _mix(total)


def _nulls(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _hash_fixed(values: pa.Array) -> Words:
    """Hash values of up to one word, with signed integers sign-extended; wider values are hashed as texts of bytes."""
    kind = values.type
    if is_.is_fixed_size_binary(kind):
        return _hash_wide(values, kind.byte_width // 8)
    words = values.to_numpy().astype(np.int64 if is_.is_signed_integer(kind) else np.uint64).view(np.uint64)
    words += np.uint64(STEP)
    return _mix(words)


def _hash_wide(values: pa.Array, width: int) -> Words:
    """Hash values of `width` words with the same result as `_hash_texts`, but without computing where each begins."""
    if not len(values):
        return np.zeros(0, dtype=np.uint64)
    words = np.frombuffer(values.buffers()[1], "<u8", len(values) * width, values.offset * width * 8)
    sums = np.full(len(values), _mix(_places(np.array([width])))[0], dtype=np.uint64)
    for position, column in enumerate(words.reshape(-1, width).T, 1):
        sums += _mix(column + np.uint64(position * STEP & WORD))
    return _mix(sums)


def _hash_varying(array: pa.Array) -> Words:
    if array.null_count:
        cells = np.full(len(array), NULL, dtype=np.uint64)
        cells[~_nulls(array)] = _hash_varying(array.drop_null())
        return cells
    hashes = _hash_texts if is_text(array.type) else _hash_lists
    parts = [hashes(piece) for piece in _pieces(array)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _pieces(array: pa.Array) -> Iterator[pa.Array]:
    """Split texts or lists without NULL into pieces of limited size; a larger row is a piece of its own."""
    first, last = ends(array)
    limit = _ITEMS * 8 if is_text(array.type) else _ITEMS
    if last - first <= limit or len(array) <= 1:
        yield array
        return
    half = len(array) // 2
    yield from _pieces(array.slice(0, half))
    yield from _pieces(array.slice(half))


def _bounds(array: pa.Array) -> Places:
    """Return the offsets, from 0, at which rows of texts or lists begin, and the end of the last row."""
    if not len(array):
        return np.zeros(1, dtype=np.int64)
    offsets = np.frombuffer(array.buffers()[1], dtype="<i4", count=len(array) + 1, offset=4 * array.offset)
    bounds = offsets.astype(np.int64)
    bounds -= bounds[0]
    return bounds


def _hash_lists(array: pa.Array) -> Words:
    """Hash lists by the hashes of their items, with their positions, and by their length."""
    bounds, items = _bounds(array), array.flatten()
    if len(array) == 1:
        sums = _total(len(items), lambda start, count: hash_cells(items.slice(start, count)))
    else:
        sums = _totals(bounds, hash_cells(items))
    sums += _places(np.diff(bounds))
    return _mix(sums)


def _hash_texts(array: pa.Array) -> Words:
    """Hash texts by their words of eight bytes, with their positions.

    The last word has the remaining zero to seven bytes, and their number in its highest byte.
    """
    bounds = _bounds(array)
    sizes = np.diff(bounds)
    counts = sizes >> 3
    text = _Bytes(array)
    max_words = int(counts.max(initial=0))
    if max_words <= _SHORT:
        sums = _short_totals(text, bounds[:-1], counts, max_words)
    elif len(array) == 1:
        sums = _total(max_words, lambda start, count: text.words(_multiples(8, count).view(np.int64) + 8 * start))
    else:
        until = np.zeros(len(bounds), dtype=np.int64)
        np.cumsum(counts, out=until[1:])
        at = np.repeat(bounds[:-1] - 8 * until[:-1], counts)
        at += _multiples(8, len(at)).view(np.int64)
        sums = _totals(until, text.words(at))
    rest = sizes & 7
    last = text.words(bounds[1:] - rest)
    last &= _KEPT.take(rest, mode="clip")
    last |= rest.view(np.uint64) << np.uint64(56)
    last += _places(counts)
    sums += _mix(last)
    return _mix(sums)


_KEPT = np.array([(1 << (8 * size)) - 1 for size in range(8)], dtype=np.uint64)


class _Bytes:
    """The bytes of texts, from which words can be read at any offset."""

    def __init__(self, array: pa.Array) -> None:
        first, last = ends(array)
        size = last - first
        self._aligned = np.zeros(size // 8 + 2, dtype="<u8")
        if size:
            bytes_ = np.frombuffer(array.buffers()[2], dtype=np.uint8, count=size, offset=first)
            self._aligned.view(np.uint8)[:size] = bytes_
        self._behind = self._aligned[1:] << np.uint64(1)

    def words(self, at: Places) -> Words:
        """Return the eight bytes at each offset, combined from the two aligned words that contain them."""
        index = at >> 3
        shift = (at & 7).view(np.uint64)
        shift <<= np.uint64(3)
        words = self._aligned.take(index, mode="clip")
        words >>= shift
        np.subtract(np.uint64(63), shift, out=shift)
        following = self._behind.take(index, mode="clip")
        following <<= shift
        words |= following
        return words


def _totals(bounds: Places, items: Words) -> Words:
    """Return the sum of each row's items, each mixed with its position in the row; overwrites `items`."""
    if not len(items):
        return np.zeros(len(bounds) - 1, dtype=np.uint64)
    before = 1 - bounds[:-1]
    items += np.repeat(before.view(np.uint64) * np.uint64(STEP), np.diff(bounds))
    items += _multiples(STEP, len(items))
    sums = np.zeros(len(items) + 1, dtype=np.uint64)
    np.cumsum(_mix(items), out=sums[1:])
    return np.diff(sums.take(bounds, mode="clip"))


def _short_totals(text: _Bytes, starts: Places, counts: Places, max_words: int) -> Words:
    """Return the same sums for texts of a few words: of all first words, then all second ones, and so on."""
    totals = np.zeros(len(counts), dtype=np.uint64)
    for position in range(max_words):
        rows = np.flatnonzero(counts > position)
        words = text.words(starts.take(rows, mode="clip") + 8 * position)
        words += np.uint64((position + 1) * STEP & WORD)
        totals[rows] += _mix(words)
    return totals


def _total(count: int, items: Callable[[int, int], Words]) -> Words:
    """Return the same sum for a single row of any size; `items(start, count)` returns a part of its items."""
    total = np.zeros(1, dtype=np.uint64)
    for start in range(0, count, _ITEMS):
        part = items(start, min(_ITEMS, count - start))
        part += _multiples(STEP, len(part))
        part += np.uint64((start + 1) * STEP & WORD)
        total += _mix(part).sum(dtype=np.uint64)
    return total


def _places(counts: Places) -> Words:
    """Return STEP times the position after `counts` items."""
    positions = (counts + 1).view(np.uint64)
    positions *= np.uint64(STEP)
    return positions


def _mix(words: Words) -> Words:
    """Mix the bits of each word in place, by a bijection."""
    for factor, shift in MIX:
        words *= np.uint64(factor)
        words ^= words >> np.uint64(shift)
    return words


def _multiples(factor: int, count: int) -> Words:
    """Return 0, 1, 2, … times a factor."""
    return _power_of_two_multiples(factor, 1 << max(count - 1, 0).bit_length())[:count]


@lru_cache(maxsize=8)
def _power_of_two_multiples(factor: int, count: int) -> Words:
    return np.arange(count, dtype=np.uint64) * np.uint64(factor)


_NAN = {32: 0x7FC00000, 64: 0x7FF8000000000000}
_ONE_WORD_DIGITS = 18


def plain(array: pa.Array) -> pa.Array:
    """Return an array without extension types at any depth: a uuid is its 16 bytes, json its text."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return array.storage
    if not _has_extension(kind):
        return array
    if is_.is_list(kind):
        return relisted(array, plain(array.values))
    children = [plain(child) for child in array.flatten()]
    return pa.StructArray.from_arrays(children, names=[child.name for child in kind.fields], mask=array.is_null())


def relisted(lists: pa.Array, items: pa.Array) -> pa.Array:
    """Return lists with the same offsets and other items."""
    validity, offsets = lists.buffers()[:2]
    kind = pa.list_(items.type)
    return pa.Array.from_buffers(kind, len(lists), [validity, offsets], offset=lists.offset, children=[items])


def _has_extension(kind: pa.DataType) -> bool:
    inner = (kind.field(i).type for i in range(kind.num_fields))
    return isinstance(kind, pa.BaseExtensionType) or any(_has_extension(each) for each in inner)


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are bytes of varying length."""
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def ends(array: pa.Array) -> tuple[int, int]:
    """Return where the bytes of texts, or the items of lists, begin and end that belong to an array's rows."""
    offsets = array.buffers()[1]
    if not len(array) or offsets is None:
        return 0, 0
    numbers = memoryview(offsets).cast("i")
    return numbers[array.offset], numbers[array.offset + len(array)]


def fixed(array: pa.Array) -> pa.Array:
    """Return the canonical form of an array of fixed width, without validity; what stands under NULL is arbitrary.

    bool: one byte. Floats: their bits, all NaN alike, and both zeros. Decimals of up to 18 digits: 8 bytes. The rest
    as in Arrow.
    """
    kind = array.type
    if is_.is_boolean(kind):
        return _bare(array.cast(pa.uint8()), pa.uint8())
    if is_.is_floating(kind):
        return _float_bits(array)
    if is_.is_decimal128(kind) and kind.precision <= _ONE_WORD_DIGITS:
        halves = pa.Array.from_buffers(pa.int64(), 2 * len(array), [None, array.buffers()[1]], offset=2 * array.offset)
        return halves.take(_even(len(array)))
    if is_.is_integer(kind):
        return _bare(array, kind)
    width = kind.bit_width
    return _bare(array, {32: pa.int32(), 64: pa.int64()}.get(width) or pa.binary(width // 8))


def _bare(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the values alone, seen as another type of the same width."""
    return pa.Array.from_buffers(kind, len(array), [None, array.buffers()[1]], offset=array.offset)


def _float_bits(array: pa.Array) -> pa.Array:
    """Return the bits of floats, the same for all that SQL takes for equal: adding zero makes -0.0 to 0.0."""
    width = array.type.bit_width
    bits = pa.uint32() if width == 32 else pa.uint64()
    floats = pc.add(_bare(array, array.type), pa.scalar(0.0, array.type))
    values = _bare(floats, bits)
    nan = pc.is_nan(floats)
    return pc.if_else(nan, pa.scalar(_NAN[width], bits), values) if pc.any(nan).as_py() else values


@lru_cache(maxsize=4)
def _even(count: int) -> pa.Array:
    return pa.arange(0, 2 * count, 2)
