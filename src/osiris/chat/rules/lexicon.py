"""Which words speak of which tables, columns and values: everything that the choices hold, by how it may be called."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.chat.rules.abbreviations import ABBREVIATIONS, PREFIXES
from osiris.chat.rules.tokens import split_name, stem, verb_stems
from osiris.chat.rules.vocabulary import EMPTY, RELATIVE, word_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.chat.choices import Choices, Column, Relation
    from osiris.chat.rules.tokens import Token

LONGEST = 6
"""So many words are a name at most."""

_DATES = ("at", "on", "date", "ts", "dt", "time", "day", "timestamp", "year")
_UNNAMED = word_set("""
    in to from on at by is has no of for as or and not with without than per into
    """)
"""Words that are never names, whatever a schema says: they would make each request ambiguous."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What words may speak of: a relation, a column of it, or a value in it; the lower the tier, the more exactly."""

    relation: Relation
    column: Column | None = None
    value: str | None = None
    tier: int = 0

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells it from others."""
        return (self.relation.id, self.column.name if self.column else None)


_VAGUE = EMPTY | RELATIVE | frozenset(("first", "second", "third", "top", "bottom", "best", "worst"))
"""Words that are names by themselves only where these are called exactly so."""

Found = tuple[int, tuple[Candidate, ...]]
"""Where words end that were found, and what they may speak of; nothing if they speak of nothing."""


@dataclass(slots=True)
class Lexicon:
    """All names by their keys: stems without anything between them."""

    tables: dict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    columns: dict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    values: dict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    words: set[str] = field(default_factory=set)

    def find(self, kind: str, tokens: Sequence[Token], at: int) -> Found:
        """Return the longest run of tokens at a place that is a name of a kind (tables, columns or values)."""
        names = getattr(self, kind)
        for end in range(min(len(tokens), at + LONGEST), at, -1):
            span = tokens[at:end]
            unnamed = span[0].text in _UNNAMED and (kind != "values" or len(span) == 1)
            if span[-1].text == "-" or not all(_is_named(each) for each in span) or unnamed:
                continue
            found = best(each for key in keys_of(span) for each in names.get(key, ()))
            if kind == "columns" and not found and len(span) <= 2:
                found = self._participle(span[0].text, span[1].text if len(span) == 2 else "")
            found = _as_written(found, "".join(each.text for each in span))
            if span[0].text in _VAGUE and len(span) == 1:
                found = tuple(each for each in found if each.tier <= 1)
            if found:
                return end, found
        return at, ()

    def _participle(self, word: str, particle: str) -> tuple[Candidate, ...]:
        """Return the date columns that a participle speaks of: `hired` of hire_date, `signed up` of signup_date."""
        if (
            word == "dated"
            or not word.endswith(("ed", "ing", "sold", "born", "paid"))
            or particle not in ("", "up", "in", "out", "off")
        ):
            return ()
        found = [each for form in sorted(verb_stems(word)) for each in self.columns.get(form + particle, ())]
        return best(each for each in found if each.column and is_dated(each.column))


def lexicon(choices: Choices) -> Lexicon:
    """Return the names of all that may be chosen."""
    made = Lexicon()
    for relation in choices.relations:
        words = table_words(relation)
        for tier, form in _table_forms(words):
            made.tables[key_of(form)].append(Candidate(relation, tier=tier))
        made.words.update(words)
        prefix = shared_prefix(relation)
        for column in relation.columns or ():
            _add_column(made, relation, words, column, prefix)
    return made


def shared_prefix(relation: Relation) -> str | None:
    """Return the short word that all columns of a table begin with, as `o_orderkey` and `o_comment` do."""
    firsts = {split_name(each.name)[0] for each in relation.columns or () if split_name(each.name)[1:]}
    alike = len(firsts) == 1 and len(relation.columns or ()) > 1
    return firsts.pop() if alike and all(split_name(each.name)[1:] for each in relation.columns or ()) else None


def _add_column(made: Lexicon, relation: Relation, table: list[str], column: Column, prefix: str | None) -> None:
    words = split_name(column.name)
    if not words:
        return  # a name of signs alone cannot be said
    if prefix and words[0] == prefix:
        made.columns[key_of(words)].append(Candidate(relation, column))
        words = words[1:]
    for tier, form in _column_forms(words, table):
        made.columns[key_of(form)].append(Candidate(relation, column, tier=tier))
    if is_date(column) and len(words) > 1 and words[-1] in _DATES:
        for verb in sorted({words[-2], *verb_stems(words[-2])}):
            made.columns[key_of([*words[:-2], verb, "date"])].append(Candidate(relation, column, tier=2))
        made.columns[key_of([*words, "date"])].append(Candidate(relation, column, tier=2))
    made.words.update(words)
    if column.type == "utf8":
        for value in known_values(column):
            if spelled := split_name(value):
                made.values[key_of(spelled)].append(Candidate(relation, column, value))
                made.words.update(spelled)


def table_words(relation: Relation) -> list[str]:
    """Return the words of a table's name, without its schema or its folder and ending."""
    name = relation.table
    last = name.rpartition("/")[2].split(".", 1)[0] if relation.connection is None else name.rpartition(".")[2]
    words = split_name(last)
    return words[1:] if len(words) > 1 and words[0] in PREFIXES else words


def known_values(column: Column) -> list[str]:
    """Return the values that the profile shows, commonest first; those that it hides are left out."""
    values = column.profile.get("values") or ()
    return [each["value"] for each in values if len(each["value"]) > 1 and not each["value"].startswith("<")]


def has_all_values(column: Column) -> bool:
    """Tell whether the profile shows every value that the column has."""
    values = column.profile.get("values")
    return bool(values) and column.profile.get("distinct") == len(known_values(column))


def is_dated(column: Column) -> bool:
    """Tell whether a column holds dates, or years by its name."""
    return is_date(column) or (is_number(column) and "year" in split_name(column.name))


def is_date(column: Column) -> bool:
    """Tell whether a column holds dates or times, be they text that looks like it."""
    kind = column.type or ""
    least = str(column.profile.get("min", ""))
    return kind == "date" or kind.startswith("timestamp") or (kind == "utf8" and bool(_ISO.match(least)))


_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")


def is_number(column: Column) -> bool:
    """Tell whether a column holds numbers."""
    return bool(column.type) and str(column.type).startswith(("int", "uint", "float", "decimal"))


def _as_written(found: tuple[Candidate, ...], text: str) -> tuple[Candidate, ...]:
    """Leave out columns whose name differs in its plural where the same table has one that is written so."""
    exact = {each.relation.id for each in found if each.column and "".join(split_name(each.column.name)) == text}
    return tuple(
        each
        for each in found
        if each.relation.id not in exact or not each.column or "".join(split_name(each.column.name)) == text
    )


def best(found: Iterator[Candidate]) -> tuple[Candidate, ...]:
    """Return candidates once each, by the best way in which they were found."""
    kept: dict[tuple[str, str | None, str | None], Candidate] = {}
    for each in found:
        key = (*each.key, each.value)
        if key not in kept or each.tier < kept[key].tier:
            kept[key] = each
    return tuple(kept.values())


def keys_of(span: Sequence[Token]) -> tuple[str, ...]:
    """Return the keys of some tokens: of their stems, and of what these are short for."""
    words = [
        part for each in span if each.text != "-" for part in split_name(each.raw if _is_name(each) else each.text)
    ]
    plain = key_of(words)
    full = "".join(_full(word) for word in words)
    return (plain,) if full == plain else (plain, full)


def _is_name(token: Token) -> bool:
    return token.kind == "word" and ("_" in token.raw or not token.raw.isupper())


def key_of(words: Sequence[str]) -> str:
    """Return the key of a name."""
    return "".join(stem(word.lower()) for word in words)


def _full(word: str) -> str:
    return "".join(full_words(word))


def full_words(word: str) -> list[str]:
    """Return what a word is short for, or its stem."""
    bare = stem(word.lower())
    for ending in _ENDINGS:
        head = bare.removesuffix(ending)
        if head != bare and (head in ABBREVIATIONS or head in _HEADS):
            return [*ABBREVIATIONS.get(head, head).split(), ending]
    return ABBREVIATIONS.get(bare, bare).split()


_ENDINGS = ("key", "id", "name", "date", "time", "mode", "price", "code", "type", "flag", "status", "number", "no")
_HEADS = word_set("""
    order part ship total retail nation region line commit receipt birth start end unit list hire user
    """)
"""Words of which names are glued together without a sign between them: `custkey`, `shipdate`."""


def _is_named(token: Token) -> bool:
    quoted = token.kind == "string" and _PLAIN.fullmatch(token.text) is not None
    return quoted or token.kind in ("word", "number") or token.text == "-"


_PLAIN = re.compile(r"[\w ]+")


def _table_forms(words: list[str]) -> Iterator[tuple[int, list[str]]]:
    if words:
        yield 0, words
        yield 1, [_full(word) for word in words]
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if (start, end) != (0, len(words)):
                yield 2 if end == len(words) else 3, words[start:end]


def _column_forms(words: list[str], table: list[str]) -> Iterator[tuple[int, list[str]]]:
    bare = _without_table(words, table)
    full = [part for word in bare for part in full_words(word)]
    yield 0, words
    yield 0, table + bare
    yield 1, table[-1:] + bare
    yield 1, bare
    yield 1, full
    yield 1, [_full(word) for word in words]
    yield 1, table + full
    if bare[0] in ("is", "has") and len(bare) > 1:
        yield 1, bare[1:]
    for variant in (bare, words):
        if variant[-1] in _DATES and len(variant) > 1:
            yield 2, variant[:-1]
    for variant in (bare, full):
        yield from _parts(variant)


def _without_table(words: list[str], table: list[str]) -> list[str]:
    """Return a column's words without the name of its table: `customer_name` of customers is its name."""
    size = len(table)
    if len(words) > size and [stem(word) for word in words[:size]] == [stem(word) for word in table]:
        return words[size:]
    return words


def _parts(words: list[str]) -> Iterator[tuple[int, list[str]]]:
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            part = words[start:end]
            if 0 < len(part) < len(words) and part != ["id"]:
                yield 2 if end == len(words) else 3, part
