"""Values of every type that are hard to carry, and their outcome in a component.

They are written to a target and read back, or pass a transform or a cast, and are kept, changed to another type, or
rejected.
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from osiris.errors import OsirisError
from osiris.model import Field
from osiris.registry import Registry, load_registry
from osiris.runner.worker.casts import cast_stream
from osiris.table import Digester
from osiris.testing.trial import Case, example_case, fresh_folder, rows_of, table_of
from osiris.types import arrow_type, parse_type, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.errors import Diagnostic
    from osiris.model import Schema
    from osiris.testing.trial import Trial


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""The first and last day of the years 1 to 9999, counted from 1970-01-01."""

_ENDS = (-(2**63), 2**63 - 1)
_FIRST_NANOSECOND = -9_223_372_036 * 10**9
"""The first whole second of the int64 nanosecond range; Arrow cannot parse text of earlier times."""

JUST_OUTSIDE, AT_THE_ENDS = "beside the years 1 to 9999", "the first and the last"

_TEXTS = (
    "",
    " ",
    "NULL",
    "null",
    "007",
    "1",
    "true",
    "NaN",
    "2024-02-29",
    'a,b;"c"',
    "d'e",
    "1\r\n2",
    "\ufeff",
    "žluť😀",
)
_DOCUMENTS = ('{"b": 1, "a":[1.0, null]}', "[]", "{}", '"ž"', "1e2", "123456789012345678901234567890")


class Sample(NamedTuple):
    """Values of one type, as accepted by Arrow, without NULL; `what` describes special values."""

    type: str
    values: Sequence[Any]
    what: str = ""

    def array(self, rows: int | None = None) -> pa.Array:
        """Return the values and a NULL, or NULLs up to `rows`."""
        import pyarrow as pa

        kind = arrow_type(self.type)
        filled = [*self.values, *[None] * max(1, (rows or 0) - len(self.values))]
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, pa.array(filled, kind.storage_type))
        return pa.array(filled, kind)


def samples() -> list[Sample]:
    """Return values of every type; extreme values are separate samples, as few targets can hold them."""
    return [*_simple(), *_numbers(), *_moments(), *_nested()]


def _simple() -> list[Sample]:
    return [
        Sample("bool", (True, False)),
        Sample("utf8", _TEXTS),
        Sample("utf8", ("a\0b",), "with a NUL character"),
        Sample("binary", (b"", b"\x00\xff", b"text")),
        Sample("uuid", (uuid.UUID(int=0).bytes, uuid.UUID(int=2**128 - 1).bytes, uuid.UUID(int=2**127).bytes)),
        Sample("json", _DOCUMENTS),
        Sample("json", ("null",), "the document `null`"),
        Sample("date", (_FIRST_DAY, -1, 0, 19_782, _LAST_DAY)),
        Sample("date", (_FIRST_DAY - 1, _LAST_DAY + 1), JUST_OUTSIDE),
        Sample("date", (-(2**31), 2**31 - 1), AT_THE_ENDS),
    ]


def _numbers() -> list[Sample]:
    bits = (8, 16, 32, 64)
    signed = [Sample(f"int{n}", (-(2 ** (n - 1)), -1, 0, 2 ** (n - 1) - 1)) for n in bits]
    unsigned = [Sample(f"uint{n}", (0, 1, 2**n - 1)) for n in bits]
    floats = [
        Sample("float32", (0.1, -2.5, 1.0, 1e-45, 3.4028234663852886e38)),
        Sample("float64", (0.1, -2.5, 1.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2)),
    ]
    odd = {"-0": -0.0, "NaN": float("nan"), "infinity": float("inf")}
    odds = [Sample(f"float{n}", (value,), what) for n in (32, 64) for what, value in odd.items()]
    decimals = []
    for precision, scale in ((1, 0), (5, 2), (9, 9), (18, 0), (38, 0), (38, 38), (39, 0), (76, 0), (76, 38), (76, 76)):
        unscaled = (0, 1, -1, 10**precision - 1, 1 - 10**precision)
        decimals.append(Sample(f"decimal({precision},{scale})", [Decimal(f"{number}E-{scale}") for number in unscaled]))
    return [*signed, *unsigned, *floats, *odds, *decimals]


def _moments() -> list[Sample]:
    times = [Sample(f"time[{unit}]", (0, 1, 86_400 * size - 1)) for unit, size in _PER_SECOND.items()]
    instants = [each for unit in _PER_SECOND for zone in ("", ",UTC") for each in _instants(unit, zone)]
    return [*times, *instants, *(_instants("us", zone)[0] for zone in (",Europe/Prague", ",+05:30"))]


def _instants(unit: str, zone: str) -> list[Sample]:
    """Return timestamps of a type: ordinary ones, and those outside of the years 1 to 9999."""
    kind, size = f"timestamp[{unit}{zone}]", _PER_SECOND[unit]
    ordinary = (-1, 0, 1, 1_709_251_199 * size)
    if unit == "ns":
        return [Sample(kind, (_FIRST_NANOSECOND, *ordinary)), Sample(kind, _ENDS[1:], "the last")]
    first, last = _FIRST_SECOND * size, (_LAST_SECOND + 1) * size - 1
    outside = Sample(kind, (first - 1, last + 1), JUST_OUTSIDE)
    return [Sample(kind, (first, *ordinary, last)), outside, Sample(kind, _ENDS, AT_THE_ENDS)]


def _nested() -> list[Sample]:
    names = 'struct<"a \\"b\\"":int64,"ž":list<utf8>>'
    return [
        Sample("list<int64>", ([], [None], [1, None, -(2**63)])),
        Sample("list<utf8>", (["", None, 'x,"y"'], [])),
        Sample("list<decimal(38,2)>", ([Decimal("0.10"), None], [])),
        Sample("list<timestamp[ns,UTC]>", ([0, None], [])),
        Sample("list<list<date>>", ([[0, None], None, []],)),
        Sample(names, ({'a "b"': 1, "ž": ["x", None]}, {'a "b"': None, "ž": None})),
        Sample('list<struct<"x":float64>>', ([{"x": 0.1}, None, {"x": None}],)),
        Sample("list<decimal(76,1)>", ([Decimal("0.1")],)),
        Sample("list<time[us]>", ([0, None], [])),
    ]


# --- What becomes of values -------------------------------------------------------------------------------------------

COLUMN = "c"
UNSIGNED, COMPACT = "-0 as 0", "documents without spaces"
_NUMBERS = ("int", "uint", "float", "decimal")
_INPUT = "input1"


class Unreadable(Exception):
    """Values were written but cannot be read back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A round trip to the target of a write step and back, if there is `look`; each table uses its own folder."""

    trial: Trial
    look: Callable[[Path], pa.Table] | None = None

    def check(self, schema: Schema) -> None:
        """Check that the writer can carry the columns."""
        self.trial.check(schema)

    def carry(self, table: pa.Table) -> pa.Table:
        """Write and read back; without `look`, return the rows written."""
        with fresh_folder() as root:
            replace(self.trial, root=root).write(rows_of(table))
            try:
                return self.look(root) if self.look else table
            except OsirisError as error:
                raise Unreadable(f"it is written, and cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Passed:
    """A transform with one input that returns its rows unchanged."""

    trial: Trial

    def check(self, schema: Schema) -> None:
        """Describe the step's output columns."""
        self.trial.describe({_INPUT: schema})

    def carry(self, table: pa.Table) -> pa.Table:
        """Return the output of the step."""
        return table_of(self.trial.transform({_INPUT: rows_of(table)}))


Way = Kept | Passed


class Outcome(NamedTuple):
    """The outcome of a sample: the type received, or why it was rejected; `early` if rejected by its type alone.

    `note` describes equal values with another representation. `changed` shows values that are no longer equal or are
    missing, which is always an error. `found` is the column received.
    """

    type: str | None = None
    refusal: Diagnostic | None = None
    early: bool = False
    note: str = ""
    changed: str | None = None
    found: pa.ChunkedArray | None = None


def outcomes(samples: Sequence[Sample], way: Way) -> list[Outcome]:
    """Return the outcome of each sample: ordinary ones are sent together, special ones separately."""
    by_number = _rejected_by_type(samples, way)
    rest = [number for number in range(len(samples)) if number not in by_number]
    for strange in (False, True):
        numbers = [number for number in rest if bool(samples[number].what) == strange]
        by_number.update(zip(numbers, _carry_together([samples[number] for number in numbers], way), strict=True))
    return [by_number[number] for number in range(len(samples))]


def _rejected_by_type(samples: Sequence[Sample], way: Way) -> dict[int, Outcome]:
    """Return, by sample number, the outcomes of samples rejected by their type."""
    refused: dict[str, Outcome] = {}
    for kind in dict.fromkeys(sample.type for sample in samples):
        try:
            way.check((Field(COLUMN, kind),))
        except OsirisError as error:
            refused[kind] = Outcome(refusal=error.diagnostics[0], early=True)
    return {number: refused[sample.type] for number, sample in enumerate(samples) if sample.type in refused}


def _carry_together(samples: Sequence[Sample], way: Way) -> list[Outcome]:
    """Send samples as columns of one table, split in halves if something is rejected."""
    import pyarrow as pa

    if not samples:
        return []
    rows = 1 + max(len(sample.values) for sample in samples)
    table = pa.table({f"{COLUMN}{number}": sample.array(rows) for number, sample in enumerate(samples)})
    try:
        received = way.carry(table)
    except (OsirisError, Unreadable) as error:
        if len(samples) > 1:
            middle = len(samples) // 2
            return [*_carry_together(samples[:middle], way), *_carry_together(samples[middle:], way)]
        if isinstance(error, OsirisError):
            return [Outcome(refusal=error.diagnostics[0])]
        return [Outcome(changed=str(error))]
    return [compare(table[n], received[n]) for n in range(len(samples))]


def compare(sent: pa.ChunkedArray, received: pa.ChunkedArray) -> Outcome:
    """Return the outcome of a column."""
    before, after = sent.combine_chunks(), received.combine_chunks()
    own, now = type_name(before.type), type_name(after.type)
    note, same = "", _digest(before) == _digest(after) if own == now else _is_equivalent(before, after, own, now)
    if own == "json" and not same:
        note, same = COMPACT, _documents(before.storage) == _documents(_texts(after))
    elif own.startswith("float") and now.startswith("float") and _signs(before) != _signs(after):
        note = UNSIGNED
    return Outcome(now, note=note, changed=None if same else f"{before} became {after}", found=received)


def _digest(array: pa.Array) -> object:
    import pyarrow as pa

    digester = Digester((Field("c", type_name(array.type)),), "fixed")
    digester.update(pa.record_batch([array], ["c"]))
    return digester.result()["value"]


def _signs(array: pa.Array) -> list[float]:
    return [math.copysign(1, value) for value in array.to_pylist() if value == 0]


def _is_equivalent(before: pa.Array, after: pa.Array, own: str, now: str) -> bool:
    """Return whether values of another type are equivalent: as numbers, as JSON documents, or as text."""
    if all(parse_type(kind).kind.startswith(_NUMBERS) for kind in (own, now)):
        return _shortest(before) == _shortest(after) or _exact(before) == _exact(after)
    if now == "json":
        return _plain(before.to_pylist()) == _documents(after.storage)
    back = _back(after, own)
    return back is not None and _digest(before) == _digest(back)


def _shortest(array: pa.Array) -> list[str | None]:
    """Return numbers in their shortest text form, the same for all types."""
    import pyarrow as pa

    texts = array.cast(pa.string()).to_pylist()
    return [None if text is None else str(Decimal(text).normalize() + 0) for text in texts]


def _exact(array: pa.Array) -> list[str | None]:
    """Return numbers with all digits."""
    return [None if value is None else str(Decimal(value)) for value in array.to_pylist()]


def _plain(value: object) -> object:
    """Return a value as JSON."""
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
    """Return values received for JSON documents as JSON texts."""
    import pyarrow as pa

    if pa.types.is_string(array.type):
        return pa.array([None if text is None else json.dumps(text) for text in array.to_pylist()], pa.string())
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array.cast(pa.string())


def _back(array: pa.Array, kind: str) -> pa.Array | None:
    """Return values converted back to their original type; None if that is not possible."""
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
    """Return a table with all columns cast, as by the config key `cast`; fails with DAT014."""
    return table_of(cast_stream(rows_of(table), dict.fromkeys(table.column_names, kind), "cast"))


# --- The type matrix of a component -----------------------------------------------------------------------------------

_UNITS = ("ms", "us", "ns")


class Carried(NamedTuple):
    """The outcome of a sample. `cast` is a type as which it is carried if its own is rejected.

    `again` is whether a sample received as another type can be cast back to its own.
    """

    sample: Sample
    outcome: Outcome
    cast: str | None = None
    again: bool = False


def type_matrix(name: str, case: Case | None = None, registry: Registry | None = None) -> list[Carried]:
    """Return the outcome of values of every type in a component that writes or transforms.

    A writer needs a case with `look`, or only rejections are detected; a transform, a config that returns its input
    unchanged.
    """
    installed = registry or load_registry()
    spec = installed.get(name)
    used = case or example_case(spec)
    tried, matrix = samples(), []
    with fresh_folder() as root:
        trial = used.trial(installed, name, root)
        way = Kept(trial, used.look) if "write" in spec.modes else Passed(trial)
        for sample, outcome in zip(tried, outcomes(tried, way), strict=True):
            if outcome.refusal:
                cast = next((kind for kind in _wider(sample.type) if _is_carried(sample, kind, way)), None)
                matrix.append(Carried(sample, outcome, cast=cast))
            else:
                matrix.append(Carried(sample, outcome, again=_is_restored(sample, outcome)))
    return matrix


def _is_carried(sample: Sample, kind: str, way: Way) -> bool:
    import pyarrow as pa

    try:
        table = cast_table(pa.table({COLUMN: sample.array()}), kind)
        way.check((Field(COLUMN, kind),))
        return compare(table[0], way.carry(table)[0]).changed is None
    except (OsirisError, Unreadable):
        return False


def _wider(kind: str) -> Iterator[str]:
    """Yield types that can represent a type's values: in other units, in UTC, as a decimal, as text."""
    parsed = parse_type(kind)
    if parsed.kind in ("time", "timestamp"):
        zones = (f",{parsed.parameters[1]}", ",UTC") if len(parsed.parameters) > 1 else ("",)
        spelled = (f"{parsed.kind}[{unit}{zone}]" for zone in zones for unit in _UNITS)
        yield from (each for each in spelled if each != kind)
    elif "int" in parsed.kind:
        yield "decimal(38,0)"
    yield "utf8"


def _is_restored(sample: Sample, outcome: Outcome) -> bool:
    import pyarrow as pa

    if outcome.type == sample.type or outcome.found is None:
        return False
    try:
        back = cast_table(pa.table({COLUMN: outcome.found}), sample.type)
    except (OsirisError, pa.ArrowException):
        return False
    return compare(pa.chunked_array([sample.array(len(back))]), back[COLUMN]).changed is None
