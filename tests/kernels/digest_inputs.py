"""Columns that are digested, without extension types, as in batches."""

from __future__ import annotations

import pyarrow as pa
from tests.kernels.arrow_inputs import SPELLED, array_of, decimal_kind, lying, rows_of
from tests.kernels.cases import Beyond, exact, inputs_of


def flat_kind(chance):
    return chance.choice(
        (*SPELLED, pa.string(), pa.binary(), pa.binary(16), decimal_kind(chance), decimal_kind(chance))
    )


def kind_of(chance, depth=0):
    """Return a type of values that are digested, including lists and structs."""
    if depth > 2 or chance.random() < 0.7:
        return flat_kind(chance)
    if chance.random() < 0.5:
        return pa.list_(kind_of(chance, depth + 1))
    names = "abc"[: chance.randint(1, 3)]
    return pa.struct([(name, kind_of(chance, depth + 1)) for name in names])


@inputs_of("digest_rows")
def rows(chance, plain):
    count = (
        chance.choice((rows_of(chance), rows_of(chance), 8191, 8192, 8193))
        if chance.random() < 0.05
        else rows_of(chance)
    )
    arrays = [array_of(chance, kind_of(chance), count, wild=True) for _ in range(chance.randint(1, 5))]
    if plain:
        return (arrays,)
    if chance.random() < 0.1:
        return ([],)
    if chance.random() < 0.1:
        arrays += [pa.nulls(count), array_of(chance, pa.binary(chance.choice((1, 8, 15, 24))), count)]
    wrong = lying(chance, array_of(chance, chance.choice((pa.string(), pa.binary())), count))
    return Beyond(([*arrays, wrong],)) if wrong is not None and chance.random() < 0.5 else (arrays,)


@inputs_of("digest_parts")
def parts(chance, plain):
    array = array_of(chance, flat_kind(chance), rows_of(chance), wild=True)
    if plain and not array.null_count and not _has_other_bytes(array.type):
        array = exact(pa.array([True, None]))  # what has its bytes there already is left to Python
    first = chance.choice((0, 1, 8192, 2**31, 2**32 + 1, 2**63 - 1))
    if plain:
        return array, first
    wrong = lying(chance, array) if pa.types.is_string(array.type) or pa.types.is_binary(array.type) else None
    return Beyond((wrong, first)) if wrong is not None else (array, chance.choice((first, 2**64 - 300)))


def _has_other_bytes(kind):
    """Return whether values are digested by other bytes than Arrow's."""
    is_narrow = pa.types.is_decimal128(kind) and kind.precision <= 18
    return is_narrow or pa.types.is_boolean(kind) or pa.types.is_floating(kind)
