"""Queries in FROM and WITH, taken out of a statement: each becomes a stage, whose rows later stages read by its name.

The rows are the same, as a query in FROM does not depend on those beside it: its names are proved to be its own
(`read_flat`), and where a name could also be one of the query around it, DuckDB takes its own.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.flat import DIALECT, NotCut
from osiris.sql.scope import TableNames, folded_name, from_items

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile("(?!osiris_)[a-z_][a-z0-9_]*")
"""What a stage is called by; relations that the engine needs for itself begin with `osiris_`."""
_OF_CTES = frozenset({"alias", "materialized", "this"})
_OF_QUERIES = frozenset({"alias", "this"})


def take_out(tree: exp.Expr, names: Mapping[str, str]) -> dict[str, exp.Expr]:
    """Take the queries that a statement reads in FROM out of it; return them by new names, each before its readers.

    `names` are those of the inputs. The tree is changed: it reads the queries by their names, as they do among
    themselves. Raises `NotCut` for WITH RECURSIVE and for what else is more than a query with a name.
    """
    return _Queries(tree, names).taken


class _Queries:
    def __init__(self, tree: exp.Expr, names: Mapping[str, str]) -> None:
        self.taken: dict[str, exp.Expr] = {}
        self._ctes = TableNames(tree, DIALECT)
        self._by_cte: dict[int, str] = {}
        inputs = {folded_name(each, DIALECT) for each in tree.find_all(exp.Table) if not self._ctes.cte(each)}
        self._inputs = {*inputs, *(names[each].lower() for each in inputs if each in names)}
        self._visit(tree)

    def _visit(self, query: exp.Expr) -> None:
        with_ = query.args.get("with_")
        if with_ and with_.args.get("recursive"):
            raise NotCut(with_, "WITH RECURSIVE is not known to be the same in parts.")
        for item in from_items(query):
            cte = self._ctes.cte(item)
            if cte:
                self._read(item, self._of_cte(cte), item.args.get("alias") or exp.TableAlias(this=item.this))
            elif isinstance(item, exp.Subquery) and isinstance(item.this, exp.Query):
                _check(item, _OF_QUERIES)
                if not item.alias:  # the name of the stage could be taken for that of a column
                    raise NotCut(item, "A query in FROM has no name.")
                table = exp.Table(this=exp.Identifier())
                item.replace(table)
                self._read(table, self._take(item.this, item.alias), item.args.get("alias"))
        query.set("with_", None)

    def _of_cte(self, cte: exp.CTE) -> str:
        if id(cte) not in self._by_cte:
            _check(cte, _OF_CTES)
            if cte.args["alias"].args.get("columns"):
                reason = "A relation with new names for its columns is not known to be the same in parts."
                raise NotCut(cte.args["alias"].this, reason)
            self._by_cte[id(cte)] = self._take(cte.this, cte.alias)
        return self._by_cte[id(cte)]

    def _take(self, query: exp.Expr, alias: str) -> str:
        self._visit(query)
        plain = alias.lower() if _NAME.fullmatch(alias.lower()) else "query"
        tries = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
        name = next(each for each in tries if each not in self._inputs and each not in self.taken)
        self.taken[name] = query.pop()
        return name

    def _read(self, table: exp.Expr, name: str, alias: exp.Expr | None) -> None:
        """Have a table in FROM read a stage, under the name that it had in its query."""
        table.set("this", exp.Identifier(this=name, quoted=True))
        is_same = alias and alias.name.lower() == name and not alias.args.get("columns")
        table.set("alias", None if is_same else alias)


def _check(node: exp.Expr, parts: frozenset[str]) -> None:
    extra = sorted(key for key, value in node.args.items() if value and key not in parts)
    if extra:
        raise NotCut(node, f"{extra[0].strip('_').upper()} of a query in FROM is not known to be the same in parts.")
