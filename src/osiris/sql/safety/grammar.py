"""Grammars that read and write SQL unchanged: sqlglot's, reduced.

sqlglot knows many functions and translates them between dialects. Here nothing may be translated: `time_bucket(i, t,
'x')` would lose the quotes of its last argument, `jaro_winkler_similarity` would gain an `upper`. So every ordinary
call stays an anonymous one, with its name and arguments unchanged, and only the few functions with special syntax
(`CAST(x AS t)`, `EXTRACT(y FROM d)`) are known. The allow-list then needs one lookup.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from sqlglot import Token, TokenError, TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generator import Generator
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parser import Parser as BaseParser
from sqlglot.parsers.duckdb import DuckDBParser

from osiris.sql.scope import nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlglot.dialects.dialect import DialectType

_SYNTAX = frozenset({"CAST", "TRY_CAST", "EXTRACT", "OVERLAY", "TRIM", "POSITION", "SUBSTRING"})
_PREFIX = frozenset({"ANY", "CASE", "MAP", "@"})
_JSON_KEYS = frozenset({TokenType.STRING, TokenType.NUMBER})
_NO_CONDITION = frozenset({"CROSS", "ARRAY"})
_RUN_ON = re.compile(r"([0-9][0-9._]*[eE][0-9_]+)([+-])(.+)")
_NO_BREAK = re.compile(r"[^\r\n]")
_INTERVAL = re.compile(
    r"\s*(-?[0-9]+)\s*((?:year|month|week|day|hour|minute|second|millisecond|microsecond)s?)\s*", re.IGNORECASE
)
_NUMBER = re.compile(r"\s*[-+]?[0-9]+(\.[0-9]+)?\s*")
_UNWRAPPED = (exp.Alias, exp.Paren, exp.Select, exp.Anonymous)


def arrow(node: type[exp.Binary]) -> Callable[[BaseParser, exp.Expr, exp.Expr], exp.Expr]:
    """Return a parser of an operator between two operands, without JSON paths."""
    return lambda parser, this, path: parser.expression(node(this=this, expression=path))


def infix(symbol: str) -> Callable[[Generator, exp.Binary], str]:
    """Return a writer of an infix operator."""
    return lambda generator, node: f"{generator.sql(node, 'this')} {symbol} {generator.sql(node, 'expression')}"


def named_value(_: Generator, node: exp.Placeholder) -> str:
    """Write a named value unchanged."""
    return f"${node.name}" if node.this else "?"


def not_inside(generator: Generator, node: exp.Not) -> str:
    """Write NOT where it was: before what it negates, or inside, as in `a NOT IN (1)` and `a !~ 'x'`."""
    text = generator.sql(node, "this")
    if not node.meta.get("inside"):
        return f"NOT {text}"
    left = generator.sql(node.this, "this")
    operator = text[len(left) :].lstrip()
    return f"{left} !{operator}" if operator.startswith("~") else f"{left} NOT {operator}"


def _arrow_sql(symbol: str) -> Callable[[Generator, exp.Binary], str]:
    """Return a writer of `->` in parentheses, because engines disagree on its precedence."""

    def write(generator: Generator, node: exp.Binary) -> str:
        text = f"{generator.sql(node, 'this')} {symbol} {generator.sql(node, 'expression')}"
        return text if isinstance(node.parent, _UNWRAPPED) else f"({text})"

    return write


def apart(token: Token) -> Iterator[Token]:
    """Yield the tokens of a number: `1e3-1` was read as a single one, which a cast or a power would bind as a whole."""
    match = _RUN_ON.fullmatch(token.text) if token.token_type == TokenType.NUMBER else None
    if not match:
        yield token
        return
    begin, column = token.start, token.col - len(token.text)
    kinds = (TokenType.NUMBER, TokenType.DASH if match[2] == "-" else TokenType.PLUS, TokenType.NUMBER)
    for kind, text in zip(kinds, match.groups(), strict=True):
        column += len(text)
        part = Token(kind, text, token.line, column, begin, begin + len(text) - 1)
        yield from apart(part)
        begin += len(text)
    part.comments = token.comments


_COMMENT = ("--", "/*", "#")


def tokens_of(sql: str, tokenize: Callable[[str], list[Token]]) -> list[Token]:
    """Return the tokens of a text, with numbers separated, and two-word keywords joined even across a comment.

    `ORDER /* by day */ BY` is one token for the parser, which allows only spaces inside: comments become spaces.
    """
    tokens = tokenize(sql)
    spaced = _spaced(sql, tokens) if any(mark in sql for mark in _COMMENT) else sql
    again = tokens if spaced == sql else tokenize(spaced)
    for number, word in pairwise(again):
        if number.token_type == TokenType.NUMBER and word.start == number.end + 1 and word.text[:1].isidentifier():
            raise RunTogether(f"'{word.text}' is joined to a number", word.start)
    return [part for token in again for part in apart(token)]


def _spaced(sql: str, tokens: list[Token]) -> str:
    """Return a text with comments between tokens replaced by spaces."""
    spaced, end = "", 0
    for token in tokens:
        gap = sql[end : token.start]
        spaced += _NO_BREAK.sub(" ", gap) if gap.lstrip().startswith(_COMMENT) else gap
        spaced += sql[token.start : token.end + 1]
        end = token.end + 1
    return spaced + sql[end:]


class Plus(exp.Unary):
    """`+ x`, whose type may differ from that of `x`, and whose column has another name."""


def parse_plus(parser: BaseParser) -> exp.Expr:
    """Parse the operand of a unary plus."""
    return parser.expression(Plus(this=parser._parse_unary()))


def parse_exists(parser: BaseParser) -> exp.Expr:
    """Parse the query of EXISTS, in any form."""
    name = parser._tokens[parser._index - 2]
    query = parser._parse_set_operations(parser._parse_select(nested=True, parse_subquery_alias=False))
    if query is None or name.token_type == TokenType.IDENTIFIER:
        parser.raise_error("no query behind EXISTS")
    return parser.expression(exp.Exists(this=query))


def _paren_sql(generator: Generator, node: exp.Paren) -> str:
    """Write short parentheses on one line."""
    text = generator.sql(node, "this")
    return Generator.paren_sql(generator, node) if "\n" in text else f"({text})"


AS_WRITTEN: dict[type[exp.Expr], Callable[..., str]] = {
    exp.Extract: Generator.extract_sql,
    exp.Paren: _paren_sql,
    Plus: lambda generator, node: f"+ {generator.sql(node, 'this')}",  # two without a space are another operator
}
"""Written unchanged by every grammar here, where sqlglot's dialects differ."""


class RunTogether(TokenError):
    """A number and what follows it without a space: engines split them differently.

    `start` is its offset in characters.
    """

    def __init__(self, problem: str, start: int) -> None:
        super().__init__(problem)
        self.start = start


class Careful(BaseParser):
    """Common to every grammar here: text that the parser accepts and the server would not is rejected."""

    def _parse_join(
        self,
        skip_join_token: bool = False,
        parse_bracket: bool = False,
        alias_tokens: Collection[TokenType] | None = None,
    ) -> exp.Join | None:
        comma = self._match(TokenType.COMMA, advance=False)
        join = super()._parse_join(skip_join_token, parse_bracket, alias_tokens)
        if join and not comma and join.args.get("kind") not in _NO_CONDITION:
            join.meta["conditioned"] = True
        return join

    def _negate_range(self, this: exp.Expr | None = None) -> exp.Expr | None:
        """Record where NOT was in `a NOT IN (1)`: before `a` it binds less tightly."""
        negated = super()._negate_range(this)
        if isinstance(negated, exp.Not):
            negated.meta["inside"] = True
        return negated

    def _parse_ordered(self, parse_method: Callable[[], exp.Expr | None] | None = None) -> exp.Ordered | None:
        """Parse the bare word ALL as all columns: `"all"` and `t.all` are columns of that name."""
        term = parse_method() if parse_method else self._parse_disjunction()
        ordered = super()._parse_ordered(lambda: term)
        is_bare = isinstance(term, exp.Column) and len(term.parts) == 1 and not term.this.args.get("quoted")
        if ordered and isinstance(ordered.this, exp.Var) and not is_bare:
            ordered.set("this", term)
        return ordered

    def _parse_type(self, parse_interval: bool = True, fallback_to_identifier: bool = False) -> exp.Expr | None:
        """Parse `DATE '2024-01-31'::TIMESTAMP` from the left: the date comes before the cast."""
        index = self._index
        is_type = self._match_set(self.TYPE_TOKENS, advance=False)
        if is_type and not self._match(TokenType.INTERVAL, advance=False):
            kind = self._try_parse(lambda: self._parse_types(check_func=True, allow_identifiers=False))
            if isinstance(kind, exp.DataType) and self._match_set(self.STRING_PARSERS, advance=False):
                return self._parse_column_ops(self.expression(exp.Cast(this=self._parse_primary(), to=kind)))
            self._retreat(index)
        return super()._parse_type(parse_interval, fallback_to_identifier)

    def parse(self, raw_tokens: list[Token], sql: str) -> list[exp.Expr | None]:
        """Remove the parentheses that the parser adds around comparisons: engines differ in precedence.

        `a NOT IN (1) = b` gets some, where NOT is written before `a`.
        """
        trees = super().parse(raw_tokens, sql)
        for tree in filter(None, trees):
            if any(isinstance(node, (exp.Not, exp.Paren)) for node in nodes_of(tree)):
                self._unwrap(tree)
        return trees

    def _unwrap(self, tree: exp.Expr) -> None:
        for paren in list(tree.find_all(exp.Paren)):
            if not paren.meta.get("written"):
                self._take_away(paren)
        for negated in list(tree.find_all(exp.Not)):
            around = negated.parent
            is_operand = isinstance(around, (exp.Predicate, exp.Binary)) and not isinstance(around, exp.Connector)
            if is_operand and bool(negated.meta.get("inside")):
                negated.replace(exp.Paren(this=negated.copy()))

    def _take_away(self, paren: exp.Paren) -> None:
        if isinstance(paren.this, exp.Predicate):
            paren.replace(paren.this)
        elif isinstance(paren.this, exp.Not) and isinstance(paren.parent, (exp.Between, exp.In, exp.Like)):
            self.raise_error("a comparison of a comparison")

    def _parse_paren(self) -> exp.Expr | None:
        paren = super()._parse_paren()
        if isinstance(paren, exp.Paren):
            paren.meta["written"] = True
        return paren

    def _parse_cte(self) -> exp.CTE | exp.FunctionSpecification | None:
        cte = super()._parse_cte()
        if self._match(TokenType.WITH, advance=False) or self._match_pair(TokenType.COMMA, TokenType.WITH, False):
            self.raise_error("a second WITH")
        return cte

    def _parse_table_parts(
        self, schema: bool = False, is_db_reference: bool = False, wildcard: bool = False, fast: bool = False
    ) -> exp.Table | exp.Dot | None:
        table = super()._parse_table_parts(schema, is_db_reference, wildcard, fast)
        if self._match(TokenType.STAR, advance=False):
            self.raise_error("a star behind a table")
        return table


class DuckDBText(DuckDB):
    """DuckDB's grammar, unchanged text."""

    def tokenize(self, sql: str, dialect: DialectType = None) -> list[Token]:
        """Return the tokens of a text, with numbers separated."""
        return tokens_of(sql, lambda text: list(DuckDB.tokenize(self, text, dialect)))

    class Parser(Careful, DuckDBParser):
        """Knows only functions with special syntax, and drops no token.

        Text that the parser accepts and DuckDB would not is rejected, since its meaning would change.
        """

        TYPE_CONVERTERS: ClassVar = {k: v for k, v in DuckDBParser.TYPE_CONVERTERS.items() if k != exp.DType.TEXT}
        ID_VAR_TOKENS: ClassVar = DuckDBParser.ID_VAR_TOKENS | {TokenType.DROP, TokenType.INSTALL}
        TABLE_ALIAS_TOKENS: ClassVar = DuckDBParser.TABLE_ALIAS_TOKENS - {TokenType.ANY}

        FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
        FUNC_TOKENS: ClassVar = DuckDBParser.FUNC_TOKENS | {TokenType.APPLY}
        FUNCTION_PARSERS: ClassVar = {
            **{k: v for k, v in DuckDBParser.FUNCTION_PARSERS.items() if k in _SYNTAX},
            "EXISTS": parse_exists,
        }
        UNARY_PARSERS: ClassVar = {
            **DuckDBParser.UNARY_PARSERS,
            TokenType.PLUS: parse_plus,
            TokenType.TILDE: lambda self: self.expression(exp.BitwiseNot(this=self._parse_term())),
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {
            **{k: v for k, v in DuckDBParser.NO_PAREN_FUNCTION_PARSERS.items() if k in _PREFIX},
            "@": lambda self: self.expression(exp.Abs(this=self._parse_term())),
        }
        NO_PAREN_FUNCTIONS: ClassVar = {
            k: v for k, v in DuckDBParser.NO_PAREN_FUNCTIONS.items() if k != TokenType.CURRENT_DATETIME
        }
        JSON_OPERATORS: ClassVar = {
            TokenType.ARROW: arrow(exp.JSONExtract),
            TokenType.DARROW: arrow(exp.JSONExtractScalar),
        }

        def _parse_in(self, this: exp.Expr | None, alias: bool = False) -> exp.In:
            """Parse `x IN [1, NULL]` unchanged: a list finds no NULL, where `(1, NULL)` gives NULL."""
            if self._match(TokenType.L_BRACKET, advance=False):
                return self.expression(exp.In(this=this, field=self._parse_column()))
            return super()._parse_in(this, alias=alias)

        def _parse_interval(
            self, require_interval: bool = True, parse_function_unit: bool = True
        ) -> exp.Add | exp.Interval | None:
            """Reject `INTERVAL 1 DAY + 1`, which would add an interval."""
            interval = super()._parse_interval(require_interval, parse_function_unit)
            if isinstance(interval, exp.Add):
                self.raise_error("a number behind an interval")
            return interval

        def _interval(self, number: str, unit: str) -> exp.Interval:
            return self.expression(exp.Interval(this=exp.Literal.string(number), unit=exp.var(unit.upper())))

        def _parse_type(self, parse_interval: bool = True, fallback_to_identifier: bool = False) -> exp.Expr | None:
            if parse_interval and self._match_pair(TokenType.INTERVAL, TokenType.STRING):
                return self._parse_column_ops(self._parse_interval_text())
            return super()._parse_type(parse_interval, fallback_to_identifier)

        def _parse_interval_text(self) -> exp.Expr:
            """Parse `INTERVAL '1 day 02:03:04'` as a cast of text, and `INTERVAL '1 day'` as one unit."""
            text = self._prev.text
            one = _INTERVAL.fullmatch(text)
            if _NUMBER.fullmatch(text) and self._match(TokenType.VAR):
                return self._interval(text, self._prev.text)
            if self._match_texts(self.dialect.VALID_INTERVAL_UNITS):
                self.raise_error("a unit behind an interval that has its own")
            if one:
                return self._interval(one[1], one[2])
            return self.expression(exp.Cast(this=exp.Literal.string(text), to=exp.DType.INTERVAL.into_expr()))

        def _parse_lambda(self, alias: bool = False) -> exp.Expr | None:
            """Parse `f(x->'key')` as a JSON path: a lambda with a constant body has no use."""
            key = self._tokens[self._index + 2 : self._index + 3]
            if self._next and self._next.token_type == TokenType.ARROW and key and key[0].token_type in _JSON_KEYS:
                return self._parse_limit(self._parse_order(self._parse_select_or_expression(alias=alias)))
            return super()._parse_lambda(alias=alias)

    class Generator(DuckDBGenerator):
        """Writes back what the parser left unchanged."""

        MULTI_ARG_DISTINCT = True
        TRANSFORMS: ClassVar = {
            **DuckDBGenerator.TRANSFORMS,
            exp.JSONExtract: _arrow_sql("->"),
            exp.JSONExtractScalar: _arrow_sql("->>"),
            exp.IgnoreNulls: Generator.ignorenulls_sql,
            exp.RespectNulls: Generator.respectnulls_sql,
            exp.WithinGroup: Generator.withingroup_sql,
            **AS_WRITTEN,
        }
