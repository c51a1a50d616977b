"""What values are made from, and the state of one pass over a flow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from osiris.sql.lineage.flow import COPY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


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


@dataclass(frozen=True, slots=True)
class Result:
    """What a scope gives. `free` are all names in it, in use or not, that belong to the scope around."""

    columns: tuple[Column, ...] = ()
    rows: Reads = field(default_factory=dict)
    free: frozenset[Free] = frozenset()


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
