"""The type matrix of a component: what becomes of every type, found by sending values and looking at what arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import OsirisError
from osiris.model import Field
from osiris.registry import Registry, load_registry
from osiris.testing.carrying import COLUMN, Kept, Outcome, Passed, Unreadable, cast_table, compare, outcomes
from osiris.testing.trial import Case, example_case, fresh_folder
from osiris.testing.values import Sample, samples
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.testing.carrying import Way

_UNITS = ("ms", "us", "ns")


class Carried(NamedTuple):
    """What becomes of a sample. `cast` names the type as which it is carried if it is refused as its own.

    `again` tells, of a sample that comes back as another type, that a cast makes the first one of it again.
    """

    sample: Sample
    outcome: Outcome
    cast: str | None = None
    again: bool = False


def type_matrix(name: str, case: Case | None = None, registry: Registry | None = None) -> list[Carried]:
    """Return what becomes of values of every type in a component that writes or transforms.

    A writer needs a case that can `look` at its target, or only its refusals are seen; a transform one whose config
    gives the rows of its input as they are.
    """
    installed = registry or load_registry()
    spec = installed.get(name)
    known = case or example_case(spec)
    tried = samples()
    with fresh_folder() as root:
        trial = known.trial(installed, name, root)
        way = Kept(trial, known.look) if "write" in spec.modes else Passed(trial)
        return [_carried(*each, way) for each in zip(tried, outcomes(tried, way), strict=True)]


def _carried(sample: Sample, outcome: Outcome, way: Way) -> Carried:
    if not outcome.refusal:
        return Carried(sample, outcome, again=_comes_again(sample, outcome))
    cast = next((kind for kind in _wider(sample.type) if _is_carried(sample, kind, way)), None)
    return Carried(sample, outcome, cast=cast)


def _is_carried(sample: Sample, kind: str, way: Way) -> bool:
    import pyarrow as pa

    try:
        table = cast_table(pa.table({COLUMN: sample.array()}), kind)
        way.check((Field(COLUMN, kind),))
        return compare(table[0], way.carry(table)[0]).changed is None
    except (OsirisError, Unreadable):
        return False


def _wider(kind: str) -> Iterator[str]:
    """Yield types that can say what one does: the same in other units, in UTC, as a decimal, as text."""
    parsed = parse_type(kind)
    if parsed.kind in ("time", "timestamp"):
        zones = (f",{parsed.parameters[1]}", ",UTC") if len(parsed.parameters) > 1 else ("",)
        spelled = (f"{parsed.kind}[{unit}{zone}]" for zone in zones for unit in _UNITS)
        yield from (each for each in spelled if each != kind)
    elif "int" in parsed.kind:
        yield "decimal(38,0)"
    yield "utf8"


def _comes_again(sample: Sample, outcome: Outcome) -> bool:
    import pyarrow as pa

    if outcome.type == sample.type or outcome.found is None:
        return False
    try:
        back = cast_table(pa.table({COLUMN: outcome.found}), sample.type)
    except (OsirisError, pa.ArrowException):
        return False
    return compare(pa.chunked_array([sample.array(len(back))]), back[COLUMN]).changed is None
