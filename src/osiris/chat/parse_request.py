"""Parse OML back into a request, where a request renders to exactly that OML.

The parsed request is rendered: only if that gives the same document, apart from white space in SQL, is it returned. SQL
that no step renders to is kept as the SQL of a step. `docs/reference/requests.md` lists what a request cannot express,
such as comments. So the parser of a SELECT may guess: what matches no template, or names no column, raises `NotAStep`
or `KeyError`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

import yaml

from osiris.api import format_text
from osiris.chat.expressions import (
    AGGREGATES,
    CONDITIONS,
    CUT,
    CUT_TEXT,
    DEFAULTS,
    EMPTINESS,
    FILTERED,
    FORMS,
    OR,
    ORDERED,
    RATIO,
    ROWS,
    SHARE,
    Misfit,
    cast_types,
    unused,
)
from osiris.chat.render import SAVE, bindings_after, path_of, problems_of, render_request
from osiris.chat.request import (
    Check,
    Chosen,
    Computed,
    Filter,
    Group,
    Join,
    Match,
    Measure,
    Output,
    Parameter,
    Pick,
    Pivot,
    Request,
    Sort,
    Source,
    Step,
    Typed,
    Unit,
)
from osiris.chat.sql_text import is_literal, literals, quote, read, spaced, split, tokens, unquoted, value_of
from osiris.chat.statement import Bindings, joined, statement
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from osiris.chat.choices import Choices, Relation
    from osiris.chat.expressions import Form
    from osiris.chat.request import Aggregate
    from osiris.model import JsonValue

    Mapped = dict[str, Any]

_SOURCE_KEYS = {"columns", "encoding", "dtype", "on_reject"}


def parse_request(text: str, choices: Choices) -> Request | None:
    """Return the request for a pipeline; None if a request cannot express all of it."""
    try:
        document = yaml.safe_load(text)
        if format_text(json.dumps(document, ensure_ascii=False), "x.yaml") != format_text(text, "x.yaml"):
            return None
        request = _request(_with_needs(document), choices)
        rendered = yaml.safe_load(render_request(request, choices, str(document.get("description", ""))))
        return request if _normalized(rendered) == _normalized(_with_needs(document)) else None
    except (OsirisError, NotAStep, Misfit, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError):
        return None


def _with_needs(document: Mapped) -> Mapped:
    """Return a document in which every step has explicit needs."""
    steps: list[Mapped] = []
    for step in document["steps"]:
        needs = [] if step["mode"] == "read" or not steps else [steps[-1]["id"]]
        steps.append({**step, "needs": step.get("needs", needs)})
    return {**document, "steps": steps}


def _normalized(document: Mapped) -> Mapped:
    """Return a document with white space in SQL ignored."""
    steps = []
    for step in document["steps"]:
        config = dict(step["config"])
        if "query" in config:
            config["query"] = tokens(config["query"])
        steps.append({**step, "config": config})
    return {**document, "oml_version": None, "steps": steps}


def _request(document: Mapped, choices: Choices) -> Request:
    steps = document["steps"]
    sources = tuple(_source(each, choices) for each in steps if each["mode"] == "read")
    parameters = tuple(_parameter(name, parameter) for name, parameter in document.get("params", {}).items())
    outputs = tuple(_output(each) for each in steps if each["mode"] == "write")
    request = Request(document["name"], sources, (), outputs, parameters)
    for each in steps:
        if each["mode"] == "transform":
            request = replace(request, steps=(*request.steps, _step(each, request, choices)))
    return _without_defaults(request, choices)


def _without_defaults(request: Request, choices: Choices) -> Request:
    """Return a request in which default names and paths of outputs are omitted."""
    outputs: list[Output] = []
    for number, each in enumerate(request.outputs):
        taken = [str(other.name) for other in request.outputs[:number]]
        default = unused(SAVE if len(request.outputs) == 1 else f"{SAVE}_{each.input}", taken)
        name = None if each.name == default else each.name
        path = None if each.path == path_of(replace(each, path=None), request, choices) else each.path
        outputs.append(replace(each, name=name, path=path))
    return replace(request, outputs=tuple(outputs))


def _source(step: Mapped, choices: Choices) -> Source:
    for relation in choices.relations:
        options = _options(step, relation)
        if options is not None:
            return Source(
                relation.id,
                tuple(options["columns"]) if "columns" in options else None,
                options.get("encoding"),
                tuple(Typed(name, kind) for name, kind in options.get("dtype", {}).items()),
                options.get("on_reject"),
                None if step["id"] == relation.name else step["id"],
            )
    raise NotAStep


def _options(step: Mapped, relation: Relation) -> Mapped | None:
    """Return the config options of a step beyond those that read a relation; None if it reads something else."""
    expected, config = relation.step["config"], step["config"]
    extra = {key: value for key, value in config.items() if key not in expected}
    is_one = relation.step["component"] == step["component"] and extra.keys() <= _SOURCE_KEYS
    return extra if is_one and all(config.get(key) == value for key, value in expected.items()) else None


def _parameter(name: str, document: Mapped) -> Parameter:
    default = document["default"]
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return Parameter(name, document["type"], text)


def _output(step: Mapped) -> Output:
    config = step["config"]
    connection, path, table, mode = (config.get(name) for name in ("connection", "path", "table", "write_mode"))
    key, by = (tuple(config.get(name, ())) for name in ("primary_key", "partition_by"))
    return Output(step["needs"][0], step["component"], connection, path, table, mode, key, by, step["id"])


def _step(document: Mapped, request: Request, choices: Choices) -> Step:
    """Return the step of a statement: as parts, or as SQL if parts cannot express it."""
    query, name = document["config"]["query"], document["id"]
    checks = tuple(_check(each) for each in document["config"].get("checks", ()))
    bindings = bindings_after(request, choices)
    for step in _candidates(query, name, bindings):
        extended = replace(request, steps=(*request.steps, step), outputs=())
        is_wrong = any(each.pointer.startswith("/steps") for each in problems_of(extended, choices))
        if not is_wrong and tokens(statement(step, bindings)) == tokens(query):
            return replace(step, checks=checks)
    return Step(name, sql=query.strip(), inputs=tuple(document["needs"]), checks=checks)


def _candidates(query: str, name: str, bindings: Bindings) -> Iterator[Step]:
    try:
        yield from read_step(query, name, bindings)
    except (NotAStep, Misfit, LookupError, TypeError, ValueError):
        return


def _check(document: Mapped) -> Check:
    ((kind, what),) = document.items()
    if kind in ("not_null", "unique"):
        return Check(kind, tuple(what))
    columns = (what["column"],) if "column" in what else ()
    values = tuple(cast("str", _as_text(each)) for each in what.get("values", ()))
    return Check(kind, columns, values, _as_text(what.get("min")), _as_text(what.get("max")))


def _as_text(value: JsonValue) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


Names = dict[str, str]
"""Maps SQL spellings of columns (`spaced`) to their names in a request."""

_CLAUSES = ("SELECT", "FROM", "WHERE", "GROUP BY", "QUALIFY", "ORDER BY", "LIMIT")
_TYPES = {spaced(sql): ours for ours, sql in cast_types().items()}
_CALLS = {tokens(template)[0] for template in AGGREGATES.values()}


class NotAStep(Exception):
    """A SELECT that no step renders to."""


class _Item(NamedTuple):
    """An item of a SELECT list, and its alias."""

    sql: str
    alias: str | None

    @property
    def name(self) -> str:
        return self.alias or unquoted(tokens(self.sql)[-1])

    @property
    def is_aggregate(self) -> bool:
        words = tokens(self.sql)
        return words[0] in _CALLS and words[1:2] == ["("]

    @property
    def is_computed(self) -> bool:
        return self.alias is not None and read("{column}", self.sql) is None


@dataclass(slots=True)
class _Select:
    """The clauses of one SELECT, each as tokens, and its items except `*`."""

    clauses: dict[str, list[str]]
    items: list[_Item]
    has_star: bool

    def listed(self, clause: str) -> list[str]:
        """Return the comma-separated parts of a clause."""
        words = self.clauses.get(clause)
        return [" ".join(part) for part in split(words, ",")] if words else []

    @property
    def is_grouped(self) -> bool:
        return "GROUP BY" in self.clauses or any(item.is_aggregate for item in self.items)

    @property
    def computes(self) -> bool:
        """Tell whether it only adds computed columns."""
        is_plain = not self.is_grouped and self.clauses.keys().isdisjoint(("WHERE", "QUALIFY"))
        return is_plain and any(item.is_computed for item in self.items)


def read_step(text: str, name: str, bindings: Bindings) -> Iterator[Step]:
    """Yield the steps that may render to a statement, the likeliest first."""
    top, below = _layers(tokens(text))
    computing, grouping = below.get("computed"), below.get("grouped")
    step, names = _joined(computing or grouping or top, name, bindings)
    if not below and top.computes:
        step = replace(step, compute=tuple(_computed(top, names)))
        yield _finish(step, top, names | _as_names(each.name for each in step.compute), ())
        return
    if computing:
        step = replace(step, compute=tuple(_computed(computing, names)))
        names = {
            spaced(quote(column.result)): key for key, column in joined(replace(step, compute=()), bindings)[0].items()
        }
        names |= _as_names(each.name for each in step.compute)
    yield from _filtered(step, grouping or top, top, names)


def _filtered(step: Step, select: _Select, top: _Select, names: Names) -> Iterator[Step]:
    """Yield the step with filters, and then groups or picks."""
    step = replace(step, filters=tuple(_filters(select.clauses.get("WHERE", []), names)))
    if select.is_grouped:
        yield from _grouped(step, select, top, names)
        return
    for pick in _picks(top, names):
        for columns in dict.fromkeys(((), _chosen(top, names))):
            yield _finish(replace(step, pick=pick), top, names, columns)


def _as_names(names: Iterator[str] | Sequence[str]) -> Names:
    return {spaced(quote(name)): name for name in names}


def _layers(words: list[str]) -> tuple[_Select, dict[str, _Select]]:
    """Return the top SELECT, and those below it, by `computed` and `grouped`."""
    if words[:1] != ["WITH"]:
        return _select(words), {}
    before, *rest = split(words[1:], "SELECT")
    below = {}
    for label, *body in split(before, ","):
        match = re.fullmatch(r"(computed|grouped)(_\d+)?", label)
        if not match or body[:2] != ["AS", "("]:
            raise NotAStep
        below[match[1]] = _select(body[2:-1])
    return _select(["SELECT", *rest[0]]), below


def _select(words: list[str]) -> _Select:
    """Return a SELECT; clause keywords are only recognized in order, since DISTINCT may precede FROM."""
    clauses: dict[str, list[str]] = {}
    depth, at = 0, -1
    for word in words:
        depth += (word == "(") - (word == ")")
        if not depth and word in _CLAUSES[at + 1 :]:
            at = _CLAUSES.index(word)
            clauses[word] = []
        else:
            clauses[_CLAUSES[at]].append(word)
    parts = [split(part, "AS") for part in split(clauses["SELECT"], ",")]
    items = [_Item(" ".join(sql), unquoted(alias[0][0]) if alias else None) for sql, *alias in parts]
    return _Select(clauses, [item for item in items if item.sql != "*"], any(item.sql == "*" for item in items))


def _joined(select: _Select, name: str, bindings: Bindings) -> tuple[Step, Names]:
    """Return the step with its input and joins, and its columns by their SQL spelling."""
    first, *joins = split(select.clauses["FROM"], "JOIN")
    step = Step(name, unquoted(first[0]))
    names = {f"{first[0]} . {spaced(column.sql)}": key for key, column in joined(step, bindings)[0].items()}
    for before, (table, *words) in zip([first, *joins], joins, strict=False):
        called, on = split(words if words[-1] != "LEFT" else words[:-1], "ON")
        label = called[1] if called else table
        matches = [_match(" ".join(part), label, names) for part in split(on, "AND")]
        join = Join(unquoted(table), tuple(matches), "keep" if before[-1] == "LEFT" else "drop")
        step = replace(step, joins=(*step.joins, join))
        names = {spaced(column.sql): key for key, column in joined(step, bindings)[0].items()}
    return step, {spaced(column.sql): key for key, column in joined(step, bindings)[0].items()}


def _match(text: str, label: str, names: Names) -> Match:
    sides = read("{column} = {other}", text)
    if not sides or not sides["other"].startswith(f"{label} . "):
        raise NotAStep
    return Match(names[sides["column"]], unquoted(tokens(sides["other"])[-1]))


# --- computed columns ----------------------------------------------------------------------------------------------


def _computed(select: _Select, names: Names) -> Iterator[Computed]:
    names = dict(names)
    for item in select.items:
        if item.is_computed:
            yield replace(_expression(item.sql, names), name=item.name)
            names[spaced(quote(item.name))] = item.name


def _expression(text: str, names: Names) -> Computed:
    for form in FORMS:
        places = read(form.sql, text)
        if places and all(places[each] in names for each in ("column", "other") if each in places):
            return _from_form(form, places, names)
    raise NotAStep


def _from_form(form: Form, places: dict[str, str], names: Names) -> Computed:
    column, other = (names.get(places.get(each, "")) for each in ("column", "other"))
    new = value_of(places["new"]) if "new" in places else None
    value = None
    for place in places.keys() - {"column", "other", "new"}:
        value = _READ.get(place, value_of)(places[place]) + form.ending
    if value == DEFAULTS.get(form.function):
        value = None
    return Computed("", form.function, column, other, value, new or None)


def _type_of(text: str) -> str:
    exact = text.lower().replace(" ", "")
    return exact if exact.startswith("decimal") else _TYPES[text]


_READ: dict[str, Callable[[str], str]] = {
    "type": _type_of,
    "format": lambda text: f"date {value_of(text)}",
    "formats": lambda text: f"date {OR.join(literals(text))}",
}
"""Parses a value, by placeholder, where it is not a literal."""


# --- conditions ----------------------------------------------------------------------------------------------------


def _filters(words: list[str], names: Names) -> Iterator[Filter]:
    number = 0
    for part in split(words, "AND") if words else ():
        condition = _filter(" ".join(part), names)
        if condition:
            yield condition
            continue
        number += 1
        for each in split(part[1:-1], "OR"):
            alternative = _filter(" ".join(each), names)
            if alternative is None:
                raise NotAStep
            yield replace(alternative, either=number)


def _filter(text: str, names: Names) -> Filter | None:
    for operator, template in (*EMPTINESS.items(), *CONDITIONS.items()):
        places = read(template, text)
        if places is None:
            continue
        column = _day_of(places["operand"], names)
        if "side" not in places:
            return Filter(column, operator, tuple(literals(places.get("sides") or places.get("both") or "")))
        side = places["side"]
        if is_literal(side):
            return Filter(column, operator, (value_of(side),))
        if side.startswith("$"):
            return Filter(column, operator, parameter=side[len("${params.") : -1])
        return Filter(column, operator, other=_day_of(side, names))
    return None


def _day_of(text: str, names: Names) -> str:
    """Return the column of an operand, which may be cast to a date."""
    day = read("CAST({column} AS DATE)", text)
    return names[day["column"] if day else text]


# --- groups --------------------------------------------------------------------------------------------------------


def _grouped(step: Step, select: _Select, top: _Select, names: Names) -> Iterator[Step]:
    """Yield the step with all columns in order, else with chosen ones."""
    keys = select.listed("GROUP BY")
    outputs = {item.sql: item.name for item in select.items}
    groups = tuple(_group(key, outputs.get(key), names) for key in keys)
    measures, pivot = _measures([item for item in select.items if item.sql not in keys], names)
    scope = _as_names(item.name for item in select.items)
    if top is not select:
        measures = _with_derived(top, measures, scope)
        scope |= _as_names(each.name for each in measures)
    grouped = replace(step, group=groups, measures=tuple(measures), pivot=pivot)
    for columns in ((), tuple(_renamed(item, scope) for item in top.items)):
        yield _finish(grouped, top, scope, columns)


def _measures(items: Sequence[_Item], names: Names) -> tuple[list[Measure], Pivot | None]:
    filtered = [(item, read(FILTERED, item.sql)) for item in items]
    measures = [Measure(item.name, *_aggregate(item.sql, names)) for item, places in filtered if not places]
    return measures, _pivot([places for _, places in filtered if places], names)


def _renamed(item: _Item, scope: Names) -> Chosen:
    name = scope.get(item.sql, item.name)
    return Chosen(name, item.alias if item.alias != name else None)


def _group(key: str, name: str | None, names: Names) -> Group:
    cut = read(CUT, key) or read(CUT_TEXT, key)
    if cut is None:
        column = names[key]
        return Group(column, None, None if name in (None, column.replace(".", "_")) else name)
    unit = value_of(cut["unit"])
    if unit not in get_args(Unit):
        raise NotAStep
    return Group(names[cut["column"]], cast("Unit", unit), None if name in (None, unit) else name)


def _aggregate(text: str, names: Names) -> tuple[Aggregate, str | None]:
    if text == spaced(ROWS):
        return "count", None
    for function, template in (*AGGREGATES.items(), *ORDERED.items()):
        if places := read(template, text):
            return function, names[places["column"]]
    raise NotAStep


def _pivot(filtered: Sequence[dict[str, str]], names: Names) -> Pivot | None:
    if not filtered:
        return None
    function, of = _aggregate(filtered[0]["measure"], names)
    values = tuple(value_of(places["side"]) for places in filtered)
    return Pivot(names[filtered[0]["operand"]], values, function, of)  # type: ignore[arg-type]


def _with_derived(top: _Select, measures: list[Measure], scope: Names) -> list[Measure]:
    """Return measures with the shares and ratios of the outer SELECT, in its order."""
    by_name = {each.name: each for each in measures}
    derived: list[Measure] = []
    for item in top.items:
        if ratio := read(RATIO, item.sql):
            derived.append(Measure(item.name, "ratio", of=scope[ratio["column"]], over=scope[ratio["other"]]))
        elif share := read(SHARE, item.sql):
            derived.append(Measure(item.name, "share of total", of=scope[share["column"]]))
        elif scope[item.sql] in by_name:
            derived.append(by_name.pop(scope[item.sql]))
    return [*by_name.values(), *derived]


# --- the end of a step ---------------------------------------------------------------------------------------------


def _picks(select: _Select, names: Names) -> Iterator[Pick | None]:
    """Yield what QUALIFY may mean: its first keys are the order, the others are tie-breakers."""
    words = select.clauses.get("QUALIFY")
    if words is None:
        yield None
        return
    window = read("row_number() OVER ({keys}) <= {rows}", " ".join(words))
    if window is None:
        raise NotAStep
    before, order = split(tokens(window["keys"]), "ORDER BY")
    per = tuple(names[" ".join(part)] for part in split(before[1:], ",")) if before else ()
    keys = tuple(_sort(" ".join(part), names) for part in split(order, ","))
    for count in range(1, len(keys) + 1):
        yield Pick(per, keys[:count], int(window["rows"]))


def _sort(text: str, names: Names) -> Sort:
    return Sort(names[text.removesuffix(" DESC")], text.endswith(" DESC"))


def _chosen(select: _Select, names: Names) -> tuple[Chosen, ...]:
    if select.has_star:
        return ()
    columns = []
    for item in select.items:
        name = names[item.sql]
        default = (name.replace(".", "_"), unquoted(tokens(item.sql)[-1]))
        columns.append(Chosen(name, None if item.name in default else item.alias))
    return tuple(columns)


def _finish(step: Step, select: _Select, names: Names, columns: tuple[Chosen, ...]) -> Step:
    results = names | _as_names(item.name for item in select.items)
    sort = tuple(_sort(each, results) for each in select.listed("ORDER BY"))
    limit = select.listed("LIMIT")
    return replace(step, columns=columns, sort=sort, limit=int(limit[0]) if limit else None)
