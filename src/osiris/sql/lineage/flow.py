"""The column flow of one query, before its tables are known.

A flow is a list of scopes. A scope comes after those it reads, so that one pass over the list resolves everything; the
last one is the query. It is plain data, stored as JSON with the text that it was read from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from osiris.model import JsonValue

COPY, VALUE, AGGREGATE = range(3)
"""How a column reaches an output: unchanged, computed within its row, or from many rows."""


class Ref(NamedTuple):
    """A reference in an expression: a name by its `parts`, the query of a `scope`, or (neither) every visible column.

    The last part is `*` for every column of one source.
    """

    kind: int
    parts: tuple[str, ...] = ()
    scope: int | None = None


class Star(NamedTuple):
    """A `*`, of one source if it has a `qualifier`; `some`: an expression selects which of the columns."""

    qualifier: str | None = None
    exclude: tuple[tuple[str, ...], ...] = ()
    replace: tuple[tuple[str, tuple[Ref, ...]], ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    some: bool = False


class FlowOutput(NamedTuple):
    """One item of a SELECT list. With a `star`, one output for each of its columns, which are read as `kind`.

    `name` is None if the engine generates it. `spreads`: it may be several columns, with generated names.
    """

    name: str | None
    refs: tuple[Ref, ...] = ()
    star: Star | None = None
    kind: int = COPY
    spreads: bool = False


class FlowSource(NamedTuple):
    """One item of a FROM clause: a `relation`, a `scope`, or (neither) a function of `refs` that returns `columns`.

    `columns` rename the first ones of a relation or scope. `side` is that of the join, or `SEMI` if the columns stay
    hidden; `using` are the join columns, `natural`: all common ones. `is_cte`: the scope is defined elsewhere, in a
    WITH.
    """

    alias: str
    relation: str | None = None
    scope: int | None = None
    columns: tuple[str, ...] = ()
    refs: tuple[Ref, ...] = ()
    side: str = ""
    using: tuple[str, ...] = ()
    natural: bool = False
    is_cte: bool = False


class FlowScope(NamedTuple):
    """One SELECT, or (with `branches`) one set operation.

    `rows` decide which rows there are, and so do the outputs at `positions` (from 1), all outputs when `whole`, and
    those that are no aggregates when `grouped`. `ctes` are the scopes that WITH defines here. A branch is a scope and
    whether its values are output. `again` is the scope that represents this one inside its own definition.
    """

    sources: tuple[FlowSource, ...] = ()
    outputs: tuple[FlowOutput, ...] = ()
    rows: tuple[Ref, ...] = ()
    positions: tuple[int, ...] = ()
    whole: bool = False
    grouped: bool = False
    ctes: tuple[int, ...] = ()
    branches: tuple[tuple[int, bool], ...] = ()
    by_name: bool = False
    again: int | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """The scopes of one query, the query itself last."""

    scopes: tuple[FlowScope, ...]

    def to_json(self) -> JsonValue:
        """Return nested lists for `from_json`."""
        return _lists(self.scopes)

    @staticmethod
    def from_json(data: JsonValue) -> Flow:
        """Return the flow that `to_json` wrote."""
        return Flow(tuple(_scope(each) for each in data))


def _lists(value: JsonValue) -> JsonValue:
    return [_lists(each) for each in value] if isinstance(value, tuple) else value


def _tuples(value: JsonValue) -> JsonValue:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _scope(data: JsonValue) -> FlowScope:
    plain = FlowScope(*_tuples(data))
    sources = tuple(each._replace(refs=_refs(each.refs)) for each in (FlowSource(*source) for source in plain.sources))
    outputs = tuple(_output(*each) for each in plain.outputs)
    return plain._replace(sources=sources, outputs=outputs, rows=_refs(plain.rows))


def _output(name: str | None, refs: JsonValue, star: JsonValue, *rest: JsonValue) -> FlowOutput:
    if star:
        plain = Star(*star)
        star = plain._replace(replace=tuple((each, _refs(values)) for each, values in plain.replace))
    return FlowOutput(name, _refs(refs), star, *rest)


def _refs(data: JsonValue) -> tuple[Ref, ...]:
    return tuple(Ref(*each) for each in data)
