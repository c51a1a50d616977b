"""A place in the tokens of a message, and the mentions of columns and tables that begin there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from osiris.chat.rules.query import Mention, Said
from osiris.chat.rules.vocabulary import LINKED, LINKING, MONTHS, word_set

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from osiris.chat.rules.lexicon import Candidate, Lexicon
    from osiris.chat.rules.tokens import Token

T = TypeVar("T")

ARTICLES = word_set("""
    the a an its their his her our my all both of each every any this that these those\u2019s
    """) | {"\u2019s"}
_PLAIN_ARTICLES = ARTICLES - {"of"}


@dataclass(slots=True)
class Cursor:
    """Tokens, how far they are read, what their words may speak of, and what was said so far."""

    tokens: Sequence[Token]
    names: Lexicon
    said: Said = field(default_factory=Said)
    at: int = 0
    table_end: int = -1
    output_start: int = -1
    output_end: int = -1
    group_end: int = -1
    left_end: int = -1

    @property
    def done(self) -> bool:
        """Whether all tokens are read."""
        return self.at >= len(self.tokens)

    def text(self, ahead: int = 0) -> str:
        """Return the text of the next token, or one further on; empty behind the end and before the start."""
        at = self.at + ahead
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        """Return the kind of the next token, or one further on."""
        at = self.at + ahead
        return self.tokens[at].kind if 0 <= at < len(self.tokens) else ""

    def take(self, *words: str) -> bool:
        """Read these words if they come next."""
        if [self.text(ahead) for ahead in range(len(words))] != list(words):
            return False
        self.at += len(words)
        return True

    def take_one(self, words: Collection[str]) -> str | None:
        """Read the next word if it is one of these; returns it."""
        if self.done or self.text() not in words:
            return None
        self.at += 1
        return self.tokens[self.at - 1].text

    def skip(self, words: Collection[str]) -> None:
        """Read as many of these words as come."""
        while self.take_one(words) is not None:
            pass

    def phrase(self, phrases: Mapping[tuple[str, ...], T]) -> T | None:
        """Read the longest of some phrases that comes next; returns what it means."""
        for size in range(6, 0, -1):
            words = tuple(self.text(ahead) for ahead in range(size))
            if words in phrases:
                self.at += size
                return phrases[words]
        return None

    def phrase_ahead(self, phrases: Mapping[tuple[str, ...], T]) -> bool:
        """Tell whether one of some phrases comes next, or behind one word."""
        starts = {words[0] for words in phrases}
        return self.text() in starts or self.text(1) in starts

    def raw(self, start: int, end: int | None = None) -> str:
        """Return the words between two places as they were written."""
        return " ".join(token.raw for token in self.tokens[start : self.at if end is None else end])


def linked(cursor: Cursor) -> bool:
    """Read a word that only ties what is said to what follows: `live` of `who live in`, but not `out of work in`."""
    if cursor.text() not in LINKING or cursor.text(1) not in LINKED or cursor.text(-1) in _UNTIED:
        return False
    if cursor.kind(2) in ("number", "date") or cursor.text(2) in MONTHS:
        return False
    cursor.at += 1
    return True


_UNTIED = LINKED | {"of", "out", "no"}


def mention(cursor: Cursor, articles: Collection[str] = _PLAIN_ARTICLES) -> Mention | None:
    """Read a mention of a column or a table, with its owner; None, and nothing read, if none comes."""
    start = cursor.at
    cursor.skip(articles)
    first = cursor.at
    found = _dotted(cursor) or _owned(cursor) or _plain(cursor)
    if found is None:
        cursor.at = start
        return None
    return replace(_with_owner_behind(cursor, found), text=cursor.raw(first, max(cursor.at, first + 1)))


def table_mention(cursor: Cursor) -> Mention | None:
    """Read a mention of a table; None, and nothing read, if none comes."""
    start = cursor.at
    cursor.skip(_PLAIN_ARTICLES)
    end, found = cursor.names.find("tables", cursor.tokens, cursor.at)
    if not found:
        cursor.at = start
        return None
    text = cursor.raw(cursor.at, end)
    cursor.at = end
    return Mention(text, tables=found)


def column_mention(cursor: Cursor) -> Mention | None:
    """Read a mention of a column; None, and nothing read, if none comes."""
    start = cursor.at
    found = mention(cursor)
    if found is None or not found.columns:
        cursor.at = start
        return None
    return found


def _dotted(cursor: Cursor) -> Mention | None:
    if cursor.kind() != "dotted":
        return None
    table, _, name = cursor.text().rpartition(".")
    found = [
        each
        for candidates in cursor.names.columns.values()
        for each in candidates
        if each.column and each.column.name.lower() == name and _is_called(each, table)
    ]
    if not found:
        return None
    cursor.at += 1
    unique = {each.key: each for each in found}
    return Mention("", tuple(replace(each, tier=0) for each in unique.values()))


def _is_called(candidate: Candidate, name: str) -> bool:
    return name in (candidate.relation.name.lower(), candidate.relation.table.lower())


def _owned(cursor: Cursor) -> Mention | None:
    """Read `customer's name`, `customer name`."""
    end, tables = cursor.names.find("tables", cursor.tokens, cursor.at)
    if not tables:
        return None
    possessive = end < len(cursor.tokens) and cursor.tokens[end].kind == "owned"
    at = end + 1 if possessive else end
    behind, columns = cursor.names.find("columns", cursor.tokens, at)
    columns = _of(columns, tables)
    plain, own = cursor.names.find("columns", cursor.tokens, cursor.at)
    if not columns or (plain >= behind and not possessive):
        return None
    cursor.at = behind
    return Mention("", _beside(columns, () if possessive else _of(own, tables)), owners=tables)


def _beside(columns: tuple[Candidate, ...], own: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Return columns of a table, and those that are called as it is: a `flight number` may be in `flight` too."""
    tier = min(each.tier for each in columns)
    named = {each.key for each in columns}
    more = (replace(each, tier=tier) for each in own if each.key not in named and each.tier <= 1)
    return columns if tier <= 1 else (*columns, *more)


def _plain(cursor: Cursor) -> Mention | None:
    table_end, tables = cursor.names.find("tables", cursor.tokens, cursor.at)
    column_end, columns = cursor.names.find("columns", cursor.tokens, cursor.at)
    end = max(table_end, column_end)
    if not tables and not columns:
        return None
    owners: tuple[Candidate, ...] = ()
    if column_end > table_end and (exact := tuple(each for each in tables if each.tier == 0)) and _of(columns, exact):
        owners, columns = exact, _of(columns, exact)
    cursor.at = end
    return Mention("", columns if column_end == end else (), tables if table_end == end else (), owners)


def _with_owner_behind(cursor: Cursor, found: Mention) -> Mention:
    """Read `of the customer` behind a column that customers have."""
    nearest = min((each.tier for each in found.columns), default=9)
    is_table = any(each.tier < nearest for each in found.tables)
    if cursor.text() != "of" or not found.columns or found.owners or is_table:
        return found
    start = cursor.at
    cursor.skip(ARTICLES)
    end, tables = cursor.names.find("tables", cursor.tokens, cursor.at)
    columns = _of(found.columns, tables)
    if not columns:
        cursor.at = start
        return found
    cursor.at = end
    return replace(found, columns=columns, tables=(), owners=tables)


def _of(columns: tuple[Candidate, ...], tables: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    owners = {each.relation.id for each in tables}
    return tuple(each for each in columns if each.relation.id in owners)
