"""Which table and which column a mention is: by the tables that are spoken of, or by asking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from osiris.chat.rules.abbreviations import OPPOSITES
from osiris.chat.rules.answers import Ask, Cannot, chosen, key_text
from osiris.chat.rules.graph import Graph, graph, is_unique
from osiris.chat.rules.lexicon import full_words, is_date, is_number, shared_prefix, table_words
from osiris.chat.rules.operators import MONEY_COLUMNS
from osiris.chat.rules.tokens import split_name, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from osiris.chat.choices import Choices, Column, Relation
    from osiris.chat.rules.lexicon import Candidate
    from osiris.chat.rules.query import Mention


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a relation."""

    relation: Relation
    column: Column

    @property
    def label(self) -> str:
        """How it is shown in a choice."""
        return f"{self.relation.name}.{self.column.name}"


@dataclass(slots=True)
class Scope:
    """The tables that are spoken of (those by themselves first), what was answered, and what is assumed."""

    choices: Choices
    answers: Mapping[str, str]
    main: list[Relation] = field(default_factory=list)
    others: list[Relation] = field(default_factory=list)
    closed: frozenset[str] = frozenset()
    assumptions: list[str] = field(default_factory=list)
    inner: list[Relation] = field(default_factory=list)
    fanned: list[Relation] = field(default_factory=list)
    graph: Graph = field(default_factory=Graph)
    fast: bool = False

    @classmethod
    def of(cls, choices: Choices, answers: Mapping[str, str], *, fast: bool = False) -> Scope:
        """Return a scope in which nothing is spoken of yet; with `fast` what may be assumed is not asked."""
        return cls(choices, answers, graph=graph(choices), fast=fast)

    def assume(self, text: str) -> None:
        """Keep an assumption, once."""
        if text not in self.assumptions:
            self.assumptions.append(text)

    def pick(self, key: str, text: str, options: Sequence[tuple[str, T]]) -> T:
        """Return the option that was answered; asks if none was."""
        unique = dict(options)
        if len(unique) == 1:
            return next(iter(unique.values()))
        answer = self.answers.get(key_text(key))
        found = chosen(answer, list(unique)) if answer is not None else None
        if found is None:
            raise Ask(key, text, tuple(unique))
        return unique[found]

    def pick_always(self, key: str, text: str, options: Sequence[str], *, assumed: str | None = None) -> str:
        """Return the option that was answered, be it the only one; asks if none was.

        With `fast` the option that may be `assumed` is taken, and that is said. What picks a table, a column or a
        target is never among these.
        """
        found = chosen(self.answers.get(key_text(key)), options)
        if found is None and self.fast and assumed is not None:
            self.assume(f"{text} {assumed}")
            return assumed
        if found is None:
            raise Ask(key, text, tuple(options))
        return found

    def read_too(self, relation: Relation) -> None:
        """Keep a relation that is read inside of a condition."""
        if relation not in self.inner:
            self.inner.append(relation)

    def money(self, relation: Relation) -> list[str]:
        """Return the words of a table's columns that speak of money."""
        return [
            word for each in relation.columns or () for word in split_name(each.name) if stem(word) in MONEY_COLUMNS
        ]

    def nearest_refs(self, found: Sequence[Ref]) -> list[Ref]:
        """Return those of some columns whose tables are nearest to what is spoken of."""
        for level in self._levels():
            here = [each for each in found if level is None or each.relation.id in level]
            if here:
                return here
        return list(found)

    def is_told_by(self, here: Relation, there: Relation) -> bool:
        """Tell whether a table is spoken of, or each row of another refers to one of its rows."""
        return there in (*self.main, *self.others) or self._refers(here, there)

    def _refers(self, here: Relation, there: Relation) -> bool:
        """Tell whether each row of a table refers to one of another, be it over further ones."""
        for path in self.graph.paths([here.id], there.id):
            ends = [here.id, *(edge.one.id for edge in path)]
            if all(edge.many.id == start for edge, start in zip(path, ends, strict=False)):
                return True
        return False

    def relation_of(self, mention: Mention, sources: Iterable[str] = ()) -> Relation:
        """Return the table that a mention is; asks if it may be several."""
        found = [each for each in mention.tables if each.relation.id not in self.closed] or list(mention.tables)
        wanted = [name.lower() for name in sources]
        near = [each for each in found if _is_from(each.relation, wanted)]
        found = near or found
        nearest = min(each.tier for each in found)
        relations = {each.relation.id: each.relation for each in found if each.tier == nearest}
        spoken = [each for each in relations.values() if each in self.main or each in self.others]
        options = spoken or list(relations.values())
        return self.pick(f"table {mention.text}", f"Which table is '{mention.text}'?", [(r.id, r) for r in options])

    def column_of(self, mention: Mention, fits: Callable[[Column], bool] | None = None, what: str = "") -> Ref:
        """Return the column that a mention is; asks if it may be several."""
        found = self.columns_of(mention, fits)
        if not found:
            raise Cannot(f"'{mention.text}' is no column that I can use here{what}")
        key, text = f"column {mention.text.lower()}", f"Which column is '{mention.text}'?"
        if len(found) == 1 and self._is_far(mention, found[0]):
            self.pick_always(key, f"Is '{mention.text}' {found[0].label}?", (found[0].label,))
        return self.pick(key, text, [(each.label, each) for each in found])

    def _is_far(self, mention: Mention, ref: Ref) -> bool:
        """Tell whether only a part of a column's name was said, and its table was not spoken of."""
        tiers = [each.tier for each in mention.columns if each.key == (ref.relation.id, ref.column.name)]
        if any(each.relation == ref.relation for each in mention.tables):
            return False
        return bool(tiers) and min(tiers) > 1 and ref.relation not in (*self.main, *self.others) and bool(self.main)

    def columns_of(self, mention: Mention, fits: Callable[[Column], bool] | None = None) -> list[Ref]:
        """Return the columns that a mention may be, in the nearest tables that have any."""
        found = [each for each in mention.columns if each.relation.id not in self.closed] or list(mention.columns)
        if mention.owners:
            owners = {each.relation.id for each in mention.owners}
            found = [each for each in found if each.relation.id in owners]
        fitting = [each for each in found if fits and each.column and fits(each.column)]
        if mention.tables and not fitting and not mention.owners and self._is_rather_table(mention):
            label = self.label_of(self.relation_of(mention))
            return [label] if label else []
        near = self._nearest(fitting or found)
        if not near and mention.tables:
            label = self.label_of(self.relation_of(mention))
            return [label] if label else []
        return self._without_references([Ref(each.relation, each.column) for each in near if each.column])

    def _is_rather_table(self, mention: Mention) -> bool:
        """Tell whether words name a table more exactly than a column of those that are spoken of."""
        main = {each.id for each in self.main}
        nearest = min((each.tier for each in mention.columns), default=9)
        own = any(each.relation.id in main and each.tier <= 1 for each in mention.columns)
        return not own and min(each.tier for each in mention.tables) <= nearest

    def _nearest(self, found: Sequence[Candidate]) -> list[Candidate]:
        weak: list[Candidate] = []
        for far, level in enumerate(self._levels()):
            here = [each for each in found if level is None or each.relation.id in level]
            if not here:
                continue
            tier = min(each.tier for each in here)
            best = [each for each in here if each.tier == tier]
            if tier <= 1:
                if far == _UNSPOKEN:
                    best += self._beyond(found, best)
                return best + [each for each in weak if each.tier <= 2] if level is not None else (weak or best)
            weak = weak or best
        return weak

    def _beyond(self, found: Sequence[Candidate], near: Sequence[Candidate]) -> list[Candidate]:
        """Return further columns of the same words that keys lead to: that one is nearer does not say that it is meant.

        What rows refer to is theirs, so beside that only others that they refer to may be meant.
        """
        spoken = [*self.main, *self.others]
        starts, known = [each.id for each in spoken], {each.relation.id for each in near}

        def is_theirs(there: Relation) -> bool:
            return any(self.is_told_by(here, there) for here in spoken)

        far = [each for each in found if each.tier <= 1 and each.relation.id not in known]
        if any(is_theirs(each.relation) for each in near):
            return [each for each in far if is_theirs(each.relation)]
        return [each for each in far if self.graph.paths(starts, each.relation.id)]

    def _levels(self) -> list[set[str] | None]:
        main = {each.id for each in self.main}
        others = {each.id for each in self.others}
        near = {there for here in main | others for there in self.graph.neighbours(here)}
        return [main, others - main, near - others - main, None]

    def _without_references(self, found: list[Ref]) -> list[Ref]:
        """Leave out columns that others of them refer to: they have the same values."""
        kept = []
        for each in found:
            references = (
                (left, right)
                for other in found
                for edge in self.graph.between(other.relation.id, each.relation.id)
                for left, right in edge.columns
                if left == other.column.name
            )
            is_main = each.relation in self.main
            if is_main or not any(right == each.column.name for _, right in references):
                kept.append(each)
        return kept

    def labels_of(self, relation: Relation) -> list[Ref]:
        """Return the columns that tell rows of a table to people: its label, or the two names of a person."""
        columns = relation.columns or ()
        parts = [each for part in _PERSON for each in columns if bare_name(each, relation).replace(" ", "") == part]
        if len(parts) == 2 and not any(bare_name(each, relation) == "name" for each in columns):
            refs = [Ref(relation, each) for each in parts]
            both = " and ".join(ref.label for ref in refs)
            keys = [Ref(relation, each) for each in columns if (each.name,) == relation.primary_key]
            options: list[tuple[str, list[Ref]]] = [(both, refs), *((ref.label, [ref]) for ref in keys)]
            entity = " ".join(table_words(relation))
            return self.pick(f"label {relation.name}", f"By which column of {entity}?", options)
        label = self.label_of(relation)
        return [label] if label else []

    def label_of(self, relation: Relation) -> Ref | None:
        """Return the column that tells rows of a table to people: its name or title, else its key."""
        columns = relation.columns or ()
        named = [each for each in columns if bare_name(each, relation) in ("name", "title", "label", "full name")]
        named = named or [each for each in columns if each.type == "utf8" and split_name(each.name)[-1] in _NAMES]
        if not named and len(relation.primary_key) == 1:
            named = [each for each in columns if each.name in relation.primary_key]
        if not named:
            named = [each for each in columns if is_unique(relation, each)][:1]
        if not named:
            return None
        by_name = [each for each in named if bare_name(each, relation) == "name"]
        options = [(f"{relation.name}.{each.name}", Ref(relation, each)) for each in by_name or named]
        if len(options) > 1 and relation.primary_key:
            key = [each for each in columns if each.name == relation.primary_key[0]]
            options += [(f"{relation.name}.{each.name}", Ref(relation, each)) for each in key]
        entity = " ".join(table_words(relation))
        return self.pick(f"label {relation.name}", f"By which column of {entity}?", options)

    def names_beside(self, relation: Relation) -> list[Ref]:
        """Return the names of what rows of a table refer to."""
        ones = [edge.one for edge in self.graph.edges.get(relation.id, ()) if edge.many == relation]
        named = [Ref(one, each) for one in ones for each in one.columns or () if bare_name(each, one) in _NAMES]
        return [each for at, each in enumerate(named) if each not in named[:at]]

    def date_of(self, relations: Sequence[Relation], said: str, *, named_so: bool = True) -> Ref:
        """Return the only date column of the first table that has any; asks if there are several.

        One that is called date, as that of its table, is taken before others unless not `named_so`; but rows that refer
        to those of the first table, and are spoken of as well, may be what the date is of.
        """
        dated = [each for each in relations if any(map(is_date, each.columns or ()))]
        if not dated:
            raise Cannot(f"I find no date for '{said}'")
        meant = [dated[0], *(each for each in dated[1:] if not self._refers(dated[0], each))]
        dates = [Ref(each, column) for each in meant for column in each.columns or () if is_date(column)]
        own = [ref for ref in dates if bare_name(ref.column, ref.relation) in ("date", "timestamp", "datetime")]
        if named_so and len(own) == 1 and len(dates) > 1 and len(meant) == 1:
            self.assume(f"'{said}' is about {own[0].label}")
            return own[0]
        return self.pick(f"date {said}", f"Which date is meant by '{said}'?", [(ref.label, ref) for ref in dates])

    def measure_of(self, relation: Relation, words: Iterable[str], said: str) -> Ref:
        """Return the only column of numbers of a table, of those whose names have one of some words; else asks."""
        numbers = [each for each in relation.columns or () if is_number(each) and not self.is_key(relation, each)]
        wanted = {stem(word) for word in words}
        near = [each for each in numbers if wanted & {form for part in split_name(each.name) for form in _forms(part)}]
        found = near if wanted else numbers
        if not found or (wanted and not near):
            found = numbers
            options = [(f"{relation.name}.{each.name}", Ref(relation, each)) for each in found]
            if not options:
                raise Cannot(f"{relation.name} has no column of numbers for '{said}'")
            answer = chosen(self.answers.get(key_text(f"measure {said}"), ""), [label for label, _ in options])
            if answer is None:
                raise Ask(
                    f"measure {said}", f"Which column is meant by '{said}'?", tuple(label for label, _ in options)
                )
            return dict(options)[answer]
        options = [(f"{relation.name}.{each.name}", Ref(relation, each)) for each in found]
        return self.pick(f"measure {said}", f"Which column is meant by '{said}'?", options)

    def is_key(self, relation: Relation, column: Column) -> bool:
        """Tell whether a column only names rows, here or in another table."""
        words = split_name(column.name)
        refers = {left for key in relation.foreign_keys for left in key.columns}
        inferred = {
            left for edge in self.graph.edges.get(relation.id, ()) if edge.many == relation for left, _ in edge.columns
        }
        keyed = column.name in relation.primary_key or column.name in refers | inferred
        return keyed or words[-1] in ("id", "key", "code", "year", "month", "day", "hour", "minute", "number")

    def both_ends(self, mention: Mention, fits: Callable[[Column], bool]) -> list[Ref]:
        """Return two columns if they are the two ends of one thing, as the delays of a flight are; else none."""
        found = [each for each in self.columns_of(mention, fits) if fits(each.column)]
        if (
            f"column {mention.text.lower()}" in self.answers
            or len(found) != 2
            or found[0].relation != found[1].relation
        ):
            return []
        first, second = (split_name(each.column.name) for each in found)
        ends = {(first[0], second[0]), (second[0], first[0])}
        if first[1:] != second[1:] or not ends.intersection(OPPOSITES):
            return []
        self.assume(f"'{mention.text}' is both {found[0].column.name} and {found[1].column.name}")
        return found


def _forms(word: str) -> set[str]:
    return {stem(word), *full_words(word)}


_UNSPOKEN = 2
"""The level of tables that nobody spoke of, but that a key leads to."""

_NAMES = ("name", "title", "label")
_PERSON = ("firstname", "lastname")


def bare_name(column: Column, relation: Relation) -> str:
    """Return the words of a column without those of its table or its prefix."""
    words, table = [part for word in split_name(column.name) for part in full_words(word)], table_words(relation)
    if shared_prefix(relation) and len(words) > 1:
        words = words[1:]
    if len(words) > len(table) and [stem(w) for w in words[: len(table)]] == [stem(w) for w in table]:
        words = words[len(table) :]
    elif len(words) > 1 and stem(words[0]) == stem(table[-1]):
        words = words[1:]
    return " ".join(words)


def _is_from(relation: Relation, wanted: Sequence[str]) -> bool:
    reference = (relation.connection or "").lower()
    names = {reference, reference.partition(".")[2], reference.removeprefix("@").partition(".")[0]}
    return bool(names.intersection(wanted) - {""})
