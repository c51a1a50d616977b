"""PostgreSQL's grammar: see `grammar` for what is kept unchanged, and why."""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003  a class reads it
from typing import TYPE_CHECKING, ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.generator import Generator
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.parsers.postgres import PostgresParser

from osiris.sql.safety.grammar import (
    AS_WRITTEN,
    Careful,
    RunTogether,
    arrow,
    infix,
    named_value,
    not_inside,
    parse_exists,
    parse_plus,
    tokens_of,
)

if TYPE_CHECKING:
    from sqlglot import Token
    from sqlglot.dialects.dialect import DialectType

_SYNTAX = frozenset({"CAST", "EXTRACT", "OVERLAY", "POSITION", "SUBSTRING", "TRIM"})
_ESCAPE = re.compile(r"\\\\|\\([0-9A-Fa-f]{4})|\\\+([0-9A-Fa-f]{6})")
_BAD_ESCAPE = re.compile(
    r"(?<!\\)(?:\\\\)*\\(?!\\|[0-9A-Fa-f]{4}|\+(?:0[0-9A-Fa-f]|10)[0-9A-Fa-f]{4})|\\[dD][89A-Fa-f]"
)
_BITS = (TokenType.BIT_STRING, TokenType.HEX_STRING)
_FIELDS = frozenset({"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"})


_TEXTS: dict[TokenType, Callable[..., exp.Expr]] = {
    kind: lambda self, token: self.expression(exp.Literal.string(token.text), token)
    for kind in (TokenType.BYTE_STRING, TokenType.HEREDOC_STRING)
}
"""Strings in other quotes."""


class PostgresText(Postgres):
    """PostgreSQL's grammar, unchanged text."""

    INDEX_OFFSET = 0

    def tokenize(self, sql: str, dialect: DialectType = None) -> list[Token]:
        """Return the tokens of a text, with numbers separated."""
        tokens = tokens_of(sql, lambda text: list(Postgres.tokenize(self, text, dialect)))
        for token in tokens:
            if token.token_type in _BITS and sql[token.start : token.start + 1] == "0":
                raise RunTogether(f"'{sql[token.start : token.end + 1]}' is a number to some servers only", token.start)
        return tokens

    class Parser(Careful, PostgresParser):
        """Knows only functions with special syntax, and drops no token."""

        ADJACENT_STRINGS_CANNOT_BE_CONNECTED = True
        FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
        FUNCTION_PARSERS: ClassVar = {
            **{k: v for k, v in PostgresParser.FUNCTION_PARSERS.items() if k in _SYNTAX},
            "EXISTS": parse_exists,
        }
        TYPE_LITERAL_PARSERS: ClassVar[dict[exp.DType, Callable[..., exp.Expr]]] = {}
        UNARY_PARSERS: ClassVar = {
            **PostgresParser.UNARY_PARSERS,
            TokenType.NOT: lambda self: self._parse_not(),
            TokenType.PLUS: parse_plus,
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {
            k: v for k, v in PostgresParser.NO_PAREN_FUNCTION_PARSERS.items() if k in {"ANY", "CASE", "VARIADIC"}
        }
        LAMBDAS: ClassVar = {k: v for k, v in PostgresParser.LAMBDAS.items() if k == TokenType.FARROW}
        STRING_PARSERS: ClassVar = {**PostgresParser.STRING_PARSERS, **_TEXTS}
        PRIMARY_PARSERS: ClassVar = {
            **PostgresParser.PRIMARY_PARSERS,
            **_TEXTS,
            TokenType.UNICODE_STRING: lambda self, token: self._parse_escaped(token),
        }
        PLACEHOLDER_PARSERS: ClassVar = {
            TokenType.PARAMETER: lambda self: self._parse_named_value(),
            TokenType.PLACEHOLDER: lambda self: self.expression(exp.Placeholder()),
        }
        JSON_OPERATORS: ClassVar = {
            TokenType.ARROW: arrow(exp.JSONExtract),
            TokenType.DARROW: arrow(exp.JSONExtractScalar),
            TokenType.HASH_ARROW: arrow(exp.JSONBExtract),
            TokenType.DHASH_ARROW: arrow(exp.JSONBExtractScalar),
            TokenType.PLACEHOLDER: arrow(exp.JSONBContains),
        }

        def _parse_not(self) -> exp.Expr:
            """Parse NOT; `!!` negates a text search query, and is no NOT."""
            if self._prev.text == "!":
                self.raise_error("'!' before a value", self._prev)
            return self.expression(exp.Not(this=self._parse_equality()))

        def _parse_escaped(self, token: Token) -> exp.Expr:
            """Parse `U&'\\0061'` as the string that it denotes."""
            if _BAD_ESCAPE.search(token.text) or self._match_text_seq("UESCAPE"):
                self.raise_error("an escape that is none")
            text = _ESCAPE.sub(
                lambda match: chr(int(match[1] or match[2], 16)) if match[0] != r"\\" else "\\", token.text
            )
            return self.expression(exp.Literal.string(text), token)

        def _parse_named_value(self) -> exp.Expr | None:
            if self._prev.text == "@":
                return self.expression(exp.Abs(this=self._parse_unary()))
            if self._match_set(self.ID_VAR_TOKENS):
                return self.expression(exp.Placeholder(this=self._prev.text))
            return None

        def _parse_interval(self, *_: bool, **__: bool) -> exp.Add | exp.Interval | None:
            """Parse `INTERVAL '1 day'` and `INTERVAL '1' DAY TO HOUR` with the text unchanged."""
            if not self._match_pair(TokenType.INTERVAL, TokenType.STRING):
                return None
            text = exp.Literal.string(self._prev.text)
            return self.expression(exp.Interval(this=text, unit=self._parse_fields()))

        def _parse_fields(self) -> exp.Expr | None:
            if not self._match_texts(_FIELDS):
                return None
            first = exp.var(self._prev.text.upper())
            if not self._match_text_seq("TO"):
                return first
            if not self._match_texts(_FIELDS):
                self.raise_error("no field behind TO")
            return self.expression(exp.IntervalSpan(this=first, expression=exp.var(self._prev.text.upper())))

    class Generator(PostgresGenerator):
        """Writes back what the parser left unchanged."""

        MULTI_ARG_DISTINCT = True
        TRANSFORMS: ClassVar = {
            **{k: v for k, v in PostgresGenerator.TRANSFORMS.items() if k not in (exp.Select, exp.Substring)},
            exp.JSONExtract: infix("->"),
            exp.JSONExtractScalar: infix("->>"),
            exp.JSONBExtract: infix("#>"),
            exp.JSONBExtractScalar: infix("#>>"),
            exp.JSONBContains: infix("?"),
            exp.Cbrt: lambda self, node: f"||/ {self.sql(node, 'this')}",
            exp.Not: not_inside,
            exp.Placeholder: named_value,
            exp.Pow: infix("^"),
            exp.Bracket: Generator.bracket_sql,
            exp.Unnest: Generator.unnest_sql,
            **AS_WRITTEN,
            exp.Abs: lambda self, node: f"@ {self.sql(node, 'this')}",
            exp.StartsWith: infix("^@"),
            exp.Sqrt: lambda self, node: f"|/ {self.sql(node, 'this')}",
        }

        def literal_sql(self, expression: exp.Literal) -> str:
            """Write a string with a backslash so that no server setting changes its meaning."""
            text = super().literal_sql(expression)
            return "E" + text.replace("\\", "\\\\") if expression.is_string and "\\" in text else text

        def interval_sql(self, expression: exp.Interval) -> str:
            """Write an interval with its text unchanged."""
            unit = self.sql(expression, "unit")
            return f"INTERVAL {self.sql(expression, 'this')}" + (f" {unit}" if unit else "")
