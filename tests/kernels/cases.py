"""Inputs of compiled functions, and the required result: the same as the Python function's, or None.

`GENERATORS` has a function by name: from a source of randomness and the difficulty of the input it makes arguments. The
same randomness gives the same arguments again, each time in new memory, so a case is identified by `number` and `seed`.
Arrays have exactly the bytes that they need, so that a sanitizer detects a read beyond them.
"""

from __future__ import annotations

import importlib
import random
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import osiris
from osiris.families.sql.columnar import Page, Rows
from osiris.families.sql.wire import SPARE
from osiris.kernels import TWINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Beyond(tuple):
    """Arguments with which the Python function itself would read out of bounds: a compiled one must not handle them."""


GENERATORS: dict[str, Callable[[random.Random, bool], Sequence[Any]]] = {}


def inputs_of(name: str) -> Callable[[Any], Any]:
    """Return a decorator that registers the generator of a function: it gets randomness, and whether the input is
    plain.
    """

    def keep(generator: Any) -> Any:
        GENERATORS[name] = generator
        return generator

    return keep


@cache
def twins() -> dict[str, Callable[..., Any]]:
    """Return the Python function of each name that may have a compiled version, from all modules of Osiris."""
    root = Path(osiris.__file__).parent
    for file in sorted(root.rglob("*.py")):
        if "@compiled(" in file.read_text("utf-8"):
            importlib.import_module(".".join(("osiris", *file.relative_to(root).with_suffix("").parts)))
    return TWINS


@dataclass(frozen=True)
class Case:
    """One input of a compiled function; it is plain if its number is even."""

    name: str
    seed: int
    number: int

    @property
    def plain(self) -> bool:
        """Whether the compiled function must give a result."""
        return self.number % 2 == 0

    def arguments(self) -> Sequence[Any]:
        """Return the arguments, each time in new memory."""
        chance = random.Random(f"{self.name} {self.seed} {self.number}")
        return GENERATORS[self.name](chance, self.plain)


def judge(case: Case, twin: Callable[..., Any], python: Callable[..., Any]) -> bool:
    """Try one case; returns whether the compiled function gave a result. Raises AssertionError for a wrong one."""
    ours, theirs = with_spare(case.arguments()), case.arguments()
    before = spelled(theirs)
    made = twin(*theirs)
    if made is None:
        assert spelled(theirs) == before, f"{case}: it left the case to Python, but changed the arguments"
        return False
    assert not isinstance(ours, Beyond), f"{case}: it answered what lies beyond its arguments"
    try:
        expected = python(*ours)
    except Exception as error:
        raise AssertionError(f"{case}: Python raises {error!r}, the twin gives {spelled(made)}") from error
    difference = next(differences(expected, made), None)
    assert difference is None, f"{case}: {difference}"
    assert spelled(theirs) == spelled(ours), f"{case}: the arguments are not the same afterwards"
    return True


def tried(
    name: str, seed: int, numbers: range, twin: Callable[..., Any], tell: Callable[[str], object] = len
) -> list[int]:
    """Try cases of a compiled function; returns the plain ones without a result.

    `tell` is called with each case first.
    """
    python, left = twins()[name], []
    with np.errstate(all="ignore"):  # of hostile input, which the Python function computes with too
        for number in numbers:
            case = Case(name, seed, number)
            tell(str(case))
            if not judge(case, twin, python) and case.plain:
                left.append(number)
    return left


_OCTETS = (pa.Buffer, memoryview, bytes)


def differences(one: Any, other: Any, at: str = "result") -> Iterator[str]:
    """Yield the differences between results: in kind, type, shape or bytes. A buffer equals an array of its bytes."""
    if isinstance(one, _OCTETS) or isinstance(other, _OCTETS):
        if _bytes(one) != _bytes(other):
            yield f"{at}: {_bytes(one)!r} is now {_bytes(other)!r}"
    elif isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)) and len(one) == len(other):
        for number, (mine, its) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, its, f"{at}[{number}]")
    elif spelled(one) != spelled(other):
        yield f"{at}: {spelled(one)!r} is now {spelled(other)!r}"


def _bytes(value: Any) -> bytes:
    return value.tobytes() if isinstance(value, np.ndarray) else bytes(value or b"")


def spelled(value: Any) -> Any:
    """Return a value in comparable form: arrays as their type, shape and bytes."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, (pa.Array, pa.ChunkedArray, pa.RecordBatch)):
        return ("arrow", str(value.type if hasattr(value, "type") else value.schema), *_spelled_arrow(value))
    if isinstance(value, pa.Buffer):
        return ("buffer", value.to_pybytes())
    if isinstance(value, Page):
        return ("page", bytes(value.buffer).rstrip(b"\0"))
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *(spelled(getattr(value, each.name)) for each in fields(value)))
    if isinstance(value, (tuple, list)):
        return (type(value).__name__.replace("Beyond", "tuple"), *map(spelled, value))
    if isinstance(value, dict):
        return ("dict", *((key, spelled(each)) for key, each in value.items()))
    if isinstance(value, float):
        return value.hex()
    return value


def _spelled_arrow(value: Any) -> tuple[Any, ...]:
    """Return an Arrow array's length, offset and the bytes of its buffers."""
    if isinstance(value, pa.RecordBatch):
        return tuple(map(spelled, value.columns))
    if isinstance(value, pa.ChunkedArray):
        return tuple(map(spelled, value.chunks))
    buffers = [None if buffer is None else buffer.to_pybytes() for buffer in value.buffers()]
    return (len(value), value.offset, *buffers)


# --- memory of an exact size, and arrays that are no plain ones ------------------------------------------------------


def page_of(data: bytes) -> Page:
    """Return a page with exactly these bytes: a bytearray has one more after them."""
    page = Page.__new__(Page)
    Page.__init__(page, np.frombuffer(data, np.uint8).copy())  # type: ignore[arg-type]
    return page


def with_spare(value: Any) -> Any:
    """Return arguments whose pages are followed by the zero bytes that the Python functions need."""
    if isinstance(value, Page):
        return page_of(bytes(value.buffer) + bytes(SPARE))
    if isinstance(value, Rows):
        return replace(value, page=with_spare(value.page))
    return type(value)(map(with_spare, value)) if isinstance(value, (tuple, list)) else value


def numbers(values: Any, kind: Any = np.int64) -> Any:
    """Return a new array of some numbers."""
    return np.array(list(values), kind)


def odd(chance: random.Random, array: Any) -> Any:
    """Return an array with the same items, perhaps with gaps between them, or read-only."""
    way = chance.randrange(6)
    if way == 0:
        wide = np.zeros((len(array), 3), array.dtype)
        wide[:, 1] = array
        return wide[:, 1]
    if way == 1:
        return array[::-1].copy()[::-1]
    if way == 2:
        memory = np.zeros(array.nbytes + 1, np.uint8)
        beside = memory[1:].view(array.dtype) if len(array) else array
        beside[:] = array
        return beside
    if way == 3:
        array = array.copy()
        array.setflags(write=False)
    return array


def places(chance: random.Random, array: Any, size: int, low: int = 0) -> Any:
    """Return positions of which some are wrong: near or far outside of a buffer of that size, or the limits of int64.

    None is between 0 and `low`.
    """
    array = array.copy()
    for _ in range(chance.randint(1, 3) if len(array) else 0):
        array[chance.randrange(len(array))] = wrong_place(chance, size, low)
    return array


def wrong_place(chance: random.Random, size: int, low: int = 0) -> int:
    """Return a position at the end of a buffer, beyond it, before it, or anywhere."""
    return chance.choice(
        (
            max(low, size - chance.randint(0, 40)),
            size + chance.randint(0, 40),
            chance.randint(low, max(low, size)),
            *(-1, -8, 2**31 - 1, 2**31, 2**32, -(2**31), 2**62, 2**63 - 1, -(2**63), 2**63 - chance.randint(1, 64)),
        )
    )


def touched(chance: random.Random, data: bytes, low: int = 0) -> bytes:
    """Return bytes of which a few after `low` are changed."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5)) if len(changed) > low else 0):
        at = chance.randrange(low, len(changed))
        changed[at] = chance.choice((0, 1, 9, 0x7F, 0x80, 0xFF, 0x30, 0x39, 0x3A, chance.randrange(256)))
    return bytes(changed)


def some_bytes(chance: random.Random, most: int = 40) -> bytes:
    """Return bytes: of ASCII, of UTF-8, or any."""
    size = chance.choice((0, 1, 2, 7, 8, 9, chance.randint(0, most)))
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(size)
    if kind == 1:
        return "".join(chance.choices('ažluť😀日é,"\r\n\\\0 ', k=size)).encode()
    return bytes(chance.choices(range(32, 127), k=size))


def exact(array: Any) -> Any:
    """Return an Arrow array with the same items whose buffers end with the last byte that it needs."""
    kind, last = array.type, array.offset + len(array)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, exact(array.storage))
    if pa.types.is_struct(kind):
        mask = pa.array(np.asarray(array.is_null())) if array.null_count else None
        return pa.StructArray.from_arrays(list(map(exact, array.flatten())), fields=list(kind), mask=mask)
    valid, *parts = array.buffers()[: kind.num_buffers]
    parts = [_beginning(part, size) for part, size in zip(parts, _sizes(array, kind, last), strict=True)]
    inner = [exact(array.values)] if pa.types.is_list(kind) else None
    whole = [_beginning(valid, -(-last // 8)), *parts]
    return pa.Array.from_buffers(kind, len(array), whole, array.null_count, array.offset, children=inner)


def _sizes(array: Any, kind: pa.DataType, last: int) -> list[int]:
    """Return the number of bytes that an array needs of each buffer, without that of the NULLs."""
    if pa.types.is_null(kind):
        return []
    if not _is_of_offsets(kind):
        return [-(-last * kind.bit_width // 8)]
    wide = 8 if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) else 4
    offsets = array.buffers()[1]
    end = np.frombuffer(offsets, f"<i{wide}", last + 1)[last] if offsets is not None and offsets.size else 0
    return [wide * (last + 1), *([] if pa.types.is_list(kind) else [int(end)])]


def _is_of_offsets(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_binary,
        pa.types.is_large_string,
        pa.types.is_large_binary,
        pa.types.is_list,
    )
    return any(test(kind) for test in tests)


def _beginning(buffer: Any, size: int) -> Any:
    """Return a copy of the first bytes of a buffer, in new memory."""
    return None if buffer is None else pa.py_buffer(np.frombuffer(buffer, np.uint8, min(size, buffer.size)).copy())
