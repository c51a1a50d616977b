"""Why a query does not fit its inputs: the word that is wrong, and the one that was probably meant.

The engine tells a type of error and mostly a place. What stands there, and what could stand there, the tree tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from osiris.errors import diagnostic, did_you_mean, nearest
from osiris.model import undivided
from osiris.sql.binding.duck_types import PLAIN
from osiris.sql.binding.name_resolution import Sight, sources_of
from osiris.sql.binding.problems import details, error_offset, runtime_problem
from osiris.sql.safety import tree as trees
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.text import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlglot import Dialect as Grammar

    from osiris.errors import Diagnostic, Location
    from osiris.model import JsonValue, Schema
    from osiris.sql.binding.name_resolution import Columns, Named

_LENGTH = 300
_COMPARES = re.compile(r"[=<>]|\bDISTINCT FROM\b|\bUSING\b")
_TYPES = {**{name.upper(): kind for name, kind in PLAIN.items()}, "DECIMAL": None, "JSON": None, "TEXT": "utf8"}
"""Types by the names that a hint may give, with ours."""


class _Fault(NamedTuple):
    """What is wrong, and at which part of the tree. What is None, only the engine can tell."""

    node: exp.Expr | None
    problem: str | None = None
    hint: str | None = None


def misfit(error: Exception, text: str, inputs: Mapping[str, Schema], shift: int) -> Diagnostic:
    """Return what to say about an error in binding a canonical text; `shift` bytes stood before it."""
    with trees.deep_recursion():
        tree, _ = _parsed(text)
        fault = _fault(details(error), tree, error_offset(error, text, shift), _sight(inputs))
        if fault is None:
            return runtime_problem(error, text, "SQL009", shift)
        offset = trees.beginning_of(fault.node, text) if fault.node else error_offset(error, text, shift)
    problem = fault.problem or runtime_problem(error, text, "SQL009").message
    hint = _undivided(inputs) or fault.hint
    return diagnostic("SQL009", at=place(text, offset), problem=problem, hint=hint)


def _undivided(inputs: Mapping[str, Schema]) -> str | None:
    """Return a hint at an input that looks as if its file had been read with the wrong delimiter."""
    alone = ((name, schema[0].name) for name, schema in inputs.items() if len(schema) == 1)
    hints = (f"'{name}': {hint}" for name, column in alone if (hint := undivided(column)))
    return next(hints, None)


def output_place(text: str, index: int, inputs: Mapping[str, Schema]) -> Location:
    """Return the place of a column of the result in a canonical text: of its name, or of what gives it."""
    with trees.deep_recursion():
        tree, _ = _parsed(text)
        columns = _sight(inputs).outputs(tree)
        node = columns[index].node if index < len(columns) else None
        named = node.args["alias"] if isinstance(node, exp.Alias) else node
        return place(text, trees.offset_of(named) if named else None)


def mixed_comparison(text: str, inputs: Mapping[str, Schema]) -> Diagnostic | None:
    """Return why a canonical text compares a column of text with one of another type, None if it does not.

    The engine would cast the text, of which the first that is no such value ends the run, and '007' would equal 7.
    """
    if not _COMPARES.search(text):
        return None
    with trees.deep_recursion():
        tree, _ = _parsed(text)
        sight = _sight(inputs)
        for node, first, other in (*_compared(tree, sight), *_joined(tree, sight)):
            if first and other and first != other and "utf8" in (first, other) and "json" not in (first, other):
                problem = f"this compares {first} with {other}"
                hint = "CAST one of them to the type that is meant"
                return diagnostic("SQL009", at=place(text, trees.offset_of(node)), problem=problem, hint=hint)
    return None


def constant_casts(text: str) -> dict[str, Location]:
    """Return the casts of string literals in a canonical text, each as SQL, with the place of the first of its like."""
    with trees.deep_recursion():
        tree, grammar = _parsed(text)
        found: dict[str, Location] = {}
        for cast in tree.find_all(exp.Cast):
            if type(cast) is exp.Cast and isinstance(cast.this, exp.Literal) and cast.this.is_string:
                found.setdefault(trees.write(cast, grammar), place(text, trees.offset_of(cast.this)))
        return found


def _compared(tree: exp.Expr, sight: Sight) -> Iterator[tuple[exp.Expr, str | None, str | None]]:
    for node in tree.find_all(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ):
        if isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column):
            yield node, sight.type_of(node.this), sight.type_of(node.expression)


def _joined(tree: exp.Expr, sight: Sight) -> Iterator[tuple[exp.Expr, str | None, str | None]]:
    """Yield the columns of USING, with their types on its two sides."""
    for join in tree.find_all(exp.Join):
        if isinstance(join.parent, exp.Select):
            *before, own = sources_of(join.parent)[: (join.index or 0) + 2]
            for name in join.args.get("using") or ():
                yield name, _type_in(name.name, before, sight), _type_in(name.name, [own], sight)


def _type_in(name: str, sources: Iterable[exp.Expr], sight: Sight) -> str | None:
    columns = (each for source in sources for each in sight.columns(source))
    return next((each.type for each in columns if each.name.lower() == name.lower()), None)


def _parsed(text: str) -> tuple[exp.Expr, type[Grammar]]:
    grammar = DIALECTS["duckdb"].load_grammar()
    return trees.parse(text, grammar)[0], grammar


def _sight(inputs: Mapping[str, Schema]) -> Sight:
    return Sight({name.lower(): schema for name, schema in inputs.items()})


def _fault(told: Mapping[str, JsonValue], tree: exp.Expr, offset: int | None, sight: Sight) -> _Fault | None:
    if offset is None:
        return next(_faults_without_a_place(tree, sight), None)
    if told.get("type") == "Type":
        return _Fault(None, f"there is no type '{told['name']}'", _meant(str(told["name"]).upper(), _TYPES))
    name = next((each for each in tree.find_all(exp.Identifier) if each.meta.get("start") == offset), None)
    column = name.parent if name else None
    if not isinstance(column, exp.Column):
        return None
    if told.get("error_subtype") == "COLUMN_NOT_FOUND":
        return _bare(column, sight)
    length = column.this.meta["end"] + 1 - offset  # of the name alone, not of an expression that begins with it
    is_name = column.table and str(told.get("location", "")).endswith(f",{length}]")
    return _qualified(column, sight) if is_name else None


def _qualified(column: exp.Column, sight: Sight) -> _Fault | None:
    """Return what is wrong with a column behind the name of a source, if it is its name."""
    sources, alias = sight.sources(column), column.table
    if alias.lower() not in sources:
        members = any(each.name.lower() == alias.lower() for columns in sources.values() for each in columns)
        problem = f"there is no table '{alias}' here"
        return None if members else _Fault(column, problem, did_you_mean(alias, sources))
    columns = sources[alias.lower()]
    if not columns or any(each.name.lower() == column.name.lower() for each in columns):
        return _Fault(column.this)
    return _no_column(column.this, alias, columns)


def _bare(column: exp.Column, sight: Sight) -> _Fault:
    found = [each for columns in sight.sources(column).values() for each in columns]
    return _no_column(column.this, None, (*sight.named_outputs(column), *found))


def _no_column(name: exp.Expr, source: str | None, columns: Iterable[Named]) -> _Fault:
    types = {each.name: each.type for each in reversed(tuple(columns)) if each.name}
    problem = f"there is no column '{name.name}'" + (f" in '{source}'" if source else "")
    listed = ", ".join(" ".join(filter(None, each)) for each in sorted(types.items()))
    hint = _meant(name.name, types) or (f"columns: {listed}"[:_LENGTH] if listed else None)
    return _Fault(name, problem, hint)


def _meant(name: str, types: Mapping[str, str | None]) -> str | None:
    near = nearest(name, [each for each in types if each != name])
    return f"did you mean '{near}'" + (f" ({types[near]})?" if types[near] else "?") if near else None


def _faults_without_a_place(tree: exp.Expr, sight: Sight) -> Iterator[_Fault]:
    """Yield what can be wrong of that which the engine has no place for: USING, set operations, lists of stars."""
    for join in tree.find_all(exp.Join):
        yield from _using(join, sight)
    for operation in tree.find_all(exp.SetOperation):
        first, other = (sight.outputs(each) for each in (operation.this, operation.expression))
        if len(first) != len(other) and not any(isinstance(each.node, exp.Star) for each in (*first, *other)):
            problem = f"this SELECT has {len(other)} columns, and the one before it {len(first)}"
            yield _Fault(operation.expression, problem)
    for star in tree.find_all(exp.Star):
        yield from _star(star, sight)


def _using(join: exp.Join, sight: Sight) -> Iterator[_Fault]:
    if not isinstance(join.parent, exp.Select):
        return
    *before, own = sources_of(join.parent)[: (join.index or 0) + 2]
    for name in join.args.get("using") or ():
        for sources in (before, [own]):
            columns = [each for source in sources for each in sight.columns(source)]
            if columns and name.name.lower() not in {each.name.lower() for each in columns}:
                alias = sources[0].alias_or_name if len(sources) == 1 else None
                yield _no_column(name, alias, columns)


def _star(star: exp.Star, sight: Sight) -> Iterator[_Fault]:
    columns: Columns = tuple(each for source in sight.sources(star).values() for each in source)
    replaced = [each.args["alias"] for each in star.args.get("replace") or ()]
    for name in (*(star.args.get("except_") or ()), *replaced):
        if columns and name.name.lower() not in {each.name.lower() for each in columns}:
            yield _no_column(name, None, columns)
