"""From which columns of its relations each output of a query comes, and which of them decide its rows.

The answer errs on one side only: a column that the query mentions or needs is never missing. Where a name cannot be
told to be one column it is every column that it may be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from osiris.sql.lineage.dependencies import Free, Known, Result, merge, union
from osiris.sql.lineage.flow import VALUE
from osiris.sql.lineage.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.sql.lineage.dependencies import Column, Reads
    from osiris.sql.lineage.flow import Flow

KINDS = ("copy", "value", "aggregate")


class Origin(NamedTuple):
    """A column of a relation, and how it reaches an output: `copy`, `value` (within a row) or `aggregate`."""

    relation: str
    column: str
    kind: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """The origins of each output, by its name, and the columns that decide which rows there are and their order.

    An output without a name of its own is `#3`, by its position. `mentioned` are further columns that change nothing,
    but without which the text would not bind, or would mean something else. All are sorted.
    """

    columns: dict[str, tuple[Origin, ...]]
    rows: tuple[tuple[str, str], ...]
    mentioned: tuple[tuple[str, str], ...] = ()


def trace(flow: Flow, schemas: Mapping[str, Sequence[str]], names: Sequence[str] | None = None) -> Lineage:
    """Return the lineage of a flow over relations with these columns.

    `names` are the columns that the query was found to give, where they are known: outputs are then called so.
    Relations are found whatever their case; raises `KeyError` for one that is not there.
    """
    known = Known({name.lower(): (name, columns) for name, columns in schemas.items()})
    result = _run(known, flow)
    columns: dict[str, Reads] = defaultdict(dict)
    for name, reads in _named(result.columns, names):
        merge(columns[name], reads)
    told = {key for reads in (result.rows, *columns.values()) for key in _columns(reads)}
    rows = tuple(sorted(_columns(result.rows)))
    mentioned = tuple(sorted(set(_columns(known.seen)) - told))
    return Lineage({name: _origins(reads) for name, reads in columns.items()}, rows, mentioned)


def used(lineage: Lineage) -> dict[str, set[str]]:
    """Return the columns of each relation that must be there for the same result; no others can change it."""
    found: dict[str, set[str]] = defaultdict(set)
    for origins in lineage.columns.values():
        for origin in origins:
            found[origin.relation].add(origin.column)
    for relation, column in (*lineage.rows, *lineage.mentioned):
        found[relation].add(column)
    return dict(found)


def _named(columns: Sequence[Column], names: Sequence[str] | None) -> Iterator[tuple[str, Reads]]:
    """Yield each output under its name; where the text does not tell which it is, all that it may be."""
    if names is None:
        yield from ((column.name or f"#{place}", column.reads) for place, column in enumerate(columns, 1))
        return
    if len(names) == len(columns) and not any(column.some for column in columns):
        yield from ((name, column.reads) for name, column in zip(names, columns, strict=True))
        return
    by_name: dict[str, list[Reads]] = defaultdict(list)
    for column in columns:
        by_name[(column.name or "").lower()].append(column.reads)
    for name in names:
        yield name, union(by_name.get(name.lower()) or [column.reads for column in columns])


def _origins(reads: Reads) -> tuple[Origin, ...]:
    return tuple(Origin(*key, KINDS[reads[key]]) for key in sorted(_columns(reads)))


def _columns(reads: Reads) -> list[tuple[str, str]]:
    return [key for key in reads if not isinstance(key, Free)]


def _run(known: Known, flow: Flow) -> Result:
    """Return the result of the last scope. A recursive one is repeated until it finds nothing more."""
    place = 0
    while place < len(flow.scopes):
        scope = flow.scopes[place]
        known.results[place] = result = resolve(known, scope)
        place += 1
        if scope.again is not None and _grows(known, scope.again, result):
            place = scope.again + 1
    return _closed(known, known.results[place - 1], flow)


def _grows(known: Known, again: int, result: Result) -> bool:
    """Add what a recursive scope gives to what it reads of itself; tell whether that was new."""
    before = known.results[again]
    pairs = zip(before.columns, result.columns, strict=False)
    columns = tuple(old._replace(reads=union((old.reads, new.reads))) for old, new in pairs)
    after = Result(columns + before.columns[len(columns) :], union((before.rows, result.rows)), before.free)
    known.results[again] = after
    return after != before


def _closed(known: Known, result: Result, flow: Flow) -> Result:
    """Return the result of the whole query: a name that was found nowhere may be any column of the relations."""
    known.note(union(column.reads for column in result.columns))
    if not any(free.sure for free in result.free):
        return result
    relations = {source.relation for scope in flow.scopes for source in scope.sources if source.relation}
    every = known.note(union((column.reads for name in relations for column in known.table(name)), VALUE))
    columns = tuple(each._replace(reads=union((each.reads, every))) for each in result.columns)
    return Result(columns, union((result.rows, every)))
