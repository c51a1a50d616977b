"""From which columns of its relations each output of a query comes, and which of them decide its rows.

The answer errs on one side only: a column that the query mentions or needs is never missing. Where a name cannot be
told to be one column it is every column that it may be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from osiris.sql.lineage.flow import AGGREGATE, COPY, VALUE, Star

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

    from osiris.sql.lineage.flow import Flow, Output, Ref, Scope, Source

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


class Free(NamedTuple):
    """A name that is not of its scope, and is looked up in the scope around; not `sure`: it may also be of its own."""

    parts: tuple[str, ...]
    sure: bool


Reads = dict["tuple[str, str] | Free", int]
"""What a value is made from, with the kind. A value is never changed once it is handed on."""


class Column(NamedTuple):
    """One column of a scope; `name` is None where it is unknown, `some`: it may be several columns, or none."""

    name: str | None
    reads: Reads
    some: bool = False

    @property
    def folded(self) -> str:
        """Return the folded name, nothing where it is unknown."""
        return (self.name or "").lower()


@dataclass(frozen=True, slots=True)
class Result:
    """What a scope gives. `free` are all names in it, in use or not, that belong to the scope around."""

    columns: tuple[Column, ...] = ()
    rows: Reads = field(default_factory=dict)
    free: frozenset[Free] = frozenset()


@dataclass(slots=True)
class Known:
    """What is known so far: `relations` by folded names, the `results` of scopes, and the columns `seen`.

    Those are all columns that any name in the text has led to, whether or not its value is used.
    """

    relations: Mapping[str, tuple[str, Sequence[str]]]
    results: dict[int, Result] = field(default_factory=dict)
    seen: Reads = field(default_factory=dict)
    _tables: dict[str, tuple[Column, ...]] = field(default_factory=dict)

    def note(self, reads: Reads) -> Reads:
        """Remember that these columns are needed."""
        self.seen.update((key, kind) for key, kind in reads.items() if not isinstance(key, Free))
        return reads

    def table(self, relation: str) -> tuple[Column, ...]:
        """Return the columns of a relation; raises `KeyError` if there is none."""
        folded = relation.lower()
        if folded not in self._tables:
            name, columns = self.relations[folded]
            self._tables[folded] = tuple(Column(column, {(name, column): COPY}) for column in columns)
        return self._tables[folded]


def merge(into: Reads, reads: Reads, kind: int = COPY) -> None:
    """Add what is read as `kind`: the strongest kind of all ways stays."""
    for key, other in reads.items():
        strongest = other if other > kind else kind
        if into.get(key, -1) < strongest:
            into[key] = strongest


def union(several: Iterable[Reads], kind: int = COPY) -> Reads:
    """Return all of several together, each at least as strong as `kind`."""
    total: Reads = {}
    for reads in several:
        merge(total, reads, kind)
    return total


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
        names = [column.name or f"#{place}" for place, column in enumerate(columns, 1)]
    elif len(names) != len(columns) or any(column.some for column in columns):
        yield from _possible(columns, names)
        return
    yield from ((name, column.reads) for name, column in zip(names, columns, strict=True))


def _possible(columns: Sequence[Column], names: Sequence[str]) -> Iterator[tuple[str, Reads]]:
    by_name = _by_folded_name(columns)
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


def resolve(known: Known, scope: Scope) -> Result:
    """Return the result of a scope."""
    return _set_operation(known, scope) if scope.branches else _Select(known, scope).result()


def _set_operation(known: Known, scope: Scope) -> Result:
    branches = [known.results[place] for place, _ in scope.branches]
    values = [known.results[place].columns for place, comes_out in scope.branches if comes_out]
    columns = _by_name(values) if scope.by_name else _by_place(known, branches, values)
    rows = union(branch.rows for branch in branches)
    if scope.whole:
        merge(rows, known.note(union(column.reads for branch in branches for column in branch.columns)))
    return Result(columns, rows, frozenset[Free]().union(*(branch.free for branch in branches)))


def _by_name(values: Sequence[tuple[Column, ...]]) -> tuple[Column, ...]:
    columns: dict[str | None, list[Column]] = {}
    for column in (column for branch in values for column in branch):
        columns.setdefault(column.name.lower() if column.name else None, []).append(column)
    return tuple(
        Column(same[0].name, union(each.reads for each in same), any(each.some for each in same) or name is None)
        for name, same in columns.items()
    )


def _by_place(known: Known, branches: Sequence[Result], values: Sequence[tuple[Column, ...]]) -> tuple[Column, ...]:
    """Return the columns of a set operation in which a place counts, so that no column may go from any branch."""
    every = known.note(union(column.reads for branch in branches for column in branch.columns))
    if any(column.some for branch in values for column in branch):
        return tuple(column._replace(reads=every, some=True) for column in values[0])
    if len(values) == 1:
        return values[0]
    return tuple(same[0]._replace(reads=union(each.reads for each in same)) for same in zip(*values, strict=False))


@dataclass(slots=True)
class _Select:
    """One SELECT: its FROM as it grows, then its outputs, then what decides its rows.

    `wide` is what `*` gives. `names` are the columns that a bare name can mean, `hidden` those, and their sources, that
    only the condition of a join can. `sources` are the columns of each source by its alias, `members` the same by their
    names, `unsure` those whose names are unknown. `aliases` are the outputs so far.
    """

    known: Known
    scope: Scope
    wide: list[Column] = field(default_factory=list)
    names: dict[str, list[Reads]] = field(default_factory=dict)
    hidden: dict[str, list[Reads]] = field(default_factory=dict)
    sources: dict[str, list[Column]] = field(default_factory=dict)
    members: dict[str, dict[str, list[Reads]]] = field(default_factory=dict)
    unsure: list[Reads] = field(default_factory=list)
    aliases: dict[str, Reads] = field(default_factory=dict)
    rows: Reads = field(default_factory=dict)
    free: set[Free] = field(default_factory=set)

    def result(self) -> Result:
        for source in self.scope.sources:
            self._join(source, self._columns(source))
        columns = [column for output in self.scope.outputs for column in self._output(output)]
        self.free.update(free for place in self.scope.ctes for free in self.known.results[place].free)
        scope, note = self.scope, self.known.note
        merge(self.rows, self._reads(scope.rows, with_aliases=True))
        note(union(column.reads for column in columns[: max(scope.positions, default=0)]))
        merge(self.rows, note(union(column.reads for column in self._deciding(columns))))
        return Result(tuple(columns), self.rows, frozenset(self.free))

    def _deciding(self, columns: list[Column]) -> list[Column]:
        """Return the outputs that decide the rows; all where it is not known which stand at the positions."""
        scope = self.scope
        if scope.whole or (scope.positions and any(column.some for column in columns)):
            return columns
        chosen = [column for place in scope.positions for column in columns[place - 1 : place]]
        if scope.grouped:
            chosen += [column for column in columns if AGGREGATE not in column.reads.values()]
        return chosen

    def _columns(self, source: Source) -> list[Column]:
        """Return the columns of a source, under the names that they have here."""
        if source.relation is not None:
            return self._renamed(self.known.table(source.relation), source.columns)
        if source.scope is None:
            reads = self._reads(source.refs, VALUE)
            merge(self.rows, reads)
            return [Column(name, reads) for name in source.columns]
        inner = self.known.results[source.scope]
        unsure = source.is_cte and bool(inner.free)
        self._settle(inner.free, unsure=unsure)
        merge(self.rows, self._resolved(inner.rows, unsure=unsure))
        columns: Sequence[Column] = inner.columns
        if inner.free:
            columns = [each._replace(reads=self._resolved(each.reads, unsure=unsure)) for each in columns]
        return self._distinct(self._renamed(columns, source.columns))

    def _renamed(self, columns: Sequence[Column], names: tuple[str, ...]) -> list[Column]:
        """Return columns of which the first have other names: these must stay the first."""
        if not names:
            return list(columns)
        self.known.note(union(column.reads for column in columns[: len(names)]))
        pairs = zip(columns, names, strict=False)
        return [*(column._replace(name=name) for column, name in pairs), *columns[len(names) :]]

    def _distinct(self, columns: list[Column]) -> list[Column]:
        """Return columns of which no two have one name, as the engine tells them apart: then none may go."""
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
            self.known.note(union(column.reads for column in columns))
        return result

    def _join(self, source: Source, columns: list[Column]) -> None:
        """Add a source to what is in sight. Its columns in USING are one with those of the same name before it."""
        self.sources.setdefault(source.alias.lower(), []).extend(columns)
        mine = _by_folded_name(columns)
        _extend(self.members.setdefault(source.alias.lower(), {}), mine)
        self.unsure += [column.reads for column in columns if column.some or column.name is None]
        shared = self._shared(source, columns, mine.keys())
        for name in shared:
            self._share(name, mine, source.side)
        if source.side == "SEMI":
            _extend(self.hidden, {**mine, source.alias.lower(): []})
            return
        self.wide += [column for column in columns if column.folded not in shared]
        _extend(self.names, {name: reads for name, reads in mine.items() if name not in shared})

    def _shared(self, source: Source, columns: list[Column], mine: Set[str]) -> set[str]:
        """Return the names that a source shares with those before it; what a natural join may share stays needed."""
        shared = {name.lower() for name in source.using}
        if source.natural:
            shared |= mine & self.names.keys()
            if self.unsure:
                merge(self.rows, self.known.note(union(column.reads for column in (*self.wide, *columns))))
        return shared

    def _share(self, name: str, mine: dict[str, list[Reads]], side: str) -> None:
        """Make one column of both: that of the side which is always there."""
        both = [*self.names.get(name, ()), *mine.get(name, ())]
        merge(self.rows, self.known.note(union(both)))
        chosen = union(both, VALUE) if side == "FULL" else union(both[-1:] if side == "RIGHT" else both[:1])
        if side in ("FULL", "RIGHT"):
            self.wide = [each._replace(reads=chosen) if each.folded == name else each for each in self.wide]
        self.names[name] = [chosen]

    def _output(self, output: Output) -> Iterator[Column]:
        reads = self._reads(output.refs)
        if output.star is not None:
            columns = self._star(output.star)
            if not reads and output.kind == COPY and output.name is None:
                yield from columns
                return
            for column in columns:
                mixed = union((reads, union((column.reads,), output.kind)))
                yield Column(output.name or column.name, mixed, column.some)
            return
        if output.name is not None:
            merge(self.aliases.setdefault(output.name.lower(), {}), reads)
        yield Column(output.name, reads, output.spreads)

    def _star(self, star: Star) -> Iterable[Column]:
        """Return the columns of a star; behind the name of a struct, these are its fields."""
        columns = self.wide if star.qualifier is None else self.sources.get(star.qualifier.lower())
        if columns is None:
            return [Column(None, self._reads_of_name((star.qualifier or "",), VALUE), some=True)]
        return self._listed(star, columns) if star._replace(qualifier=None) != Star() else columns

    def _listed(self, star: Star, columns: list[Column]) -> Iterator[Column]:
        """Yield columns as a star lists them. Those in its lists must be there, and all if it chooses by name."""
        replaced = {name.lower(): self._reads(refs) for name, refs in star.replace}
        renamed = {old.lower(): new for old, new in star.rename}
        listed, is_excluded = replaced.keys() | renamed.keys(), self._exclusion(star)
        for column in columns:
            name, leaves = column.folded, is_excluded(column)
            if star.some or leaves or name in listed:
                self.known.note(column.reads)
            if not leaves:
                reads = replaced.get(name, column.reads)
                yield Column(renamed.get(name, column.name), reads, column.some or star.some)

    def _exclusion(self, star: Star) -> Callable[[Column], bool]:
        """Return what tells whether a star leaves a column out, by its name or as one of a source."""
        excluded = {tuple(part.lower() for part in parts) for parts in star.exclude}
        of_source = {(parts[-1], id(reads)) for parts in excluded for reads in self._members(parts)}
        return lambda each: (each.folded,) in excluded or (each.folded, id(each.reads)) in of_source

    def _reads(self, refs: Iterable[Ref], kind: int = COPY, *, with_aliases: bool = False) -> Reads:
        """Return what refs lead to; `with_aliases`, a name that is a column may be an output as well."""
        total: Reads = {}
        for ref in refs:
            strongest = max(ref.kind, kind)
            if ref.scope is not None:
                inner = self.known.results[ref.scope]
                self._settle(inner.free)
                outputs = self.known.note(union(column.reads for column in inner.columns))
                merge(total, self._resolved(outputs), strongest)
                merge(total, self._resolved(inner.rows), max(strongest, VALUE))
            elif ref.parts:
                merge(total, self._reads_of_name(ref.parts, strongest))
                if with_aliases:
                    merge(total, self.aliases.get(ref.parts[0].lower(), {}), strongest)
            else:
                everything = [column.reads for columns in self.sources.values() for column in columns]
                merge(total, self.known.note(union(everything)), max(strongest, VALUE))
        return total

    def _resolved(self, reads: Reads, *, unsure: bool = False) -> Reads:
        """Return what an inner scope read, with the names that are of this one looked up here.

        `unsure`, they are not of this one if all is well: what WITH names does not see what stands beside it.
        """
        if not any(isinstance(key, Free) for key in reads):
            return reads
        total: Reads = {}
        for key, kind in reads.items():
            found = {key: kind}
            if isinstance(key, Free):
                found = self._reads_of_name(key.parts, kind, sure=key.sure and not unsure)
            merge(total, found)
        return total

    def _settle(self, names: Iterable[Free], *, unsure: bool = False) -> None:
        """Look up the names that an inner scope left open, whether or not their values are used."""
        for free in names:
            self._reads_of_name(free.parts, VALUE, sure=free.sure and not unsure)

    def _reads_of_name(self, parts: tuple[str, ...], kind: int, *, sure: bool = True) -> Reads:
        """Return what a name leads to here; what is not found, or not for sure, stays open for the scope around."""
        first = parts[0].lower()
        found = self._found(tuple(part.lower() for part in parts))
        is_hidden = first in self.hidden and first not in self.names
        settled = found is not None and sure and not is_hidden
        total = union((found or {}, union(() if settled else self.unsure, VALUE)), kind)
        self.known.note(total)
        if not settled:
            free = Free(parts, sure and found is None and not self.unsure)
            self.free.add(free)
            total[free] = kind
        return total

    def _found(self, parts: tuple[str, ...]) -> Reads | None:
        """Return the column that a name is; None if it is none of this scope. A column of a source comes first."""
        first = parts[0]
        named = self.names.get(first) or self.hidden.get(first, [])
        if len(parts) == 1:
            return union(named) if named else self._other(first)
        inside = [self._member(parts[at], parts[at + 1], len(parts) - at > 2) for at in range(len(parts) - 1)]
        if inside[0] is not None:
            return inside[0]
        found = [reads for reads in inside if reads is not None]
        found += [union((reads,), VALUE) for reads in named + self._outputs_before(first)]
        return union(found) if found else None

    def _outputs_before(self, name: str) -> list[Reads]:
        return [self.aliases[name]] if name in self.aliases else []

    def _other(self, name: str) -> Reads | None:
        """Return what a bare name is that is no column: an output before it, or the whole row of a source."""
        found = self._outputs_before(name)
        found += [union((column.reads,), VALUE) for column in self.sources.get(name, ())]
        return union((*found, union(self.unsure, VALUE))) if found or name in self.sources else None

    def _member(self, source: str, column: str, has_more: bool) -> Reads | None:
        if column == "*" and source in self.sources:
            return union((each.reads for each in self.sources[source]), VALUE)
        reads = self._members((source, column))
        return union(reads, VALUE if has_more else COPY) if reads else None

    def _members(self, parts: tuple[str, ...]) -> Sequence[Reads]:
        """Return the columns that `source.name` can be."""
        return self.members.get(parts[-2], {}).get(parts[-1], ()) if len(parts) > 1 else ()


def _by_folded_name(columns: Iterable[Column]) -> dict[str, list[Reads]]:
    found: dict[str, list[Reads]] = defaultdict(list)
    for column in columns:
        found[column.folded].append(column.reads)
    return found


def _extend(into: dict[str, list[Reads]], more: Mapping[str, list[Reads]]) -> None:
    for name, reads in more.items():
        into.setdefault(name, []).extend(reads)
