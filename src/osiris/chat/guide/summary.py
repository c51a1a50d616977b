"""A request in a few lines: what there is so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.chat.request import Filter, Join, Measure, Request, Sort, Step


def summary(request: Request) -> tuple[str, ...]:
    """Return a line for each part of a request."""
    read = f"read {', '.join(each.relation for each in request.sources)}"
    return (read, *(line for step in request.steps for line in _lines(step)))


def _lines(step: Step) -> Iterator[str]:
    if step.sql is not None:
        yield f"SQL of step {step.name}"
    yield from (f"join {_join(each)}" for each in step.joins)
    for new in step.compute:
        yield f"compute {new.name}: {new.function} of {_listed(filter(None, (new.column, new.other, new.value)))}"
    yield from (f"keep {filter_words(each)}" for each in step.filters)
    if step.group or step.measures:
        groups = _listed(f"{each.unit} of {each.column}" if each.unit else each.column for each in step.group)
        yield f"group by {groups}" if groups else "one row for everything"
    if step.measures:
        yield f"measure {_listed(map(measure_words, step.measures))}"
    if step.pick:
        yield f"first {step.pick.rows:,} of each {_listed(step.pick.per)} by {_listed(map(_sort, step.pick.order))}"
    if step.pivot:
        yield f"pivot by {step.pivot.column}"
    if step.columns:
        yield f"columns {_listed(each.name or each.column for each in step.columns)}"
    if step.sort:
        yield f"sort by {_listed(map(_sort, step.sort))}"
    if step.limit is not None:
        yield f"first {step.limit:,} rows"


def _join(join: Join) -> str:
    keys = " and ".join(f"{each.left} = {each.right}" for each in join.on)
    return f"{join.input} by {keys}, rows without a match are {'kept' if join.unmatched == 'keep' else 'dropped'}"


def filter_words(condition: Filter) -> str:
    """Return a condition in words."""
    right = condition.other or _listed(condition.values) or (condition.parameter or "")
    return f"{condition.column} {condition.operator} {right}".rstrip()


def measure_words(measure: Measure) -> str:
    """Return a measure in words."""
    if measure.function == "count":
        return "number of rows"
    of = measure.column or " / ".join(filter(None, (measure.of, measure.over)))
    return f"{measure.function.replace('count distinct', 'number of different')} of {of}"


def _sort(sort: Sort) -> str:
    return f"{sort.column}{' descending' if sort.descending else ''}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
