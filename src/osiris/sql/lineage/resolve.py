"""What one scope gives, when the scopes that it reads have given theirs: names are looked up here."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.sql.lineage.dependencies import Column, Free, Result, merge, union
from osiris.sql.lineage.flow import AGGREGATE, COPY, VALUE, Star

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.sql.lineage.dependencies import Known, Reads
    from osiris.sql.lineage.flow import Output, Ref, Scope, Source


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
        self._decide(columns)
        return Result(tuple(columns), self.rows, frozenset(self.free))

    def _decide(self, columns: list[Column]) -> None:
        """Gather what decides the rows, when the outputs are there."""
        scope, note = self.scope, self.known.note
        merge(self.rows, self._reads(scope.rows, with_aliases=True))
        last = max(scope.positions, default=0)
        if scope.whole or (last and any(column.some for column in columns)):
            merge(self.rows, note(union(column.reads for column in columns)))
        note(union(column.reads for column in columns[:last]))
        for place in scope.positions:
            merge(self.rows, union(column.reads for column in columns[place - 1 : place]))
        for column in columns if scope.grouped else ():
            if AGGREGATE not in column.reads.values():
                merge(self.rows, note(column.reads))

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
        if len({(column.name or "").lower() for column in columns}) == len(columns):
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
        mine: dict[str, list[Reads]] = defaultdict(list)
        for column in columns:
            mine[(column.name or "").lower()].append(column.reads)
        _extend(self.members.setdefault(source.alias.lower(), {}), mine)
        self.unsure += [column.reads for column in columns if column.some or column.name is None]
        shared = {name.lower() for name in source.using}
        if source.natural:
            shared |= mine.keys() & self.names.keys()
            self._note_if_unsure(columns)
        for name in shared:
            self._share(name, mine, source.side)
        if source.side == "SEMI":
            _extend(self.hidden, {**mine, source.alias.lower(): []})
            return
        self.wide += [column for column in columns if (column.name or "").lower() not in shared]
        _extend(self.names, {name: reads for name, reads in mine.items() if name not in shared})

    def _share(self, name: str, mine: dict[str, list[Reads]], side: str) -> None:
        """Make one column of both: that of the side which is always there."""
        both = [*self.names.get(name, ()), *mine.get(name, ())]
        merge(self.rows, self.known.note(union(both)))
        chosen = union(both, VALUE) if side == "FULL" else union(both[-1:] if side == "RIGHT" else both[:1])
        if side in ("FULL", "RIGHT"):
            self.wide = [c._replace(reads=chosen) if (c.name or "").lower() == name else c for c in self.wide]
        self.names[name] = [chosen]

    def _note_if_unsure(self, columns: list[Column]) -> None:
        """Remember all columns of both sides of a natural join if a name is unknown: it might be common."""
        if self.unsure:
            merge(self.rows, self.known.note(union(column.reads for column in (*self.wide, *columns))))

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
        excluded = {tuple(part.lower() for part in parts) for parts in star.exclude}
        of_source = {(parts[-1], id(reads)) for parts in excluded for reads in self._members(parts)}
        for column in columns:
            name = (column.name or "").lower()
            leaves = (name,) in excluded or (name, id(column.reads)) in of_source
            if star.some or leaves or name in replaced or name in renamed:
                self.known.note(column.reads)
            if not leaves:
                reads = replaced.get(name, column.reads)
                yield Column(renamed.get(name, column.name), reads, column.some or star.some)

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
        named = self.names.get(first) or self.hidden.get(first)
        if len(parts) == 1:
            return union(named) if named else self._other(first)
        inside = [self._member(parts[at], parts[at + 1], len(parts) - at > 2) for at in range(len(parts) - 1)]
        if inside[0] is not None:
            return inside[0]
        structs = [union((reads,), VALUE) for reads in (*(named or ()), self.aliases.get(first)) if reads is not None]
        found = [reads for reads in (*inside, *structs) if reads is not None]
        return union(found) if found else None

    def _other(self, name: str) -> Reads | None:
        """Return what a bare name is that is no column: an output before it, or the whole row of a source."""
        found = [self.aliases[name]] if name in self.aliases else []
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


def _extend(into: dict[str, list[Reads]], more: Mapping[str, list[Reads]]) -> None:
    for name, reads in more.items():
        into.setdefault(name, []).extend(reads)
