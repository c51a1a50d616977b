"""MySQL's and MariaDB's grammar: see `grammar` for what is kept unchanged, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.generators.mysql import MySQLGenerator
from sqlglot.parsers.mysql import MySQLParser

from osiris.sql.safety.grammar import (
    AS_WRITTEN,
    Careful,
    arrow,
    infix,
    named_value,
    not_inside,
    parse_exists,
    tokens_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlglot import Token
    from sqlglot.dialects.dialect import DialectType

_SYNTAX = frozenset(
    {"CAST", "CHAR", "CONVERT", "EXTRACT", "JSON_TABLE", "MATCH", "POSITION", "SUBSTRING", "TRIM", "VALUES"}
)
_CLOCKS = ("UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP")
_TEMPORAL = (TokenType.DATE, TokenType.TIME, TokenType.TIMESTAMP, TokenType.TIMESTAMPTZ)
_JOINED = ("kind", "method", "on", "side", "using")
_NAMED = (exp.Alias, exp.Boolean, exp.Column, exp.Null, exp.Star)
_REWRITTEN = (exp.Select, exp.If, exp.ILike, exp.JSONExtractScalar, exp.Max, exp.Min)


class Typed(exp.Expression):
    """A literal with its type, as in `TIMESTAMP '2024-01-31 10:00:00'`: a cast to it may round."""

    arg_types: ClassVar = {"this": True, "kind": True}


class Separated(exp.Expression):
    """The last argument of GROUP_CONCAT with its separator."""

    arg_types: ClassVar = {"this": True, "separator": True}


def _named(token: Token) -> Token:
    """Return a word that starts with a dollar as the name of a value."""
    if token.token_type == TokenType.VAR and token.text.startswith("$"):
        token.token_type = TokenType.PARAMETER
    return token


class MySQLText(MySQL):
    """MySQL's and MariaDB's grammar, unchanged text."""

    NORMALIZE_NOT_NULL = False

    def tokenize(self, sql: str, dialect: DialectType = None) -> list[Token]:
        """Return the tokens of a text, with numbers separated."""
        return tokens_of(sql, lambda text: [_named(token) for token in MySQL.tokenize(self, text, dialect)])

    class Parser(Careful, MySQLParser):
        """Knows only functions with special syntax, and drops no token."""

        FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
        FUNCTION_PARSERS: ClassVar = {
            **{k: v for k, v in MySQLParser.FUNCTION_PARSERS.items() if k in _SYNTAX},
            "EXISTS": parse_exists,
            "GROUP_CONCAT": lambda self: self._parse_gathered(),
        }
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {
            **{k: v for k, v in MySQLParser.NO_PAREN_FUNCTION_PARSERS.items() if k in {"ANY", "CASE"}},
            **{name: lambda self: self._parse_clock() for name in _CLOCKS},
        }
        LAMBDAS: ClassVar[dict[TokenType, Callable[..., exp.Expr]]] = {}
        PRIMARY_PARSERS: ClassVar = {
            **MySQLParser.PRIMARY_PARSERS,
            # `0x0A` is a number in numeric context, `x'0A'` always text on MariaDB
            TokenType.HEX_STRING: lambda self, token: self.expression(
                exp.HexString(this=token.text, is_integer=self.sql[token.start : token.start + 1] == "0"), token
            ),
        }
        PLACEHOLDER_PARSERS: ClassVar = {
            TokenType.PLACEHOLDER: lambda self: self.expression(exp.Placeholder()),
            TokenType.PARAMETER: lambda self: (
                self.expression(exp.Placeholder(this=self._prev.text[1:]))
                if self._prev.text.startswith("$")
                else self._parse_parameter()
            ),
        }
        COLUMN_OPERATORS: ClassVar = {
            **MySQLParser.COLUMN_OPERATORS,
            TokenType.ARROW: arrow(exp.JSONExtract),
            TokenType.DARROW: arrow(exp.JSONExtractScalar),
        }

        def _parse_join(
            self,
            skip_join_token: bool = False,
            parse_bracket: bool = False,
            alias_tokens: Collection[TokenType] | None = None,
        ) -> exp.Join | None:
            """Parse `a JOIN b` as a cross join: a comma would bind less tightly."""
            join = super()._parse_join(skip_join_token, parse_bracket, alias_tokens)
            if join and join.meta.get("conditioned") and not any(join.args.get(key) for key in _JOINED):
                join.set("kind", "CROSS")
            return join

        def _parse_primary(self) -> exp.Expr | None:
            """Parse `'a' 'b'` as one string."""
            primary = super()._parse_primary()
            if not isinstance(primary, exp.Concat):
                return primary
            return self.expression(exp.Literal.string("".join(each.name for each in primary.expressions)))

        def _parse_projections(self) -> tuple[list[exp.Expr], list[exp.Expr] | None]:
            return self._parse_csv(self._parse_projection), None

        def _parse_projection(self) -> exp.Expr | None:
            """Record the text of an output: MySQL uses it as column name."""
            start = self._curr
            output = self._parse_expression()
            if output and not isinstance(output, _NAMED):
                output.meta["written"] = self._find_sql(start, self._prev)
            return output

        def _parse_clock(self) -> exp.Expr:
            """Parse `UTC_DATE`, whose parentheses are optional, as a call."""
            token, is_called = self._prev, self._match(TokenType.L_PAREN, advance=False)
            arguments = self._parse_wrapped_csv(self._parse_lambda, optional=True) if is_called else []
            return self.expression(exp.Anonymous(this=token.text.upper(), expressions=arguments), token)

        def _parse_gathered(self) -> exp.Expr:
            """Parse the arguments of GROUP_CONCAT(…), an ordinary call except for SEPARATOR."""
            arguments = self._parse_csv(self._parse_lambda)
            if arguments and self._match(TokenType.SEPARATOR):
                last = Separated(this=arguments[-1], separator=self._parse_string())
                arguments[-1] = self.expression(last)
            return self.expression(exp.Anonymous(this="GROUP_CONCAT", expressions=arguments))

        def _parse_type(self, parse_interval: bool = True, fallback_to_identifier: bool = False) -> exp.Expr | None:
            """Parse `DATE '2024-01-31'` with its type."""
            if self._match_set(_TEMPORAL, advance=False) and self._next.token_type == TokenType.STRING:
                kind = self._curr.text.upper()
                self._advance()
                return self._parse_column_ops(self.expression(Typed(this=self._parse_primary(), kind=kind)))
            return super()._parse_type(parse_interval, fallback_to_identifier)

        def _parse_interval(self, *_: bool, **__: bool) -> exp.Add | exp.Interval | None:
            """Parse `INTERVAL 3 DAY` with its number unchanged: text would add digits to the result."""
            index = self._index
            if not self._match(TokenType.INTERVAL):
                return None
            amount = self._parse_bitwise()
            if amount and self._curr and self._curr.text.upper() in _UNITS:
                unit = exp.var(self._curr.text.upper())
                self._advance()
                return self.expression(exp.Interval(this=amount, unit=unit))
            self._retreat(index)
            return None

    class Generator(MySQLGenerator):
        """Writes back what the parser left unchanged."""

        MULTI_ARG_DISTINCT = True
        RESERVED_KEYWORDS: ClassVar = MySQLGenerator.RESERVED_KEYWORDS - {"dual"}
        TRANSFORMS: ClassVar = {
            **{k: v for k, v in MySQLGenerator.TRANSFORMS.items() if k not in _REWRITTEN},
            exp.JSONExtract: infix("->"),
            exp.JSONExtractScalar: infix("->>"),
            exp.HexString: lambda _, node: f"0x{node.this}" if node.args.get("is_integer") else f"x'{node.this}'",
            exp.Not: not_inside,
            exp.Placeholder: named_value,
            exp.RegexpLike: infix("REGEXP"),
            **AS_WRITTEN,
            Separated: lambda self, node: f"{self.sql(node, 'this')} SEPARATOR {self.sql(node, 'separator')}",
            Typed: lambda self, node: f"{node.args['kind']} {self.sql(node, 'this')}",
        }

        def literal_sql(self, expression: exp.Literal) -> str:
            """Write a string with only quotes and backslashes escaped, safe in every SQL mode."""
            text = str(expression.this or "")
            if not expression.is_string:
                return text
            escaped = text.replace("\\", "\\\\").replace("'", "''")
            return f"'{self._replace_line_breaks(escaped)}'"

        def interval_sql(self, expression: exp.Interval) -> str:
            """Write an interval with its number unchanged."""
            return f"INTERVAL {self.sql(expression, 'this')} {self.sql(expression, 'unit')}"


_PLAIN = ("MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
_DOUBLE = ("SECOND_MICROSECOND", "MINUTE_MICROSECOND", "MINUTE_SECOND", "HOUR_MICROSECOND", "HOUR_SECOND")
_UNITS = frozenset(
    (*_PLAIN, *_DOUBLE, "HOUR_MINUTE", "DAY_MICROSECOND", "DAY_SECOND", "DAY_MINUTE", "DAY_HOUR", "YEAR_MONTH")
)
