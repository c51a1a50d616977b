"""CRC-32C (Castagnoli), the checksum of all objects: many lanes at a time, since Python itself would take minutes."""

from __future__ import annotations

import functools

import numpy as np

_POLYNOMIAL, _ONES = 0x82F63B78, 0xFFFFFFFF
_LANES, _WORDS = 4096, 16
_BLOCK = _LANES * _WORDS * 4


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """Return the checksum of earlier data and `data`; `before` is the checksum of the former."""
    view = memoryview(data)
    for start in range(0, len(view), _BLOCK):
        piece = view[start : start + _BLOCK]
        before = _shifted(before ^ _ONES, len(piece)) ^ _remainder(piece) ^ _ONES
    return before


def combined(first: int, second: int, length: int) -> int:
    """Return the checksum of two consecutive pieces; `length` is that of the second."""
    return _shifted(first, length) ^ second


def _shifted(value: int, length: int) -> int:
    """Return a remainder after appending that many zero bytes."""
    power = 0
    while length >> power:
        if length >> power & 1:
            value = _apply(_zeros(power), value)
        power += 1
    return value


def _remainder(piece: memoryview) -> int:
    """Divide each lane by itself, then put neighbours together; zeros in front change nothing."""
    block = np.zeros(_BLOCK, np.uint8)
    block[_BLOCK - len(piece) :] = np.frombuffer(piece, np.uint8)
    state = np.zeros(_LANES, np.uint32)
    for words in np.ascontiguousarray(block.view("<u4").reshape(_LANES, _WORDS).T):
        state = _looked_up(_tables(2), state ^ words)
    power = (_WORDS * 4).bit_length() - 1
    while len(state) > 1:
        state = _looked_up(_tables(power), state[::2]) ^ state[1::2]
        power += 1
    return int(state[0])


def _looked_up(tables: tuple[np.ndarray, np.ndarray], values: np.ndarray) -> np.ndarray:
    low, high = tables
    return low[values & 0xFFFF] ^ high[values >> 16]


@functools.cache
def _zeros(power: int) -> tuple[int, ...]:
    """What 2**power bytes of zero make of each bit of a remainder."""
    if power:
        half = _zeros(power - 1)
        return tuple(_apply(half, column) for column in half)
    columns = [1 << bit for bit in range(32)]
    for _ in range(8):
        columns = [column >> 1 ^ (_POLYNOMIAL if column & 1 else 0) for column in columns]
    return tuple(columns)


def _apply(columns: tuple[int, ...], value: int) -> int:
    result = 0
    for bit, column in enumerate(columns):
        if value >> bit & 1:
            result ^= column
    return result


@functools.cache
def _tables(power: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for each lower half and each upper half of a remainder."""
    halves = np.arange(1 << 16, dtype=np.uint32)
    columns = np.array(_zeros(power), np.uint32)
    low, high = np.zeros_like(halves), np.zeros_like(halves)
    for bit in range(16):
        chosen = halves >> np.uint32(bit) & np.uint32(1)
        low ^= chosen * columns[bit]
        high ^= chosen * columns[bit + 16]
    return low, high
