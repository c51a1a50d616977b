"""One step of a request as a SELECT in DuckDB's SQL, readable enough to be edited by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.chat.expressions import (
    DIGITS,
    Column,
    Misfit,
    are_comparable,
    computed,
    conditions,
    derived,
    each,
    find,
    grouped,
    measured,
    pivoted,
    unused,
)
from osiris.chat.request import Step
from osiris.chat.sql_text import quote
from osiris.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from osiris.chat.expressions import Scope
    from osiris.chat.request import Chosen, Computed, Group, Join, Measure, Parameter, Pick, Sort
    from osiris.model import Schema

    Bind = Callable[[str], Schema]

_WIDTH = 100
_NAME = r'(?:[A-Za-z_]\w*|"(?:[^"]|"")*")'
_REFERENCE = re.compile(rf"(?:{_NAME}\.)?{_NAME}")
_LONGEST_NAME = 200
_DERIVED = ("share of total", "ratio")


@dataclass(slots=True)
class _Select:
    """The clauses of one SELECT."""

    source: list[str]
    columns: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    qualify: str | None = None
    order: list[str] = field(default_factory=list)
    limit: int | None = None

    def text(self) -> str:
        lines = [_listed("SELECT", self.columns), *self.source]
        lines += [f"{'  AND' if number else 'WHERE'} {part}" for number, part in enumerate(self.where)]
        lines += [_listed("GROUP BY", self.group)] if self.group else []
        lines += [f"QUALIFY {self.qualify}"] if self.qualify else []
        lines += [_listed("ORDER BY", self.order)] if self.order else []
        lines += [f"LIMIT {self.limit}"] if self.limit is not None else []
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Bindings:
    """What a step can refer to, with the schema of each; `bind` returns the schema of a SELECT over it."""

    inputs: Mapping[str, Callable[[], Schema]]
    parameters: Mapping[str, Parameter]
    bind: Bind


def statement(step: Step, bindings: Bindings) -> str:
    """Return the SELECT of a step; raises `Misfit` or `Misfits` if it is invalid."""
    if step.sql is not None:
        return _plain_sql(step)
    if step.pick and step.is_grouped:
        raise Misfit("pick", "does not go with groups and measures", "make it a step of its own")
    scope, keys, source = joined(step, bindings)
    if not step.compute:
        return _top(step, scope, _without(scope, keys), source, bindings)
    scope = _with_computed(step.compute, scope, source, bindings)
    if not (step.is_grouped or step.filters or step.pick or step.columns):
        visible = _without(scope, keys)
        return _finish(_Select(source, _listing(step, visible)), step, list(visible.values()), scope)
    name = unused("computed", bindings.inputs)
    inner = _Select(source, _listing(step, scope))
    scope = {key: replace(column, sql=quote(column.result), made=None) for key, column in scope.items()}
    return _wrap(name, inner, _top(step, scope, _without(scope, keys), [f"FROM {quote(name)}"], bindings))


def _without(scope: Scope, keys: Collection[str]) -> Scope:
    return {name: column for name, column in scope.items() if name not in keys}


def _plain_sql(step: Step) -> str:
    if step != replace(Step(step.name), sql=step.sql, inputs=step.inputs, checks=step.checks):
        raise Misfit("sql", "takes nothing else beside it but 'inputs' and 'checks'")
    text = (step.sql or "").replace("\r\n", "\n").strip().removesuffix(";").rstrip()
    if not text:
        raise Misfit("sql", "is empty")
    return text


def _top(step: Step, scope: Scope, visible: Scope, source: list[str], bindings: Bindings) -> str:
    """Return the outer SELECT: filters and result, after joins and computed columns."""
    where = conditions(step.filters, scope, bindings.parameters)
    if step.is_grouped:
        return _grouped(step, scope, _Select(source, where=where), bindings)
    chosen = _chosen(step.columns, scope) if step.columns else list(visible.values())
    columns = list(map(_as_result, chosen)) if step.columns or step.joins else ["*"]
    qualify = _picked(step.pick, scope) if step.pick else None
    return _finish(_Select(source, columns, where, qualify=qualify), step, chosen, scope)


def joined(step: Step, bindings: Bindings) -> tuple[Scope, set[str], list[str]]:
    """Return the available columns, the keys of joined inputs, and FROM with its joins."""
    name, schema = _input(step.input, bindings)
    results = [column.name for column in schema]
    prefix = f"{quote(name)}." if step.joins else ""
    scope = {each.name: Column(prefix + quote(each.name), each.type, each.name) for each in schema}
    keys: set[str] = set()
    labels, source = [name], [f"FROM {quote(name)}"]

    def add(join: Join) -> None:
        name, schema = _input(join.input, bindings)
        label = unused(name, labels)
        right = {each.name: Column(f"{quote(label)}.{quote(each.name)}", each.type, each.name) for each in schema}
        matches = " AND ".join(_matches(join, scope, right))
        called = quote(name) if label == name else f"{quote(name)} AS {quote(label)}"
        source.append(f"{'LEFT JOIN' if join.unmatched == 'keep' else 'JOIN'} {called} ON {matches}")
        labels.append(label)
        taken = {each.lower() for each in scope}
        for name, column in right.items():
            is_namesake = name.lower() in taken
            key = f"{label}.{name}" if is_namesake else name
            if key in scope:
                raise Misfit(
                    "input", f"'{name}' of it would be '{key}', as another column is called", "rename that one"
                )
            result = unused(f"{label}_{name}" if is_namesake else name, results)
            results.append(result)
            scope[key] = replace(column, result=result)
            keys.update({key} if any(match.right in (name, f"{label}.{name}") for match in join.on) else ())

    each("joins", step.joins, add)
    return scope, keys, source


def _input(name: str | None, bindings: Bindings) -> tuple[str, Schema]:
    if name is None or name not in bindings.inputs:
        hint = did_you_mean(name or "", bindings.inputs)
        raise Misfit("input", f"there is no source or earlier step '{name or ''}'", hint)
    return name, bindings.inputs[name]()


def _matches(join: Join, scope: Scope, right: Scope) -> list[str]:
    if not join.on:
        raise Misfit("on", "has no columns that match")
    clauses = []
    for number, match in enumerate(join.on):
        one, other = find(scope, match.left, f"on/{number}/left"), find(right, match.right, f"on/{number}/right")
        if not are_comparable(one, other):
            problem = f"'{match.left}' is {one.type}, and '{match.right}' of {join.input} is {other.type}"
            raise Misfit(f"on/{number}", problem, "convert one of them in a step before")
        clauses.append(f"{one.sql} = {other.sql}")
    return clauses


def _with_computed(columns: Sequence[Computed], scope: Scope, source: list[str], bindings: Bindings) -> Scope:
    """Return the columns with the computed ones; each can refer to those before it."""
    scope = dict(scope)
    expressions: list[str] = []

    def add(new: Computed) -> None:
        _check_name(new.name, [name for key, column in scope.items() for name in (key, column.result)])
        sql = computed(new, scope)
        expressions.append(f"{sql} AS {quote(new.name)}")
        schema = bindings.bind(_Select(source, expressions).text())
        scope[new.name] = Column(quote(new.name), schema[-1].type, new.name)
        texts[new.name] = sql

    texts: dict[str, str] = {}
    each("compute", columns, add)
    return {name: replace(column, made=texts.get(name)) for name, column in scope.items()}


def _check_name(name: str, taken: Iterable[str]) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable() or "${" in name:
        raise Misfit("name", f"'{name[:80]}' is no name of a column")
    if name.lower() in {other.lower() for other in taken}:
        raise Misfit("name", f"there is already a column '{name}'", "give it another name")


def _listing(step: Step, scope: Scope) -> list[str]:
    """Return the SELECT list of a SELECT that adds computed columns."""
    if step.joins:
        return list(map(_as_result, scope.values()))
    return ["*", *(_as_result(column) for column in scope.values() if column.made)]


def _grouped(step: Step, scope: Scope, select: _Select, bindings: Bindings) -> str:
    """Return a SELECT with groups; shares and ratios are computed in an outer one."""
    results: Scope = {}

    def add(group: Group) -> str:
        name = group.name or group.unit or find(scope, group.column).result
        return _add(results, name, grouped(group, scope))

    groups = each("group", step.group, add)
    each("measures", step.measures, lambda measure: _measure(results, measure, scope))
    _pivot(results, step, scope)
    select.group = groups
    if all(measure.function not in _DERIVED for measure in step.measures):
        chosen = _chosen(step.columns, results) if step.columns else list(results.values())
        select.columns = list(map(_as_result, chosen))
        return _finish(select, step, chosen, results)
    select.columns = list(map(_as_result, results.values()))
    name = unused("grouped", [*bindings.inputs, "computed"])
    below = {key: replace(column, sql=quote(key)) for key, column in results.items()}
    after = _with_derived(step.measures, below, len(step.group))
    chosen = _chosen(step.columns, after) if step.columns else list(after.values())
    top = _Select([f"FROM {quote(name)}"], list(map(_as_result, chosen)))
    return _wrap(name, select, _finish(top, step, chosen, after))


def _add(results: Scope, name: str, sql: str, type_: str = "utf8") -> str:
    _check_name(name, results)
    results[name] = Column(sql, type_, name)
    return sql


def _measure(results: Scope, measure: Measure, scope: Scope) -> None:
    if measure.function in _DERIVED:
        return
    column = scope.get(measure.column or "")
    of_column = column.type if column and measure.function not in ("count", "count distinct") else "int64"
    _add(results, measure.name, measured(measure, scope), "float64" if measure.function == "average" else of_column)


def _pivot(results: Scope, step: Step, scope: Scope) -> None:
    pivot = step.pivot
    if pivot is None:
        return
    if not pivot.values:
        raise Misfit("pivot/values", "is empty", "name the values that become columns")
    try:
        for value in pivot.values:
            _add(results, value, pivoted(pivot, value, scope), "int64" if pivot.function == "count" else "float64")
    except Misfit as misfit:
        raise Misfit(f"pivot/{misfit.field}", misfit.problem, misfit.hint) from None


def _with_derived(measures: Sequence[Measure], below: Scope, groups: int) -> Scope:
    """Return the groups and measures in order, including those computed from other measures."""
    names = list(below)
    after = {name: below[name] for name in names[:groups]}

    def add(measure: Measure) -> None:
        if measure.function in _DERIVED:
            _check_name(measure.name, below)
            _add(after, measure.name, derived(measure, below), "float64")
        else:
            after[measure.name] = below[measure.name]

    each("measures", measures, add)
    return {**after, **below}


def _chosen(columns: Sequence[Chosen], scope: Scope) -> list[Column]:
    taken: list[str] = []

    def choose(choice: Chosen) -> Column:
        column = find(scope, choice.column)
        result = choice.name or column.result
        _check_name(result, taken)
        taken.append(result)
        return replace(column, result=result)

    return each("columns", columns, choose)


def _picked(pick: Pick, scope: Scope) -> str:
    """Return the condition for the first rows of each group; further columns break ties."""
    if not pick.order or not 1 <= pick.rows < 10**DIGITS:
        raise Misfit("pick", "needs an order, and at least one row")
    groups = [find(scope, name, f"pick/per/{number}").sql for number, name in enumerate(pick.per)]
    order = [(find(scope, sort.column, f"pick/order/{n}/column").sql, sort) for n, sort in enumerate(pick.order)]
    used = {*groups, *(sql for sql, _ in order)}
    keys = [_sorted_by(*each) for each in order]
    keys += [column.sql for column in scope.values() if column.sql not in used]
    parts = [f"PARTITION BY {', '.join(groups)}"] * bool(groups) + [f"ORDER BY {', '.join(keys)}"]
    line = f"row_number() OVER ({' '.join(parts)}) <= {pick.rows}"
    if len(line) <= _WIDTH:
        return line
    return "\n  ".join(["row_number() OVER (", *parts]) + f"\n) <= {pick.rows}"


def _sorted_by(sql: str, sort: Sort) -> str:
    return f"{sql} DESC" if sort.descending else sql


def _finish(select: _Select, step: Step, chosen: Sequence[Column], scope: Scope) -> str:
    """Return the text of a SELECT, sorted by columns of the result, or of its input."""
    results = {column.result: column for column in chosen}

    def key(sort: Sort) -> str:
        column = results.get(sort.column) or find(scope, sort.column)
        other = next((name for name in results if name.lower() == sort.column.lower() and name != sort.column), None)
        if other is not None and column is not results.get(sort.column):
            raise Misfit("column", f"'{sort.column}' is also the result '{other}'", "give that result another name")
        renamed = column is results.get(sort.column) and not _is_bare(column)
        return _sorted_by(quote(sort.column) if renamed else column.sql, sort)

    select.order = each("sort", step.sort, key)
    if step.limit is not None and not 1 <= step.limit < 10**DIGITS:
        raise Misfit("limit", "must be at least 1, and less than 10^18")
    select.limit = step.limit
    return select.text()


def _is_bare(column: Column) -> bool:
    """Tell whether a column is output under its own name."""
    name = quote(column.result)
    is_named_so = column.sql == name or column.sql.endswith(f".{name}")
    return column.made is None and is_named_so and _REFERENCE.fullmatch(column.sql) is not None


def _as_result(column: Column) -> str:
    return column.sql if _is_bare(column) else f"{column.made or column.sql} AS {quote(column.result)}"


def _wrap(name: str, inner: _Select, text: str) -> str:
    """Return a statement with another one as a CTE."""
    body = "\n".join(f"  {line}" for line in inner.text().split("\n"))
    rest = f",\n{text.removeprefix('WITH ')}" if text.startswith("WITH ") else f"\n{text}"
    return f"WITH {quote(name)} AS (\n{body}\n){rest}"


def _listed(word: str, parts: Sequence[str]) -> str:
    line = f"{word} {', '.join(parts)}"
    return line if len(line) <= _WIDTH else f"{word}\n  " + ",\n  ".join(parts)
