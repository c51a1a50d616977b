"""What is left out: rows of which something is said, or columns of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.comparing import opposite
from osiris.chat.rules.conditions import condition
from osiris.chat.rules.cursor import column_mention
from osiris.chat.rules.query import Aggregate, Condition, Flag, Known, Mention, Missing, Not, Test, Value, Within
from osiris.chat.rules.vocabulary import word_set

if TYPE_CHECKING:
    from osiris.chat.rules.cursor import Cursor

_WORDS = """
except excluding drop remove omit exclude skip dropping removing omitting minus without leaving leave ignoring
"""
_LEAVING: dict[tuple[str, ...], bool] = {
    ("but", "not"): True,
    ("except", "for"): True,
    ("apart", "from"): True,
    ("aside", "from"): True,
    ("not", "including"): True,
    ("not", "counting"): True,
    **{(word,): word != "without" for word in _WORDS.split()},
}
"""What leaves something out, and whether it can mean nothing else."""

_COLUMN = ("column", "columns", "field", "fields")
_POINTED = word_set("""
    out for the any all those ones rows records entries are is were was where with from in of
    """)
_SIGNS = frozenset(("<", ">", "<=", ">=", "between"))
_STARTS = word_set("only where with in since before after that who whose placed from between during on")
"""What begins another condition rather than one more thing to leave out."""


def excluded(cursor: Cursor) -> bool:
    """Read `excluding status open`, `except the paid ones`, `without the columns a and b`, `drop a`."""
    start = cursor.at
    for read in (_rows, _columns):
        sure = cursor.phrase(_LEAVING)
        if sure is not None and read(cursor, start, sure=sure):
            return True
        cursor.at = start
    return False


def goes_on(cursor: Cursor, start: int) -> bool:
    """Tell whether a condition follows one that leaves rows out, so that it may be meant to leave out more."""
    end = cursor.left_end
    if not 0 <= end <= start <= end + 2:
        return False
    between = {each.text for each in cursor.tokens[end : start + 1]}
    return bool(between & {"and", "or", "nor"}) or ("," in between and cursor.tokens[start].text not in _STARTS)


def _rows(cursor: Cursor, start: int, *, sure: bool) -> bool:
    """Read rows that are left out, by what is said of them; after `or` it is not clear what they are left out of."""
    if cursor.tokens[start - 1 : start] and cursor.tokens[start - 1].text == "or":
        return False
    if cursor.text(1 if cursor.text() == "the" else 0) in _COLUMN:
        return False
    if cursor.tokens[start].text == "minus" and cursor.table_end != start:
        return False  # a column may be subtracted
    here = cursor.at
    cursor.skip(_POINTED if sure else ("any", "those", "the", "rows", "with"))
    if _is_of_rows(cursor) and cursor.text(1) in _POINTED | _STARTS:
        cursor.at += 1
        cursor.skip(_POINTED)
    before = cursor.at
    found = condition(cursor) if cursor.text() not in ("who", "that", "which") else None
    if found is None and cursor.text(-1) in ("in", "from", "of"):
        before = cursor.at = cursor.at - 1  # `those in 2023`
        found = condition(cursor)
        cursor.at += 0 if found else 1
    if found is None and cursor.at > here:
        found = _named_so(cursor)
    out = _left_out(found) if found and cursor.at > before else None
    if out is None or not (sure or isinstance(found, Known | Flag)):
        return False
    cursor.skip(("ones", "rows", "records"))
    cursor.said.conditions.append(out)
    cursor.said.joints.append("and")
    cursor.left_end = cursor.at
    return True


def _is_of_rows(cursor: Cursor) -> bool:
    """Tell whether the table comes whose rows are listed: `orders excluding orders before 2024`."""
    _, tables = cursor.names.find("tables", cursor.tokens, cursor.at)
    listed = {each.relation.id for of in cursor.said.tables for each in of.tables}
    return bool(listed & {each.relation.id for each in tables})


def _named_so(cursor: Cursor) -> Condition | None:
    """Read a value of which no column is known: `those from Germany`."""
    token = cursor.tokens[cursor.at] if not cursor.done else None
    if token is None or not (token.kind == "string" or (token.kind == "word" and token.raw[:1].isupper())):
        return None
    cursor.at += 1
    return Test(None, "=", (Value(token.text if token.kind == "string" else token.raw, "text"),), "value", token.raw)


def _left_out(found: Condition) -> Condition | None:
    """Return the condition on the rows that stay; None where it is not sure which these are."""
    match found:
        case Test() if isinstance(found.left, Aggregate) or found.words == "group":
            return None
        case Test() if found.operator in _SIGNS:
            return Not(found)
        case Within():
            return Not(found)
        case Test() if found.operator in ("=", "contains", "starts", "ends"):
            return opposite(found)
        case Known(negated=False) | Flag(negated=False) | Missing(unsure=False):
            return opposite(found)
        case _:
            return None


def _columns(cursor: Cursor, start: int, *, sure: bool) -> bool:
    """Read columns that are left out of the result."""
    cursor.skip(("out", "for", "the", *_COLUMN))
    sure = sure or cursor.text(-1) in _COLUMN
    found: list[Mention] = []
    while (of := column_mention(cursor)) is not None:
        found.append(of)
        before = cursor.at
        cursor.skip(("and", ",", "or", *_COLUMN))
        if cursor.at == before:
            break
    named = set(_COLUMN) & {each.text for each in cursor.tokens[start : cursor.at]}
    if not named and all(each.column and each.column.type == "bool" for of in found for each in of.columns):
        return False  # `but not suspended` is about rows
    if not found or (not sure and len(found) == 1 and cursor.text(-1) not in _COLUMN):
        return False
    cursor.said.excluded.extend(found)
    return True
