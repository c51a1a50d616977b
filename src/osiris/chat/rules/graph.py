"""Which tables can be joined: over foreign keys, or over columns that are called alike where no key is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.chat.rules.lexicon import shared_prefix, table_words
from osiris.chat.rules.tokens import split_name, stem
from osiris.chat.rules.vocabulary import word_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.chat.choices import Choices, Column, Relation

_KEY_WORDS = frozenset(
    ["id", "key", "code", "no", "num", "number", "sku", "isbn", "iata", "icao", "ref", "uuid", "guid"]
)
_COMMON = word_set("""
    name title type status state year month day date hour description comment city country time email
    """)


@dataclass(frozen=True, slots=True)
class Edge:
    """Rows of `many` that refer to one of `one` each, by columns; `declared` unless only their names say so."""

    many: Relation
    one: Relation
    columns: tuple[tuple[str, str], ...]
    declared: bool = True

    @property
    def label(self) -> str:
        """How a person may tell it from others."""
        return " and ".join(f"{self.many.name}.{left}" for left, _ in self.columns)


@dataclass(slots=True)
class Graph:
    """Edges between relations, by the ids of these."""

    edges: dict[str, list[Edge]] = field(default_factory=dict)

    def paths(self, starts: Sequence[str], goal: str) -> list[list[Edge]]:
        """Return the shortest ways from one of some relations to another, none if there is none."""
        reached: dict[str, list[list[Edge]]] = {start: [[]] for start in starts}
        frontier = list(dict.fromkeys(starts))
        while frontier and goal not in reached:
            following: dict[str, list[list[Edge]]] = {}
            for here in frontier:
                for edge in self.edges.get(here, ()):
                    there = edge.one.id if edge.many.id == here else edge.many.id
                    if there not in reached:
                        following.setdefault(there, []).extend([*path, edge] for path in reached[here])
            reached |= following
            frontier = list(following)
        return reached.get(goal, [])

    def neighbours(self, relation: str) -> set[str]:
        """Return the relations that one edge leads to."""
        return {each.one.id if each.many.id == relation else each.many.id for each in self.edges.get(relation, ())}

    def between(self, many: str, one: str) -> list[Edge]:
        """Return the edges by which rows of a relation refer to another one."""
        return [each for each in self.edges.get(many, ()) if each.many.id == many and each.one.id == one]


def graph(choices: Choices) -> Graph:
    """Return the edges between all relations whose columns are known."""
    made = Graph()
    known = [each for each in choices.relations if each.columns is not None]
    for relation in known:
        for edge in _declared(relation, known):
            _add(made, edge)
    for left, right in ((left, right) for left in known for right in known if left.id != right.id):
        if left.source != right.source and left.connection and right.connection:
            continue
        if not made.between(left.id, right.id) and not made.between(right.id, left.id):
            for edge in _inferred(left, right):
                _add(made, edge)
    return made


def _add(made: Graph, edge: Edge) -> None:
    for end in dict.fromkeys((edge.many.id, edge.one.id)):
        made.edges.setdefault(end, []).append(edge)


def _declared(relation: Relation, known: Sequence[Relation]) -> Iterator[Edge]:
    for key in relation.foreign_keys:
        for other in known:
            same = other.table.lower() in (key.table.lower(), key.table.rpartition(".")[2].lower())
            if same and other.source == relation.source and other.id != relation.id:
                yield Edge(relation, other, tuple(zip(key.columns, key.to, strict=False)))


def _inferred(many: Relation, one: Relation) -> Iterator[Edge]:
    """Yield the edges that names tell: `customer_id` and the id of customers, or one key by the same name."""
    if many.foreign_keys and one.foreign_keys:
        return
    for target in one.columns or ():
        if not is_unique(one, target) or is_copy(many, one):
            continue
        for column in many.columns or ():
            if _refers(column, target, many, one):
                yield Edge(many, one, ((column.name, target.name),), declared=False)


def is_copy(left: Relation, right: Relation) -> bool:
    """Tell whether two relations have the same columns, as a table and its archive do."""
    return {each.name for each in left.columns or ()} == {each.name for each in right.columns or ()}


def _refers(column: Column, target: Column, many: Relation, one: Relation) -> bool:
    if column.type != target.type and not (_is_whole(column) and _is_whole(target)):
        return False
    left, right = _words(column, many), _words(target, one)
    entity = [stem(word) for word in table_words(one)]
    if right in (["id"], ["key"], ["code"]):
        named = (entity + right, entity[-1:] + right)
        return any(left[-len(name) :] == name for name in named) and not is_unique(many, column)
    is_key = right[-1] in _KEY_WORDS or _leads(target, one)
    if right == left:
        return is_key and not is_unique(many, column) and not _COMMON.intersection(right) and _leads(target, one)
    owned = right[-1] in _KEY_WORDS and right[0] in entity and len(right) > 1
    return owned and left[-len(right) :] == right and not is_unique(many, column)


def _words(column: Column, relation: Relation) -> list[str]:
    prefix = shared_prefix(relation)
    words = [stem(word) for word in split_name(column.name)]
    return words[1:] if prefix and len(words) > 1 else words


def _is_whole(column: Column) -> bool:
    return (column.type or "").startswith(("int", "uint"))


def _leads(column: Column, relation: Relation) -> bool:
    """Tell whether a column is the first of its table, or its key."""
    first = relation.columns[0].name if relation.columns else None
    return column.name == first or relation.primary_key == (column.name,)


def is_unique(relation: Relation, column: Column) -> bool:
    """Tell whether a column is a key, as far as is known: declared, or all its values differ in all rows."""
    if relation.primary_key:
        return relation.primary_key == (column.name,)
    distinct = column.profile.get("distinct")
    return bool(distinct) and distinct == relation.rows


def tree(edges: Sequence[Edge], members: Sequence[str]) -> list[str]:
    """Return the members from which all others are reached going only from many to one, over these edges."""
    return [each for each in members if _reaches(each, edges) >= set(members)]


def _reaches(start: str, edges: Sequence[Edge]) -> set[str]:
    found, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for edge in edges:
            if edge.many.id == here and edge.one.id not in found:
                found.add(edge.one.id)
                frontier.append(edge.one.id)
    return found
