"""Checks of a SQL text before parsing: size, depth, and deceptive characters.

Engines and parsers disagree on executed comments, invisible characters and unusual spaces. No query needs them, so they
never reach the parser.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from sqlglot import Dialect as Grammar
from sqlglot import TokenType
from sqlglot.errors import TokenError

from osiris.errors import diagnostic
from osiris.sql.safety.grammar import RunTogether
from osiris.sql.safety.text import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlglot import Token

    from osiris.errors import Diagnostic

MAX_BYTES = 64 * 1024
MAX_TOKENS = 20_000
MAX_DEPTH = 100

_SPACES = " \t\n\r"
_HIDING = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "a lone surrogate",
    "Zl": "a Unicode line separator",
    "Zp": "a Unicode paragraph separator",
    "Zs": "a space that is not an ordinary one",
}
_JOINERS = "\u200c\u200d"
"""Parts of emoji and some scripts, so strings may contain them."""

_EXECUTED = re.compile(r"/\*(!|M!|\+)", re.IGNORECASE)
_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}
_EXPONENT = re.compile(r"[eE][0-9_]*")
_FREE = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.HEREDOC_STRING}
_LIST_STARTS = {
    TokenType.COMMA,
    TokenType.DISTINCT,
    TokenType.L_BRACE,
    TokenType.L_BRACKET,
    TokenType.L_PAREN,
    TokenType.SELECT,
}
_CHAINED = {
    TokenType.L_BRACKET,
    TokenType.DOT,
    TokenType.DCOLON,
    TokenType.ARROW,
    TokenType.DARROW,
    TokenType.DSTAR,
    TokenType.CARET,
}
_BREAKS = {
    TokenType.COMMA,
    TokenType.SELECT,
    TokenType.FROM,
    TokenType.WHERE,
    TokenType.ON,
    TokenType.AND,
    TokenType.OR,
    TokenType.WHEN,
    TokenType.THEN,
    TokenType.ELSE,
    TokenType.EQ,
    TokenType.PLUS,
    TokenType.DASH,
    TokenType.STAR,
    TokenType.DPIPE,
}
_PREFIXES = {TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE, TokenType.PARAMETER}


def check_text(sql: str) -> Iterator[Diagnostic]:
    """Yield the problems of the characters; the first of each kind."""
    size = len(sql.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        yield diagnostic("SQL008", limit=MAX_BYTES, unit="bytes")
    reported = set()
    for offset, char in enumerate(sql):
        kind = None if char in _SPACES or char in _JOINERS else unicodedata.category(char)
        if kind in _HIDING and kind not in reported:
            reported.add(kind)
            what = f"{_HIDING[kind]} (U+{ord(char):04X})"
            hint = f"remove it; inside a string write chr({ord(char)})"
            yield diagnostic("SQL007", at=place(sql, offset), what=what, hint=hint)


def split(sql: str, grammar: type[Grammar]) -> tuple[list[Token], list[Diagnostic]]:
    """Return the tokens of a text, and its problems; no tokens if it cannot be tokenized."""
    problems = list(check_text(sql))
    if problems:
        return [], problems
    try:
        tokens = list(grammar().tokenize(sql))
    except RunTogether as error:
        return [], [diagnostic("SQL001", at=place(sql, error.start), problem=str(error))]
    except TokenError:
        return [], [diagnostic("SQL001", problem="a string, a quoted name or a comment is not closed")]
    return tokens, list(_check_tokens(sql, tokens))


def check_split(sql: str, tokens: list[Token]) -> list[Diagnostic]:
    """Return the problems of a text and its tokens."""
    return list(check_text(sql)) or list(_check_tokens(sql, tokens))


def comments(sql: str, tokens: list[Token]) -> Iterator[tuple[int, str]]:
    """Yield offset and text of the gaps between tokens: white space and comments."""
    end = 0
    for token in tokens:
        if token.start > end:
            yield end, sql[end : token.start]
        end = token.end + 1
    yield end, sql[end:]


def _check_tokens(sql: str, tokens: list[Token]) -> Iterator[Diagnostic]:
    if len(tokens) > MAX_TOKENS:
        yield diagnostic("SQL008", limit=MAX_TOKENS, unit="words")
    executed = _executed_comment(sql, tokens)
    if executed is not None:
        what = "a comment that a server may execute (/*!, /*M!, /*+)"
        yield diagnostic("SQL007", at=place(sql, executed), what=what, hint="remove it")
    yield from _firsts(sql, tokens)
    is_ascii = sql.isascii()
    for token in tokens:
        if token.token_type == TokenType.PIPE_GT:
            yield diagnostic("SQL004", at=place(sql, token.start), what="'|>'", hint="write WHERE, GROUP BY and so on")
        elif not is_ascii and _folds_to_ascii(token, sql):
            what = f"'{token.text[:20]}', which reads as an ordinary word,"
            yield diagnostic("SQL007", at=place(sql, token.start), what=what, hint="type it again")
    if not is_ascii:
        yield from _stray_joiners(sql, tokens)
    deepest = _too_deep(tokens) if len(tokens) > MAX_DEPTH else None
    if deepest is not None:
        yield diagnostic("SQL008", at=place(sql, deepest.start), limit=MAX_DEPTH, unit="levels of nesting")


def _firsts(sql: str, tokens: list[Token]) -> Iterator[Diagnostic]:
    """Yield the first of each kind of token that is not what it looks like in its context."""
    threes = [*zip(tokens, tokens[1:], [*tokens[2:], None], strict=False)]
    for mark, is_wrong, which, code, params in _FIRSTS:
        token = next((three[which] for three in threes if is_wrong(*three)), None) if mark in sql else None
        if token is not None:
            texts: dict[str, Any] = {key: value.format(token.text) for key, value in params.items()}
            yield diagnostic(code, at=place(sql, token.start), **texts)


def _executed_comment(sql: str, tokens: list[Token]) -> int | None:
    hints = [token.start for token in tokens if token.token_type == TokenType.HINT]
    gaps = comments(sql, tokens) if _EXECUTED.search(sql) else ()
    offsets = [start + m.start() for start, gap in gaps for m in _EXECUTED.finditer(gap)]
    return min(hints + offsets, default=None)


def _stray_joiners(sql: str, tokens: list[Token]) -> Iterator[Diagnostic]:
    strings = [token for token in tokens if token.token_type in (TokenType.STRING, TokenType.HEREDOC_STRING)]
    for offset in (i for i, char in enumerate(sql) if char in _JOINERS):
        if not any(token.start <= offset <= token.end for token in strings):
            what = f"an invisible character (U+{ord(sql[offset]):04X})"
            yield diagnostic("SQL007", at=place(sql, offset), what=what, hint="remove it")
            return


def _folds_to_ascii(token: Token, sql: str) -> bool:
    """Tell whether a word was taken for a keyword although it has non-ASCII letters, as a long s."""
    word = sql[token.start : token.end + 1]
    return token.token_type not in _FREE and not word.isascii() and word[0] not in "'\"$eE"


def _too_deep(tokens: list[Token]) -> Token | None:
    """Return the first token that is nested too deeply: in brackets or CASE, after prefixes, in a chain."""
    depth = run = chain = 0
    for token in tokens:
        kind = token.token_type
        run = run + 1 if kind in _PREFIXES else 0
        chain = 0 if kind in _BREAKS else chain + (kind in _CHAINED)
        depth += (kind in _OPEN) - (kind in _CLOSE)
        if max(depth, run, chain) > MAX_DEPTH:
            return token
    return None


_FIRSTS: tuple[tuple[str, Callable[[Token, Token, Token | None], bool], int, str, dict[str, str]], ...] = (
    (  # the parser drops the star
        "*",
        lambda before, star, name: (
            star.token_type == TokenType.STAR
            and before.token_type in _LIST_STARTS
            and (name is not None and name.text.upper() == "COLUMNS")
        ),
        1,
        "SQL004",
        {"what": "*COLUMNS(…) inside a list", "hint": "write the columns out"},
    ),
    (  # one name, which would be read as three tokens
        "&",
        lambda word, mark, name: (
            word.text in "uU"
            and mark.text == "&"
            and (name is not None and name.token_type == TokenType.IDENTIFIER)
            and (word.end + 1 == mark.start and mark.end + 1 == name.start)
        ),
        0,
        "SQL004",
        {"what": 'a name in escapes (U&"…")', "hint": "write it plainly"},
    ),
    (  # an exponent separated from its number, as in `2e3-4e2`, would become a name
        "",
        lambda number, word, _: (
            number.token_type == TokenType.NUMBER
            and number.end + 1 == word.start
            and word.token_type == TokenType.VAR
            and _EXPONENT.fullmatch(word.text) is not None
        ),
        1,
        "SQL001",
        {"problem": "'{0}' is run together with a number before it", "hint": "put spaces around '+' and '-'"},
    ),
    (  # the parser ignores the second
        ",",
        lambda first, second, _: first.token_type == second.token_type == TokenType.COMMA,
        1,
        "SQL001",
        {"problem": "there is nothing between two commas", "hint": "remove one of them"},
    ),
)
"""Tests on three tokens, the index of the rejected one, and the diagnostic; only the first match is reported.

Texts without the mark contain no match.
"""
