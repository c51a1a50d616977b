"""How SQL is read and written: sqlglot's grammars, cut down to what passes a text through unchanged.

sqlglot knows many functions and translates them between dialects. Here nothing may be translated: `time_bucket(i, t,
'x')` would lose the quotes of its last argument, `jaro_winkler_similarity` would gain an `upper`. So every call that is
written like a call stays an anonymous one, with its name and its arguments as they were, and only the few functions
with a syntax of their own (`CAST(x AS t)`, `EXTRACT(y FROM d)`) are known. The list of functions then needs one lookup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generator import Generator
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.duckdb import DuckDBParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.parser import Parser

_SYNTAX = frozenset({"CAST", "TRY_CAST", "EXTRACT", "TRIM", "POSITION", "SUBSTRING"})
_PREFIX = frozenset({"ANY", "CASE", "MAP", "@"})
_UNWRAPPED = (exp.Alias, exp.Paren, exp.Select, exp.Anonymous)


def _arrow(node: type[exp.Binary]) -> Callable[[Parser, exp.Expr, exp.Expr], exp.Expr]:
    return lambda parser, this, path: parser.expression(node(this=this, expression=path))


def _arrow_sql(symbol: str) -> Callable[[Generator, exp.Binary], str]:
    """Return a writer of `->` in parentheses, because engines disagree on how tightly it binds."""

    def write(generator: Generator, node: exp.Binary) -> str:
        text = f"{generator.sql(node, 'this')} {symbol} {generator.sql(node, 'expression')}"
        return text if isinstance(node.parent, _UNWRAPPED) else f"({text})"

    return write


class DuckDBText(DuckDB):
    """DuckDB as it is written."""

    class Parser(DuckDBParser):
        """Knows no function but those with a syntax of their own."""

        FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
        FUNCTION_PARSERS: ClassVar = {k: v for k, v in DuckDBParser.FUNCTION_PARSERS.items() if k in _SYNTAX}
        NO_PAREN_FUNCTION_PARSERS: ClassVar = {
            k: v for k, v in DuckDBParser.NO_PAREN_FUNCTION_PARSERS.items() if k in _PREFIX
        }
        NO_PAREN_FUNCTIONS: ClassVar = {
            k: v for k, v in DuckDBParser.NO_PAREN_FUNCTIONS.items() if k != TokenType.CURRENT_DATETIME
        }
        JSON_OPERATORS: ClassVar = {
            TokenType.ARROW: _arrow(exp.JSONExtract),
            TokenType.DARROW: _arrow(exp.JSONExtractScalar),
        }

    class Generator(DuckDBGenerator):
        """Writes back what the parser left alone."""

        MULTI_ARG_DISTINCT = True
        TRANSFORMS: ClassVar = {
            **DuckDBGenerator.TRANSFORMS,
            exp.JSONExtract: _arrow_sql("->"),
            exp.JSONExtractScalar: _arrow_sql("->>"),
        }

        def withingroup_sql(self, expression: exp.WithinGroup) -> str:
            """Write WITHIN GROUP as WITHIN GROUP."""
            return Generator.withingroup_sql(self, expression)

        def extract_sql(self, expression: exp.Extract) -> str:
            """Write EXTRACT as EXTRACT."""
            return Generator.extract_sql(self, expression)

        def paren_sql(self, expression: exp.Paren) -> str:
            """Keep short parentheses on their line."""
            text = self.sql(expression, "this")
            return super().paren_sql(expression) if "\n" in text else f"({text})"

        def ignorenulls_sql(self, expression: exp.IgnoreNulls) -> str:
            """Write IGNORE NULLS where it stood, inside the call."""
            return Generator.ignorenulls_sql(self, expression)

        def respectnulls_sql(self, expression: exp.RespectNulls) -> str:
            """Write RESPECT NULLS where it stood, inside the call."""
            return Generator.respectnulls_sql(self, expression)
