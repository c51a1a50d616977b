"""ScopeColumn lineage: the relation columns from which each output of a query comes, and those that decide its rows.

The result errs on one side only: a column that the query needs is never missing. An ambiguous name counts as every
column that it may be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from osiris.sql.lineage.flow import AGGREGATE, COPY, VALUE, Star

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

    from osiris.sql.lineage.flow import Flow, FlowOutput, FlowScope, FlowSource, Ref

KINDS = ("copy", "value", "aggregate")


class Origin(NamedTuple):
    """A column of a relation, and how it reaches an output: `copy`, `value` (within a row) or `aggregate`."""

    relation: str
    column: str
    kind: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """The origins of each output, by name, and the columns that decide which rows there are and their order.

    An output without a name is `#3`, by position. `mentioned` are further columns that do not affect the result, but
    without which the text would not bind, or would change its meaning. All are sorted.
    """

    columns: dict[str, tuple[Origin, ...]]
    rows: tuple[tuple[str, str], ...]
    mentioned: tuple[tuple[str, str], ...] = ()


class Free(NamedTuple):
    """A name that is resolved in the outer scope; not `sure`: it may also belong to its own scope."""

    parts: tuple[str, ...]
    sure: bool


Reads = dict["tuple[str, str] | Free", int]
"""The inputs of a value, with their kinds. Never modified once passed on."""


class ScopeColumn(NamedTuple):
    """One column of a scope; `name` is None if unknown; `some`: it may be several columns, or none."""

    name: str | None
    reads: Reads
    some: bool = False

    @property
    def folded(self) -> str:
        """Return the folded name, empty if unknown."""
        return (self.name or "").lower()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a scope. `free` are all its names, used or not, that belong to the outer scope."""

    columns: tuple[ScopeColumn, ...] = ()
    rows: Reads = field(default_factory=dict)
    free: frozenset[Free] = frozenset()


@dataclass(slots=True)
class State:
    """The state of a trace: `relations` by folded names, the `results` of scopes, and the columns `seen`.

    Those are all columns that any name in the text resolved to, whether or not its value is used.
    """

    relations: Mapping[str, tuple[str, Sequence[str]]]
    results: dict[int, Result] = field(default_factory=dict)
    seen: Reads = field(default_factory=dict)
    _tables: dict[str, tuple[ScopeColumn, ...]] = field(default_factory=dict)

    def note(self, reads: Reads) -> Reads:
        """Record that these columns are needed."""
        self.seen.update((key, kind) for key, kind in reads.items() if not isinstance(key, Free))
        return reads

    def table(self, relation: str) -> tuple[ScopeColumn, ...]:
        """Return the columns of a relation; raises `KeyError` if there is none."""
        folded = relation.lower()
        if folded not in self._tables:
            name, columns = self.relations[folded]
            self._tables[folded] = tuple(ScopeColumn(column, {(name, column): COPY}) for column in columns)
        return self._tables[folded]


def merge(into: Reads, reads: Reads, kind: int = COPY) -> None:
    """Add reads with at least `kind`: the strongest kind wins."""
    for key, other in reads.items():
        strongest = other if other > kind else kind
        if into.get(key, -1) < strongest:
            into[key] = strongest


def union(several: Iterable[Reads], kind: int = COPY) -> Reads:
    """Return the union of several reads, each with at least `kind`."""
    total: Reads = {}
    for reads in several:
        merge(total, reads, kind)
    return total


def trace(flow: Flow, schemas: Mapping[str, Sequence[str]], names: Sequence[str] | None = None) -> Lineage:
    """Return the lineage of a flow over relations with these columns.

    `names` are the columns of the query, if known, and then name the outputs. Relations are found case-insensitively;
    raises `KeyError` for an unknown one.
    """
    state = State({name.lower(): (name, columns) for name, columns in schemas.items()})
    result = _run(state, flow)
    columns: dict[str, Reads] = defaultdict(dict)
    for name, reads in _named(result.columns, names):
        merge(columns[name], reads)
    explained = {key for reads in (result.rows, *columns.values()) for key in _columns(reads)}
    rows = tuple(sorted(_columns(result.rows)))
    mentioned = tuple(sorted(set(_columns(state.seen)) - explained))
    return Lineage({name: _origins(reads) for name, reads in columns.items()}, rows, mentioned)


def used(lineage: Lineage) -> dict[str, set[str]]:
    """Return the columns of each relation that are required for the same result; no others can change it."""
    columns: dict[str, set[str]] = defaultdict(set)
    for origins in lineage.columns.values():
        for origin in origins:
            columns[origin.relation].add(origin.column)
    for relation, column in (*lineage.rows, *lineage.mentioned):
        columns[relation].add(column)
    return dict(columns)


def _named(columns: Sequence[ScopeColumn], names: Sequence[str] | None) -> Iterator[tuple[str, Reads]]:
    """Yield each output under its name; if ambiguous, with all that it may be."""
    if names is None:
        names = [column.name or f"#{place}" for place, column in enumerate(columns, 1)]
    elif len(names) != len(columns) or any(column.some for column in columns):
        yield from _possible(columns, names)
        return
    yield from ((name, column.reads) for name, column in zip(names, columns, strict=True))


def _possible(columns: Sequence[ScopeColumn], names: Sequence[str]) -> Iterator[tuple[str, Reads]]:
    by_name = _by_folded_name(columns)
    for name in names:
        yield name, union(by_name.get(name.lower()) or [column.reads for column in columns])


def _origins(reads: Reads) -> tuple[Origin, ...]:
    return tuple(Origin(*key, KINDS[reads[key]]) for key in sorted(_columns(reads)))


def _columns(reads: Reads) -> list[tuple[str, str]]:
    return [key for key in reads if not isinstance(key, Free)]


def _run(state: State, flow: Flow) -> Result:
    """Return the result of the last scope. A recursive one is repeated until it is stable."""
    place = 0
    while place < len(flow.scopes):
        scope = flow.scopes[place]
        state.results[place] = result = resolve(state, scope)
        place += 1
        if scope.again is not None and _grows(state, scope.again, result):
            place = scope.again + 1
    return _closed(state, state.results[place - 1], flow)


def _grows(state: State, again: int, result: Result) -> bool:
    """Add the result of a recursive scope to its own input; tell whether that changed it."""
    before = state.results[again]
    pairs = zip(before.columns, result.columns, strict=False)
    columns = tuple(old._replace(reads=union((old.reads, new.reads))) for old, new in pairs)
    after = Result(columns + before.columns[len(columns) :], union((before.rows, result.rows)), before.free)
    state.results[again] = after
    return after != before


def _closed(state: State, result: Result, flow: Flow) -> Result:
    """Return the result of the whole query: an unresolved name may be any column of the relations."""
    state.note(union(column.reads for column in result.columns))
    if not any(free.sure for free in result.free):
        return result
    relations = {source.relation for scope in flow.scopes for source in scope.sources if source.relation}
    every = state.note(union((column.reads for name in relations for column in state.table(name)), VALUE))
    columns = tuple(each._replace(reads=union((each.reads, every))) for each in result.columns)
    return Result(columns, union((result.rows, every)))


def resolve(state: State, scope: FlowScope) -> Result:
    """Return the result of a scope."""
    return _set_operation(state, scope) if scope.branches else _Select(state, scope).result()


def _set_operation(state: State, scope: FlowScope) -> Result:
    branches = [state.results[place] for place, _ in scope.branches]
    values = [state.results[place].columns for place, comes_out in scope.branches if comes_out]
    columns = _by_name(values) if scope.by_name else _by_place(state, branches, values)
    rows = union(branch.rows for branch in branches)
    if scope.whole:
        merge(rows, state.note(union(column.reads for branch in branches for column in branch.columns)))
    return Result(columns, rows, frozenset[Free]().union(*(branch.free for branch in branches)))


def _by_name(values: Sequence[tuple[ScopeColumn, ...]]) -> tuple[ScopeColumn, ...]:
    columns: dict[str | None, list[ScopeColumn]] = {}
    for column in (column for branch in values for column in branch):
        columns.setdefault(column.name.lower() if column.name else None, []).append(column)
    return tuple(
        ScopeColumn(same[0].name, union(each.reads for each in same), any(each.some for each in same) or name is None)
        for name, same in columns.items()
    )


def _by_place(
    state: State, branches: Sequence[Result], values: Sequence[tuple[ScopeColumn, ...]]
) -> tuple[ScopeColumn, ...]:
    """Return the columns of a set operation by position, where no column of any branch can be dropped."""
    every = state.note(union(column.reads for branch in branches for column in branch.columns))
    if any(column.some for branch in values for column in branch):
        return tuple(column._replace(reads=every, some=True) for column in values[0])
    if len(values) == 1:
        return values[0]
    return tuple(same[0]._replace(reads=union(each.reads for each in same)) for same in zip(*values, strict=False))


@dataclass(slots=True)
class _Select:
    """One SELECT: its FROM as it is built, then its outputs, then what decides its rows.

    `wide` is the expansion of `*`. `names` are the columns that a bare name can refer to, `hidden` those, and their
    sources, that only a join condition can. `sources` are the columns of each source by alias, `members` the same by
    name, `unsure` those with unknown names. `aliases` are the outputs so far.
    """

    state: State
    scope: FlowScope
    wide: list[ScopeColumn] = field(default_factory=list)
    names: dict[str, list[Reads]] = field(default_factory=dict)
    hidden: dict[str, list[Reads]] = field(default_factory=dict)
    sources: dict[str, list[ScopeColumn]] = field(default_factory=dict)
    members: dict[str, dict[str, list[Reads]]] = field(default_factory=dict)
    unsure: list[Reads] = field(default_factory=list)
    aliases: dict[str, Reads] = field(default_factory=dict)
    rows: Reads = field(default_factory=dict)
    free: set[Free] = field(default_factory=set)

    def result(self) -> Result:
        for source in self.scope.sources:
            self._join(source, self._columns(source))
        columns = [column for output in self.scope.outputs for column in self._output(output)]
        self.free.update(free for place in self.scope.ctes for free in self.state.results[place].free)
        scope, note = self.scope, self.state.note
        merge(self.rows, self._reads(scope.rows, with_aliases=True))
        note(union(column.reads for column in columns[: max(scope.positions, default=0)]))
        merge(self.rows, note(union(column.reads for column in self._deciding(columns))))
        return Result(tuple(columns), self.rows, frozenset(self.free))

    def _deciding(self, columns: list[ScopeColumn]) -> list[ScopeColumn]:
        """Return the outputs that decide the rows; all if those at the positions are unknown."""
        scope = self.scope
        if scope.whole or (scope.positions and any(column.some for column in columns)):
            return columns
        chosen = [column for place in scope.positions for column in columns[place - 1 : place]]
        if scope.grouped:
            chosen += [column for column in columns if AGGREGATE not in column.reads.values()]
        return chosen

    def _columns(self, source: FlowSource) -> list[ScopeColumn]:
        """Return the columns of a source, under their names here."""
        if source.relation is not None:
            return self._renamed(self.state.table(source.relation), source.columns)
        if source.scope is None:
            reads = self._reads(source.refs, VALUE)
            merge(self.rows, reads)
            return [ScopeColumn(name, reads) for name in source.columns]
        inner = self.state.results[source.scope]
        unsure = source.is_cte and bool(inner.free)
        self._settle(inner.free, unsure=unsure)
        merge(self.rows, self._resolved(inner.rows, unsure=unsure))
        columns: Sequence[ScopeColumn] = inner.columns
        if inner.free:
            columns = [each._replace(reads=self._resolved(each.reads, unsure=unsure)) for each in columns]
        return self._distinct(self._renamed(columns, source.columns))

    def _renamed(self, columns: Sequence[ScopeColumn], names: tuple[str, ...]) -> list[ScopeColumn]:
        """Return columns with the first ones renamed: these must stay first."""
        if not names:
            return list(columns)
        self.state.note(union(column.reads for column in columns[: len(names)]))
        pairs = zip(columns, names, strict=False)
        return [*(column._replace(name=name) for column, name in pairs), *columns[len(names) :]]

    def _distinct(self, columns: list[ScopeColumn]) -> list[ScopeColumn]:
        """Return columns with unique names, as the engine renames duplicates: then none can be dropped."""
        if len({column.folded for column in columns}) == len(columns):
            return columns
        taken: set[str] = set()
        result = []
        for column in columns:
            name, count = column.name, 0
            while name is not None and name.lower() in taken:
                count += 1
                name = f"{column.name}_{count}"
            taken.add((name or "").lower())
            result.append(column._replace(name=name) if count else column)
        if result != columns:
            self.state.note(union(column.reads for column in columns))
        return result

    def _join(self, source: FlowSource, columns: list[ScopeColumn]) -> None:
        """Add a source to the visible ones. Its columns in USING are merged with those of the same name before it."""
        self.sources.setdefault(source.alias.lower(), []).extend(columns)
        own_columns = _by_folded_name(columns)
        _extend(self.members.setdefault(source.alias.lower(), {}), own_columns)
        self.unsure += [column.reads for column in columns if column.some or column.name is None]
        shared = self._shared(source, columns, own_columns.keys())
        for name in shared:
            self._share(name, own_columns, source.side)
        if source.side == "SEMI":
            _extend(self.hidden, {**own_columns, source.alias.lower(): []})
            return
        self.wide += [column for column in columns if column.folded not in shared]
        _extend(self.names, {name: reads for name, reads in own_columns.items() if name not in shared})

    def _shared(self, source: FlowSource, columns: list[ScopeColumn], own_names: Set[str]) -> set[str]:
        """Return the names that a source shares with those before it; all possible columns of a natural join stay
        needed.
        """
        shared = {name.lower() for name in source.using}
        if source.natural:
            shared |= own_names & self.names.keys()
            if self.unsure:
                merge(self.rows, self.state.note(union(column.reads for column in (*self.wide, *columns))))
        return shared

    def _share(self, name: str, own_columns: dict[str, list[Reads]], side: str) -> None:
        """Merge a column of both sides: that of the side which is never NULL-extended."""
        both = [*self.names.get(name, ()), *own_columns.get(name, ())]
        merge(self.rows, self.state.note(union(both)))
        chosen = union(both, VALUE) if side == "FULL" else union(both[-1:] if side == "RIGHT" else both[:1])
        if side in ("FULL", "RIGHT"):
            self.wide = [each._replace(reads=chosen) if each.folded == name else each for each in self.wide]
        self.names[name] = [chosen]

    def _output(self, output: FlowOutput) -> Iterator[ScopeColumn]:
        reads = self._reads(output.refs)
        if output.star is not None:
            columns = self._star(output.star)
            if not reads and output.kind == COPY and output.name is None:
                yield from columns
                return
            for column in columns:
                mixed = union((reads, union((column.reads,), output.kind)))
                yield ScopeColumn(output.name or column.name, mixed, column.some)
            return
        if output.name is not None:
            merge(self.aliases.setdefault(output.name.lower(), {}), reads)
        yield ScopeColumn(output.name, reads, output.spreads)

    def _star(self, star: Star) -> Iterable[ScopeColumn]:
        """Return the columns of a star; after the name of a struct, these are its fields."""
        columns = self.wide if star.qualifier is None else self.sources.get(star.qualifier.lower())
        if columns is None:
            return [ScopeColumn(None, self._reads_of_name((star.qualifier or "",), VALUE), some=True)]
        return self._listed(star, columns) if star._replace(qualifier=None) != Star() else columns

    def _listed(self, star: Star, columns: list[ScopeColumn]) -> Iterator[ScopeColumn]:
        """Yield the columns of a star. Those in its lists must exist, and all if it selects by name."""
        replaced = {name.lower(): self._reads(refs) for name, refs in star.replace}
        renamed = {old.lower(): new for old, new in star.rename}
        listed, is_excluded = replaced.keys() | renamed.keys(), self._exclusion(star)
        for column in columns:
            name, leaves = column.folded, is_excluded(column)
            if star.some or leaves or name in listed:
                self.state.note(column.reads)
            if not leaves:
                reads = replaced.get(name, column.reads)
                yield ScopeColumn(renamed.get(name, column.name), reads, column.some or star.some)

    def _exclusion(self, star: Star) -> Callable[[ScopeColumn], bool]:
        """Return a predicate for the columns that a star excludes, by name or qualified name."""
        excluded = {tuple(part.lower() for part in parts) for parts in star.exclude}
        of_source = {(parts[-1], id(reads)) for parts in excluded for reads in self._members(parts)}
        return lambda each: (each.folded,) in excluded or (each.folded, id(each.reads)) in of_source

    def _reads(self, refs: Iterable[Ref], kind: int = COPY, *, with_aliases: bool = False) -> Reads:
        """Return what refs resolve to; `with_aliases`, a column name may be an output as well."""
        total: Reads = {}
        for ref in refs:
            strongest = max(ref.kind, kind)
            if ref.scope is not None:
                inner = self.state.results[ref.scope]
                self._settle(inner.free)
                outputs = self.state.note(union(column.reads for column in inner.columns))
                merge(total, self._resolved(outputs), strongest)
                merge(total, self._resolved(inner.rows), max(strongest, VALUE))
            elif ref.parts:
                merge(total, self._reads_of_name(ref.parts, strongest))
                if with_aliases:
                    merge(total, self.aliases.get(ref.parts[0].lower(), {}), strongest)
            else:
                everything = [column.reads for columns in self.sources.values() for column in columns]
                merge(total, self.state.note(union(everything)), max(strongest, VALUE))
        return total

    def _resolved(self, reads: Reads, *, unsure: bool = False) -> Reads:
        """Return the reads of an inner scope, with its free names resolved here.

        `unsure`: normally they do not belong to this scope, since a CTE does not see its siblings.
        """
        if not any(isinstance(key, Free) for key in reads):
            return reads
        total: Reads = {}
        for key, kind in reads.items():
            resolved = {key: kind}
            if isinstance(key, Free):
                resolved = self._reads_of_name(key.parts, kind, sure=key.sure and not unsure)
            merge(total, resolved)
        return total

    def _settle(self, names: Iterable[Free], *, unsure: bool = False) -> None:
        """Resolve the free names of an inner scope, whether or not their values are used."""
        for free in names:
            self._reads_of_name(free.parts, VALUE, sure=free.sure and not unsure)

    def _reads_of_name(self, parts: tuple[str, ...], kind: int, *, sure: bool = True) -> Reads:
        """Return what a name resolves to here; if not found with certainty, it stays free for the outer scope."""
        first = parts[0].lower()
        match = self._lookup(tuple(part.lower() for part in parts))
        is_hidden = first in self.hidden and first not in self.names
        settled = match is not None and sure and not is_hidden
        total = union((match or {}, union(() if settled else self.unsure, VALUE)), kind)
        self.state.note(total)
        if not settled:
            free = Free(parts, sure and match is None and not self.unsure)
            self.free.add(free)
            total[free] = kind
        return total

    def _lookup(self, parts: tuple[str, ...]) -> Reads | None:
        """Return the column that a name refers to; None if not of this scope. A column of a source takes precedence."""
        first = parts[0]
        columns = self.names.get(first) or self.hidden.get(first, [])
        if len(parts) == 1:
            return union(columns) if columns else self._other(first)
        members = [self._member(parts[at], parts[at + 1], len(parts) - at > 2) for at in range(len(parts) - 1)]
        if members[0] is not None:
            return members[0]
        matches = [reads for reads in members if reads is not None]
        matches += [union((reads,), VALUE) for reads in columns + self._outputs_before(first)]
        return union(matches) if matches else None

    def _outputs_before(self, name: str) -> list[Reads]:
        return [self.aliases[name]] if name in self.aliases else []

    def _other(self, name: str) -> Reads | None:
        """Return what a bare name refers to if no column: a previous output, or the whole row of a source."""
        matches = self._outputs_before(name)
        matches += [union((column.reads,), VALUE) for column in self.sources.get(name, ())]
        return union((*matches, union(self.unsure, VALUE))) if matches or name in self.sources else None

    def _member(self, source: str, column: str, has_more: bool) -> Reads | None:
        if column == "*" and source in self.sources:
            return union((each.reads for each in self.sources[source]), VALUE)
        reads = self._members((source, column))
        return union(reads, VALUE if has_more else COPY) if reads else None

    def _members(self, parts: tuple[str, ...]) -> Sequence[Reads]:
        """Return the possible columns of `source.name`."""
        return self.members.get(parts[-2], {}).get(parts[-1], ()) if len(parts) > 1 else ()


def _by_folded_name(columns: Iterable[ScopeColumn]) -> dict[str, list[Reads]]:
    by_name: dict[str, list[Reads]] = defaultdict(list)
    for column in columns:
        by_name[column.folded].append(column.reads)
    return by_name


def _extend(into: dict[str, list[Reads]], more: Mapping[str, list[Reads]]) -> None:
    for name, reads in more.items():
        into.setdefault(name, []).extend(reads)
