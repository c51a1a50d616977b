"""What is computed and in which order: aggregates, groups, sorting, the first of so many."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules.cursor import ARTICLES, column_mention, mention, table_mention
from osiris.chat.rules.lexicon import full_words
from osiris.chat.rules.numerals import number_text
from osiris.chat.rules.query import Aggregate, Expression, Mention, Product
from osiris.chat.rules.tokens import split_name
from osiris.chat.rules.vocabulary import COUNTS, DISTINCT, FUNCTION_OF

if TYPE_CHECKING:
    from osiris.chat.rules.cursor import Cursor

_OPERATORS = {
    ("*",): "*",
    ("\u00d7",): "*",
    ("x",): "*",
    ("times",): "*",
    ("multiplied", "by"): "*",
    ("-",): "-",
    ("minus",): "-",
    ("+",): "+",
    ("/",): "/",
    ("divided", "by"): "/",
}


def expression(cursor: Cursor) -> Expression | None:
    """Read a column, or columns with operators between them; None, and nothing read, if none comes."""
    found: Expression | None = column_mention(cursor)
    while found is not None:
        start = cursor.at
        operator = cursor.phrase(_OPERATORS)
        right = column_mention(cursor) if operator else None
        if right is None:
            cursor.at = start
            break
        found = Product(found, str(operator), right)
    return found


def aggregate(cursor: Cursor) -> Aggregate | None:
    """Read an aggregate; None, and nothing read, if none comes."""
    start = cursor.at
    for read in (_count, _table_count, _function):
        if found := read(cursor):
            return replace(found, digits=_digits(cursor))
        cursor.at = start
    return None


def _count(cursor: Cursor) -> Aggregate | None:
    """Read `number of orders`, `how many different customers`, `count distinct carriers`."""
    cursor.skip(ARTICLES)
    cursor.take("total") or cursor.take("overall")
    if cursor.take("how", "many") or (cursor.take("no", ".") and cursor.text() == "of"):
        word = "many"
        cursor.take("of")
    else:
        word = cursor.take_one(COUNTS) or ""
    sized = cursor.take("of") or cursor.text() == "("
    if not word or (not sized and word not in ("count", "counts", "counting", "many")):
        return None
    cursor.skip((*ARTICLES, "("))
    distinct = cursor.take_one(DISTINCT) is not None
    if cursor.take_one(("rows", "records", "entries", "lines")):
        cursor.skip((")",))
        return Aggregate("count")
    of = mention(cursor)
    if of is None or (word in ("amount", "quantity") and not (of.tables and not _is_column_of(word, of))):
        return None
    if cursor.take_one(("count", "counts")):
        return None
    cursor.skip((")",))
    return Aggregate("count", of, distinct=distinct)


def _is_column_of(word: str, of: Mention) -> bool:
    """Tell whether a table that is spoken of has a column of a name: the amount of fines is not how many there are."""
    parts = {part for each in of.tables for column in each.relation.columns or () for part in split_name(column.name)}
    return word in {part for name in parts for part in full_words(name)}


def counting(cursor: Cursor) -> bool:
    """Read `number of` or `how many`; tells whether it came."""
    start = cursor.at
    cursor.skip(ARTICLES)
    cursor.take("total")
    if cursor.take("how", "many") or (cursor.take_one(("number", "count")) and (cursor.take("of") or _is_told(cursor))):
        cursor.skip(ARTICLES)
        return True
    cursor.at = start
    return False


def _is_told(cursor: Cursor) -> bool:
    """Tell whether `count` was an imperative, as in `count active patients`."""
    return cursor.text(-1) == "count" and cursor.text(-2) in ("", ".", "please", "me", "and", "to")


def _table_count(cursor: Cursor) -> Aggregate | None:
    """Read `order count`."""
    cursor.skip(ARTICLES)
    distinct = cursor.take_one(DISTINCT) is not None
    _, plain = cursor.names.find("columns", cursor.tokens, cursor.at)
    of = mention(cursor) if distinct else table_mention(cursor)
    if of is None or any(each.tier == 0 and "count" in (each.column.name if each.column else "") for each in plain):
        return None
    return Aggregate("count", of, distinct=distinct) if cursor.take_one(("count", "counts")) else None


def _function(cursor: Cursor) -> Aggregate | None:
    cursor.skip(ARTICLES)
    cursor.take("most")
    start = cursor.at
    plain, plain_end = _named_so(cursor)
    word = cursor.take_one(FUNCTION_OF)
    if word is None:
        return None
    function = FUNCTION_OF[word]
    if word == "sum":
        cursor.take("up")
    found = _plain_owned(cursor, plain) if function == "sum" and cursor.text() == "of" else None
    summed = word.startswith("sum")
    if found is None and not (plain and plain_end > start + 1 and _is_far(replace(cursor))):
        found = _computed(cursor, function, plain, summed=summed)
    if found is None and plain and function == "sum":
        cursor.at = plain_end
        found = _plain_owned(cursor, plain) or Aggregate(function, None, plain=plain)
    return found


def _is_far(probe: Cursor) -> bool:
    """Tell whether only a part of a column's name comes next."""
    of = expression(probe)
    return isinstance(of, Mention) and min((each.tier for each in of.columns), default=0) > 1


def _computed(cursor: Cursor, function: str, plain: Mention | None, *, summed: bool) -> Aggregate | None:
    """Read what a function is of; the total of a table's rows is their count."""
    cursor.skip(("value", "values") if cursor.text(1) == "of" else ())
    cursor.skip(("of", "the", "(", "all", "their", "its"))
    of = expression(cursor)
    if isinstance(of, Mention) and _is_table(of):
        return Aggregate("count", replace(of, columns=()), plain=plain, summed=summed) if function == "sum" else None
    if of is not None:
        cursor.skip((")",))
        return Aggregate(function, of, plain=plain)
    table = table_mention(cursor) if function == "sum" else None
    return Aggregate("count", table, plain=plain, summed=summed) if table else None


def _plain_owned(cursor: Cursor, plain: Mention | None) -> Aggregate | None:
    """Read `of all orders` behind `total`, where orders have a column that is called total."""
    start = cursor.at
    table = table_mention(cursor) if plain and cursor.take("of") else None
    owners = {each.relation.id for each in table.tables} if table else set()
    columns = tuple(each for each in plain.columns if each.relation.id in owners) if plain else ()
    if plain and table and columns:
        return Aggregate("sum", None, plain=replace(plain, columns=columns, owners=table.tables))
    cursor.at = start
    return None


def _is_table(of: Mention) -> bool:
    nearest = min((each.tier for each in of.columns), default=9)
    return bool(of.tables) and min(each.tier for each in of.tables) < nearest


def _named_so(cursor: Cursor) -> tuple[Mention | None, int]:
    """Return the column that begins with a function's word, as total_amount does, and its end; nothing is read."""
    end, found = cursor.names.find("columns", cursor.tokens, cursor.at)
    near = tuple(each for each in found if each.tier <= 1)
    return (Mention(cursor.raw(cursor.at, end), near) if near else None), end


def _digits(cursor: Cursor) -> int | None:
    start = cursor.at
    cursor.skip((",",))
    if cursor.take_one(("rounded", "round")) and cursor.take("to"):
        number = whole_number(cursor)
        if number is not None and number <= 10:
            cursor.skip(("decimal", "decimals", "digits", "places", "digit"))
            return number
    cursor.at = start
    return None


def rounding(cursor: Cursor) -> int | None:
    """Read `rounded to 2 decimals` by itself; None, and nothing read, if it does not come."""
    return _digits(cursor)


def whole_number(cursor: Cursor) -> int | None:
    """Read a whole number, in digits or in words (`five thousand`); None, and nothing read, if none comes."""
    start = cursor.at
    text = number_text(cursor)
    if text is None or not text.isdigit():
        cursor.at = start
        return None
    return int(text)


def functions(cursor: Cursor) -> list[str]:
    """Read `min, max and average` before what it is said of; nothing is read unless there are several."""
    start, found = cursor.at, list[str]()
    cursor.skip(ARTICLES)
    while word := cursor.take_one(FUNCTION_OF):
        found.append(FUNCTION_OF[word])
        end = cursor.at
        cursor.skip((",", "and", "&", "the", "/", "+"))
        if cursor.at == end:
            break
    if len(found) < 2:
        cursor.at = start
        return []
    cursor.skip(("of", "the"))
    return found
