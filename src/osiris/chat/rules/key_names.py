"""Names that keys lead to: `carrier name` is that of an airline where flights refer to airlines by their carrier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.lexicon import Candidate, key_of
from osiris.chat.rules.scope import bare_name
from osiris.chat.rules.tokens import split_name, stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.chat.choices import Column
    from osiris.chat.rules.graph import Edge, Graph
    from osiris.chat.rules.lexicon import Lexicon

_NAMES = ("name", "title")
_KEYS = ("id", "key", "code", "no", "number")


def with_key_names(names: Lexicon, graph: Graph) -> Lexicon:
    """Return a lexicon in which columns that a key leads to may be called after the key."""
    found = {key: each for edges in graph.edges.values() for edge in edges for key, each in _called(edge)}
    for key, candidate in found.items():
        if key not in names.columns:
            names.columns[key].append(candidate)
    return names


def _called(edge: Edge) -> Iterator[tuple[str, Candidate]]:
    if len(edge.columns) != 1:
        return
    words = split_name(edge.columns[0][0])
    words = words[:-1] if words[1:] and words[-1] in _KEYS else words
    for column in edge.one.columns or ():
        if bare_name(column, edge.one) in _NAMES:
            yield key_of([*words, bare_name(column, edge.one)]), Candidate(edge.one, column, tier=1)


def names_behind(column: Column, edges: list[Edge], said: str) -> Edge | None:
    """Return the edge of a key whose table is what was said, as `category` is of a category_id; None if it is not."""
    words = [stem(word) for word in split_name(said)]
    own = [stem(word) for word in split_name(column.name)]
    if words[-len(own) :] == own:
        return None
    found = [edge for edge in edges if edge.columns[0][0] == column.name and len(edge.columns) == 1]
    named = [edge for edge in found if stem(split_name(edge.one.table)[-1]) == words[-1]]
    return named[0] if len(named) == 1 else None
