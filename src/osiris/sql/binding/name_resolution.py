"""What can be named at a place of a query: the sources in sight there, with their columns, and outputs before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.model import Schema


class Named(NamedTuple):
    """A column of a query or a source, with its type where it is only handed on, and where it is written."""

    name: str
    type: str | None = None
    node: exp.Expr | None = None


Columns = tuple[Named, ...]


@dataclass(slots=True)
class Sight:
    """Looks up names in one tree; `inputs` has the columns of the relations by folded name."""

    inputs: Mapping[str, Schema]
    _known: dict[int, Columns] = field(default_factory=dict)

    def sources(self, node: exp.Expr) -> dict[str, Columns]:
        """Return the columns of the sources that a node can see, by folded alias, those of its own query first."""
        found: dict[str, Columns] = {}
        for select in _selects_around(node):
            for source in sources_of(select):
                found.setdefault(source.alias_or_name.lower(), self.columns(source))
        return found

    def named_outputs(self, node: exp.Expr) -> Columns:
        """Return the outputs that the query around a node gives names to."""
        select = next(_selects_around(node), None)
        return tuple(
            Named(each.alias, node=each)
            for each in (select.expressions if select else ())
            if isinstance(each, exp.Alias)
        )

    def type_of(self, column: exp.Column) -> str | None:
        """Return the type of a column that some query only hands on; None if it is computed, or not known."""
        sources = self.sources(column)
        named = [sources.get(column.table.lower(), ())] if column.table else sources.values()
        found = (each for columns in named for each in columns if each.name.lower() == column.name.lower())
        return next((each.type for each in found), None)

    def columns(self, source: exp.Expr) -> Columns:
        """Return the columns of a source in FROM; none if they are not known."""
        alias = source.args.get("alias")
        names = [each.name for each in (alias.args.get("columns") or () if alias else ())]
        cte = _cte(source) if isinstance(source, exp.Table) else None
        if cte is not None:
            names = names or [each.name for each in cte.args["alias"].args.get("columns") or ()]
            columns = self.outputs(cte.this)
        elif isinstance(source, exp.Table):
            columns = tuple(Named(f.name, f.type) for f in self.inputs.get(source.name.lower(), ()))
        else:
            columns = self.outputs(source)
        renamed = (column._replace(name=name) for column, name in zip(columns, names, strict=False))
        return (*renamed, *columns[len(names) :])

    def outputs(self, query: exp.Expr) -> Columns:
        """Return the columns that a query gives, a nameless one as ''; none if they are not known."""
        if id(query) not in self._known:
            self._known[id(query)] = ()  # a recursive CTE comes back to itself
            self._known[id(query)] = tuple(self._outputs(query))
        return self._known[id(query)]

    def _outputs(self, query: exp.Expr) -> Iterator[Named]:
        if isinstance(query, (exp.SetOperation, exp.Subquery)):
            yield from self.outputs(query.this)
        elif isinstance(query, exp.Select):
            for each in query.expressions:
                yield from self._output(each, query)

    def _output(self, node: exp.Expr, select: exp.Select) -> Iterator[Named]:
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            gone = {each.name.lower() for each in star.args.get("except_") or ()}
            for source in sources_of(select):
                if star is node or source.alias_or_name.lower() == node.text("table").lower():
                    columns = self.columns(source)
                    yield from (each._replace(node=node) for each in columns if each.name.lower() not in gone)
            return
        inner = node.this if isinstance(node, exp.Alias) else node
        name = node.output_name
        yield Named(name, self._type(inner, select) if isinstance(inner, exp.Column) else None, node)

    def _type(self, column: exp.Column, select: exp.Select) -> str | None:
        for source in sources_of(select):
            if column.table.lower() in ("", source.alias_or_name.lower()):
                for each in self.columns(source):
                    if each.name.lower() == column.name.lower():
                        return each.type
        return None


def sources_of(select: exp.Expr) -> list[exp.Expr]:
    """Return the tables and subqueries that a SELECT reads, in order."""
    first = select.args.get("from_")
    return [each.this for each in (*([first] if first else ()), *(select.args.get("joins") or ()))]


def _selects_around(node: exp.Expr) -> Iterator[exp.Select]:
    """Yield the SELECTs whose names a node can use, inner ones first; what WITH names sees nothing around it."""
    here: exp.Expr | None = node
    while here is not None and not isinstance(here, exp.CTE):
        if isinstance(here, exp.Select):
            yield here
        inside, here = here, here.parent
        if isinstance(here, exp.SetOperation) and inside.arg_key == "order":
            yield from here.this.find_all(exp.Select)
            return


def _cte(table: exp.Table) -> exp.CTE | None:
    """Return what WITH means by the name of a table: the nearest before it."""
    here: exp.Expr = table
    while here.parent is not None:
        inside = here
        here = here.parent
        ctes: list[exp.CTE] = []
        if isinstance(here, exp.With):
            ctes = here.expressions[: inside.index]
        elif here.args.get("with_") and inside.arg_key != "with_":
            ctes = here.args["with_"].expressions
        for cte in reversed(ctes):
            if cte.alias.lower() == table.name.lower():
                return cte
    return None
