"""What becomes of values on their way, to a target and back, through a transform or a cast.

They come out as the same, as another type, or are refused.
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import OsirisError
from osiris.model import Field
from osiris.runner.worker.casts import cast_stream
from osiris.table import Digester
from osiris.testing.trial import fresh_folder, rows_of, table_of
from osiris.types import arrow_type, parse_type, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.errors import Diagnostic
    from osiris.model import Schema
    from osiris.testing.trial import Trial
    from osiris.testing.values import Sample

COLUMN = "c"
UNSIGNED, COMPACT = "-0 as 0", "documents without spaces"
_NUMBERS = ("int", "uint", "float", "decimal")
_INPUT = "input1"


class Unreadable(Exception):
    """Values were taken, and cannot be had back: what stands at the target is not what was sent."""


@dataclass(frozen=True, slots=True)
class Kept:
    """To the target of a writing step and, if `look` can see it, back; each table goes to a folder of its own."""

    trial: Trial
    look: Callable[[Path], pa.Table] | None = None

    def check(self, schema: Schema) -> None:
        """Have the writer look at the columns."""
        self.trial.check(schema)

    def carry(self, table: pa.Table) -> pa.Table:
        """Write, and read what is there; without `look` the rows that were taken."""
        with fresh_folder() as root:
            replace(self.trial, root=root).write(rows_of(table))
            try:
                return self.look(root) if self.look else table
            except OsirisError as error:
                raise Unreadable(f"it is written, and cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Passed:
    """Through a transforming step of one input, which gives its rows as they are."""

    trial: Trial

    def check(self, schema: Schema) -> None:
        """Have the step say what comes of the columns."""
        self.trial.describe({_INPUT: schema})

    def carry(self, table: pa.Table) -> pa.Table:
        """Return the output of the step."""
        return table_of(self.trial.transform({_INPUT: rows_of(table)}))


Way = Kept | Passed


class Outcome(NamedTuple):
    """What became of a sample: the type that came back, or why it was refused; `early` tells that no row was needed.

    `note` says which equal value came back in the place of another. `changed` shows a value that came back as one that
    is not equal, or as none at all, which must never be. `found` is the column that came back.
    """

    type: str | None = None
    refusal: Diagnostic | None = None
    early: bool = False
    note: str = ""
    changed: str | None = None
    found: pa.ChunkedArray | None = None


def outcomes(samples: Sequence[Sample], way: Way) -> list[Outcome]:
    """Return what becomes of each sample: ordinary ones travel together, and the others by themselves."""
    found = _early(samples, way)
    rest = [number for number in range(len(samples)) if number not in found]
    for strange in (False, True):
        numbers = [number for number in rest if bool(samples[number].what) == strange]
        found.update(zip(numbers, _together([samples[number] for number in numbers], way), strict=True))
    return [found[number] for number in range(len(samples))]


def _early(samples: Sequence[Sample], way: Way) -> dict[int, Outcome]:
    """Return, by the number of the sample, what is refused by its type."""
    refused: dict[str, Outcome] = {}
    for kind in dict.fromkeys(sample.type for sample in samples):
        try:
            way.check((Field(COLUMN, kind),))
        except OsirisError as error:
            refused[kind] = Outcome(refusal=error.diagnostics[0], early=True)
    return {number: refused[sample.type] for number, sample in enumerate(samples) if sample.type in refused}


def _together(samples: Sequence[Sample], way: Way) -> list[Outcome]:
    """Send samples as the columns of one table; by halves where something of them is refused."""
    import pyarrow as pa

    if not samples:
        return []
    rows = 1 + max(len(sample.values) for sample in samples)
    table = pa.table({f"{COLUMN}{number}": sample.array(rows) for number, sample in enumerate(samples)})
    try:
        found = way.carry(table)
    except (OsirisError, Unreadable) as error:
        if len(samples) > 1:
            middle = len(samples) // 2
            return [*_together(samples[:middle], way), *_together(samples[middle:], way)]
        if isinstance(error, OsirisError):
            return [Outcome(refusal=error.diagnostics[0])]
        return [Outcome(changed=str(error))]
    return [compare(table[n], found[n]) for n in range(len(samples))]


def compare(sent: pa.ChunkedArray, found: pa.ChunkedArray) -> Outcome:
    """Return what became of a column."""
    before, after = sent.combine_chunks(), found.combine_chunks()
    own, now = type_name(before.type), type_name(after.type)
    note, same = "", _digest(before) == _digest(after) if own == now else _alike(before, after, own, now)
    if own == "json" and not same:
        note, same = COMPACT, _documents(before.storage) == _documents(_texts(after))
    elif own.startswith("float") and now.startswith("float") and _signs(before) != _signs(after):
        note = UNSIGNED
    return Outcome(now, note=note, changed=None if same else f"{before} became {after}", found=found)


def _digest(array: pa.Array) -> object:
    import pyarrow as pa

    digester = Digester((Field("c", type_name(array.type)),), "fixed")
    digester.update(pa.record_batch([array], ["c"]))
    return digester.result()["value"]


def _signs(array: pa.Array) -> list[float]:
    return [math.copysign(1, value) for value in array.to_pylist() if value == 0]


def _alike(before: pa.Array, after: pa.Array, own: str, now: str) -> bool:
    """Tell whether values of another type say the same: as numbers, as documents, or in their spelling."""
    if all(parse_type(kind).kind.startswith(_NUMBERS) for kind in (own, now)):
        return _spelled(before) == _spelled(after) or _exact(before) == _exact(after)
    if now == "json":
        return _plain(before.to_pylist()) == _documents(after.storage)
    back = _back(after, own)
    return back is not None and _digest(before) == _digest(back)


def _spelled(array: pa.Array) -> list[str | None]:
    """Return numbers as they are spelled shortest, in one form for all types."""
    import pyarrow as pa

    texts = array.cast(pa.string()).to_pylist()
    return [None if text is None else str(Decimal(text).normalize() + 0) for text in texts]


def _exact(array: pa.Array) -> list[str | None]:
    """Return numbers with all of their digits."""
    return [None if value is None else str(Decimal(value)) for value in array.to_pylist()]


def _plain(value: object) -> object:
    """Return a value as JSON has it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    return value.isoformat().replace("+00:00", "Z")  # type: ignore[attr-defined]  # a date or a time


def _documents(texts: pa.Array) -> list[object]:
    return [None if text is None else json.loads(text, parse_float=Decimal) for text in texts.to_pylist()]


def _texts(array: pa.Array) -> pa.Array:
    """Return values that came from documents as the texts of such."""
    import pyarrow as pa

    if pa.types.is_string(array.type):
        return pa.array([None if text is None else json.dumps(text) for text in array.to_pylist()], pa.string())
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array.cast(pa.string())


def _back(array: pa.Array, kind: str) -> pa.Array | None:
    """Return values in the type from which they were made; None if they are none of its values."""
    import pyarrow as pa

    from osiris.families.text_format import Spelling, kind_of

    target = arrow_type(kind)
    if not pa.types.is_string(array.type):
        return array.cast(target)
    if kind == "uuid":
        stored = [None if text is None else uuid.UUID(text).bytes for text in array.to_pylist()]
        return pa.ExtensionArray.from_storage(target, pa.array(stored, target.storage_type))
    if isinstance(target, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(target, array)
    return Spelling(kind, declared=True).read(array) if kind_of(kind) else None


def cast_table(table: pa.Table, kind: str) -> pa.Table:
    """Return a table with all of its columns cast, by the rules of the config key `cast`; fails with DAT014."""
    return table_of(cast_stream(rows_of(table), dict.fromkeys(table.column_names, kind), "cast"))
