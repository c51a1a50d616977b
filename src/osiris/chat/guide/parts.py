"""The parts of a step, each a short dialogue: rows to keep, columns to compute, groups, order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from osiris.chat.expressions import measure_name, unused
from osiris.chat.guide.conversions import AS_DATE, AS_MOMENT, AS_NUMBER, CONVERTED, MOMENT_TEXT, as_date, is_dates
from osiris.chat.guide.draft import (
    Answer,
    Ask,
    Option,
    Show,
    columns_of,
    known_texts,
    match_options,
    plain,
    typed_as,
    value_kind,
)
from osiris.chat.request import Chosen, Computed, Filter, Group, Measure, Pick, Pivot, Sort, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.chat.expressions import Kind
    from osiris.chat.guide.draft import Draft, Fields, Flow, Typed
    from osiris.chat.request import Aggregate, Function, Operator, PivotFunction, Unit

UNITS: tuple[Unit, ...] = ("month", "week", "day", "quarter", "year")

_COMPARED = {
    ">=": "at least …",
    ">": "more than …",
    "<=": "at most …",
    "<": "less than …",
    "between": "between … and …",
}
_OF_TEXT = {"contains": "contains …", "starts with": "starts with …", "ends with": "ends with …"}
_EMPTINESS = {"is empty": "is empty", "is not empty": "is not empty"}
_OF_ALL = {"not in": "is not …", **_EMPTINESS, "other =": "equals another column …"}
_OF_COLUMNS = {"other >": "more than another column …", "other <": "less than another column …"}

_OF_NUMBERS = ("sum", "average", "minimum", "maximum", "median")
_OF_OTHERS = ("minimum", "maximum")
_COUNT, _SHARE = "count distinct", "share of total"

_NUMBER: tuple[Kind, ...] = ("number",)
_MOMENT: tuple[Kind, ...] = ("date", "timestamp")
_TEXT: tuple[Kind, ...] = ("text",)
_VALUES: tuple[Kind, ...] = ("number", "text", "date", "timestamp", "time", "bool", "uuid")
"""Kinds with literals."""

_BY, _MEASURE = "by:", "measure:"
"""How keys of columns begin among conditions, and those of measures among groups."""

_FUNCTIONS: dict[str, tuple[str, tuple[Kind, ...], str]] = {
    "add": ("add two numbers", _NUMBER, "either"),
    "subtract": ("subtract two numbers", _NUMBER, "either"),
    "multiply": ("multiply two numbers", _NUMBER, "either"),
    "divide": ("divide two numbers", _NUMBER, "either"),
    "round": ("round a number", _NUMBER, "whole number"),
    "absolute": ("absolute value of a number", _NUMBER, ""),
    "year": ("year of a date", _MOMENT, ""),
    "quarter": ("quarter of a date", _MOMENT, ""),
    "month": ("month of a date", _MOMENT, ""),
    "week": ("week of a date", _MOMENT, ""),
    "day": ("day of a date", _MOMENT, ""),
    "weekday": ("weekday of a date", _MOMENT, ""),
    "hour": ("hour of a timestamp", ("timestamp", "time"), ""),
    "date": ("date of a timestamp", _MOMENT, ""),
    "days between": ("days between two dates", _MOMENT, "either"),
    "minutes between": ("minutes between two times", ("timestamp",), "column"),
    "lower": ("text in lower case", _TEXT, ""),
    "upper": ("text in upper case", _TEXT, ""),
    "trim": ("text without blanks around it", _TEXT, ""),
    "length": ("length of a text", _TEXT, ""),
    AS_DATE: ("read a text as a date", _TEXT, ""),
    AS_MOMENT: ("read a text as a date and time", _TEXT, ""),
    AS_NUMBER: ("read a text as a number", _TEXT, ""),
    "replace": ("replace a part of a text", _TEXT, "part"),
    "join text": ("join two texts", _TEXT, "column"),
    "first characters": ("first characters of a text or date", (*_TEXT, *_MOMENT), "whole number"),
    "if empty": ("another value where one is empty", _VALUES, "either"),
}
"""Functions of the guide: label, kinds of their column, and other arguments."""

_OF_TWO = ("add", "subtract", "multiply", "divide", "days between", "minutes between")
"""Functions whose two columns can be chosen at once."""

_SECOND = {
    "subtract": "Subtract which column{value} from {column}?",
    "divide": "Divide {column} by which column{value}?",
    "days between": "Days from {column} to which column{value}?",
    "minutes between": "Minutes from {column} to which column{value}?",
}
"""Questions for the second column, where the order matters."""

_BETWEEN = (Option(" ", "a blank"), Option("", "nothing"))


def _comparable_kinds(type_: str | None) -> tuple[Kind, ...]:
    """Return the kinds comparable with a type."""
    kind = value_kind(type_)
    return _MOMENT if kind in _MOMENT else (kind,)


# --- rows that are kept --------------------------------------------------------------------------------------------


def filters(draft: Draft) -> Flow[None]:
    """Ask for conditions on rows: a column, of which more is asked, or values of columns."""
    fields = draft.fields(draft.step_for("filters"), "input")
    columns = tuple(replace(each, key=f"{_BY}{each.key}") for each in columns_of(draft, fields))
    text = "Keep rows by which column, or which values?"
    keys = (yield Ask("keep", text, (*columns, *_simple_conditions(draft, fields)), several=True)).keys
    by = [key.removeprefix(_BY) for key in keys if key.startswith(_BY)]
    if by and len(keys) > 1:
        yield Show("Choose one column, or values.", rejects=True)
        return
    conditions = () if by else _chosen_conditions(keys, draft.step_for("filters"))
    while not conditions:
        condition = yield from _condition(draft, by[0], fields)
        conditions = (condition,) if condition else ()
    step = draft.step_for("filters")
    draft.put(replace(step, filters=(*step.filters, *conditions)))


def _simple_conditions(draft: Draft, fields: Fields) -> Iterator[Option]:
    """Yield an option for each frequent value of each column, and for the empty ones."""
    for column in fields:
        for value in _values(draft, column):
            if value.label.strip():
                yield Option(json.dumps([column, "=", value.label]), f"{column} is {value.label}", value.note)
        for operator in _EMPTINESS:
            yield Option(json.dumps([column, operator]), f"{column} {operator}")


def _chosen_conditions(keys: Iterable[str], step: Step) -> tuple[Filter, ...]:
    """Return the conditions of options: all columns must fulfil one of their own."""
    by_column: dict[str, list[Filter]] = {}
    for column, operator, *values in map(json.loads, keys):
        conditions = by_column.setdefault(column, [])
        if values and conditions and conditions[0].values:
            conditions[0] = replace(conditions[0], operator="in", values=(*conditions[0].values, *values))
        else:
            conditions.insert(0 if values else len(conditions), Filter(column, operator, tuple(values)))
    number = max((each.either or 0 for each in step.filters), default=0)
    numbered = enumerate(by_column.values(), number + 1)
    return tuple(
        replace(each, either=either if len(conditions) > 1 else None)
        for either, conditions in numbered
        for each in conditions
    )


def _condition(draft: Draft, column: str, fields: Fields) -> Flow[Filter | None]:
    values, operators = _values(draft, column), _operators(fields[column])
    options = (*values, *operators)
    if is_dates(draft, column):
        dates = (
            Option(f"o:{AS_DATE}{key}", f"as a date, {label}", "its date is computed")
            for key, label in _COMPARED.items()
        )
        options = (*options, *dates)
    text = f"Keep rows where {column} is …"
    typed = typed_as(fields[column]) if value_kind(fields[column]) in _VALUES else None
    answer = yield Ask("condition", text, options, several=True, typed=typed)
    chosen = [key[2:] for key in answer.keys if key.startswith("o:")]
    if chosen and len(answer.keys) > 1:
        yield Show("Choose values, or one condition.", rejects=True)
        return None
    if not chosen:
        among = yield from _chosen_values(answer, values)
        return Filter(column, "=" if len(among) == 1 else "in", among)
    if not chosen[0].startswith(AS_DATE):
        return (yield from _by_operator(draft, column, chosen[0], fields))
    date = yield from as_date(draft, column)
    if date is None:
        return None
    fields = draft.fields(draft.step_for("filters"), "input")
    return (yield from _by_operator(draft, date, chosen[0].removeprefix(AS_DATE), fields))


def _by_operator(draft: Draft, column: str, operator: str, fields: Fields) -> Flow[Filter | None]:
    if operator.startswith("is "):
        return Filter(column, cast("Operator", operator))
    kind, _, comparison = operator.partition(" ")
    if kind == "other":
        return (yield from _by_column(draft, column, cast("Operator", comparison), fields))
    if operator == "not in":
        values = _values(draft, column)
        text = f"{column} is not …"
        answer = yield Ask("value", text, values, several=True, typed=typed_as(fields[column]))
        among = yield from _chosen_values(answer, values)
        return Filter(column, "!=" if len(among) == 1 else "not in", among)
    ends = ("from", "to") if operator == "between" else (operator,)
    typed = []
    for end in ends:
        answer = yield Ask("value", f"{column} {end} which value?", typed=typed_as(fields[column]))
        typed.append(answer.text or "")
    return Filter(column, cast("Operator", operator), tuple(typed))


def _by_column(draft: Draft, column: str, operator: Operator, fields: Fields) -> Flow[Filter | None]:
    options = tuple(o for o in columns_of(draft, fields, _comparable_kinds(fields[column])) if o.key != column)
    if not options:
        yield Show(f"No other column can be compared with {column}.", rejects=True)
        return None
    answer = yield Ask("other", f"{column} {operator} which column?", options)
    return Filter(column, operator, other=answer.keys[0])


def _chosen_values(answer: Answer, values: tuple[Option, ...]) -> Flow[tuple[str, ...]]:
    """Return the chosen or typed values; a typed one similar to a known value is confirmed."""
    if answer.text is None:
        return tuple(key[2:] for key in answer.keys)
    text = answer.text
    matches = match_options(text, [*values], several=False, display=str)
    suggestions = [] if text.isdecimal() else [*matches.options, *matches.candidates]
    if not suggestions:
        return (text,)
    options = (*suggestions, Option(f"v:{text}", text, "as typed; not among the frequent values"))
    chosen = yield Ask("near", f"Which value is meant by {text}?", options)
    return (chosen.keys[0][2:],)


def _values(draft: Draft, column: str) -> tuple[Option, ...]:
    info = draft.column(column)
    frequent = info.profile.get("values", ()) if info else ()
    return tuple(Option(f"v:{each['value']}", str(each["value"]), f"{each['share']:.0%}") for each in frequent)


def _operators(type_: str | None) -> tuple[Option, ...]:
    kind = value_kind(type_)
    more = _OF_TEXT if kind == "text" else {} if kind == "bool" else _COMPARED | _OF_COLUMNS
    offered = more | _OF_ALL if kind in _VALUES else _EMPTINESS
    return tuple(Option(f"o:{key}", label) for key, label in offered.items())


# --- groups and measures -------------------------------------------------------------------------------------------


def group(draft: Draft) -> Flow[None]:
    """Ask for groups and their measures: at once, or one after the other."""
    fields = draft.fields(draft.step_for("group"), "input")
    all_rows = Option("all", "no groups", "one row for everything")
    measured = (replace(each, key=f"{_MEASURE}{each.key}") for each in _measures(draft, fields, shares=True))
    options = (*_groups(draft, fields), all_rows, *measured)
    head = ("measures can be chosen with them, or next",)
    chosen = (yield Ask("groups", "Group by which columns?", options, several=True, head=head)).keys
    keys = tuple(key.removeprefix(_MEASURE) for key in chosen if key.startswith(_MEASURE))
    by = [key for key in chosen if key != all_rows.key and not key.startswith(_MEASURE)]
    groups = yield from _chosen_groups(draft, by, fields)
    if groups is None:
        return
    if not keys:
        text = "Measure what of each group?" if groups else "Measure what?"
        options = tuple(_measures(draft, fields, shares=bool(groups)))
        keys = (yield Ask("measure", text, options, several=True)).keys
    measures = _chosen_measures(keys, [each.name or each.column for each in groups])
    step = draft.step_for("group")
    draft.put(replace(step, group=groups, measures=tuple(measures)))


def _chosen_groups(draft: Draft, keys: Iterable[str], fields: Fields) -> Flow[tuple[Group, ...] | None]:
    """Return the groups of options, with the dates of texts computed; None if one cannot be."""
    groups = []
    for key in keys:
        unit, _, column = key.partition("|")
        source = column if not unit or value_kind(fields[column]) in _MOMENT else (yield from as_date(draft, column))
        if source is None:
            return None
        groups.append(Group(source, cast("Unit", unit), f"{column}_{unit}") if unit else Group(column))
    return tuple(groups)


def _chosen_measures(keys: Iterable[str], taken: list[str]) -> list[Measure]:
    """Return measures, the number of rows first; a share includes the measure it is a share of."""
    measures: list[Measure] = []

    def add(function: Aggregate, column: str | None, of: str | None = None) -> str:
        existing = (each.name for each in measures if (each.function, each.column, each.of) == (function, column, of))
        if (name := next(existing, None)) is None:
            name = unused(measure_name(function, column or of), [*taken, *(each.name for each in measures)])
            measures.append(Measure(name, function, column, of))
        return name

    for key in sorted(keys, key=lambda key: key != "count|"):
        function, _, column = key.partition("|")
        if function == _SHARE:
            add("share of total", None, add("sum" if column else "count", column or None))
        else:
            add(cast("Aggregate", function), column or None)
    return measures


def _groups(draft: Draft, fields: Fields) -> Iterator[Option]:
    for option in columns_of(draft, fields):
        yield replace(option, key=f"|{option.key}")
        is_text = is_dates(draft, option.key)
        if is_text or value_kind(fields[option.key]) in _MOMENT:
            note = "its date is computed" if is_text else "in UTC" if "," in (fields[option.key] or "") else ""
            yield from (Option(f"{unit}|{option.key}", f"{unit} of {option.key}", note) for unit in UNITS)


def _measures(draft: Draft, fields: Fields, *, shares: bool) -> Iterator[Option]:
    yield Option("count|", "number of rows")
    if shares:
        yield Option(f"{_SHARE}|", "share of the number of rows", "from 0 to 1")
    columns = columns_of(draft, fields)
    numbers = [each for each in columns if value_kind(fields[each.key]) == "number"]
    for function in _OF_NUMBERS:
        for column in columns if function in _OF_OTHERS else numbers:
            yield Option(f"{function}|{column.key}", f"{function} of {column.label}", column.note)
    for column in columns:
        yield Option(f"{_COUNT}|{column.key}", f"number of different {column.label}")
    for column in numbers if shares else ():
        yield Option(f"{_SHARE}|{column.key}", f"share of the sum of {column.label}", "from 0 to 1")
    for column in columns:
        yield Option(f"count|{column.key}", f"number of rows with {column.label}")


def pivot(draft: Draft) -> Flow[None]:
    """Ask for a column whose values become columns, and for their cells."""
    step = draft.step_for("group")
    fields = draft.fields(step, "input")
    text = "The values of which column become columns?"
    column = (yield Ask("pivot", text, columns_of(draft, fields, _VALUES))).keys[0]
    frequent = _values(draft, column)
    text = f"Which values? {'These are the most frequent. ' if frequent else ''}Typed ones have commas between them."
    answer = yield Ask("pivot values", text, frequent, several=True, typed="text")
    values = tuple(key[2:] for key in answer.keys) or tuple(
        filter(None, map(str.strip, (answer.text or "").split(",")))
    )
    rows = tuple(each for each in _groups(draft, fields) if each.key != f"|{column}")
    keys = (yield Ask("pivot rows", "One row for each …?", rows, several=True)).keys
    groups = yield from _chosen_groups(draft, keys, fields)
    if groups is None:
        return
    numbers = columns_of(draft, fields, _NUMBER)
    figures = [Option(f"{name}|{each.key}", f"{name} of {each.label}") for each in numbers for name in _OF_NUMBERS[:4]]
    cells = (Option("count|", "number of rows"), *figures)
    cell = (yield Ask("pivot of", "What is in the columns?", cells)).keys[0]
    function, _, of = cell.partition("|")
    new = Pivot(column, values, cast("PivotFunction", function), of or None)
    draft.put(replace(draft.step_for("group"), group=groups, pivot=new))


def distinct(draft: Draft) -> Flow[None]:
    """Remove duplicate rows; nothing is asked."""
    step = draft.step_for("group")
    draft.put(replace(step, group=tuple(map(Group, draft.fields(step, "input")))))
    yield Show("Rows that are the same in all columns are kept once.")


# --- columns that are computed -------------------------------------------------------------------------------------


def functions(draft: Draft) -> tuple[Option, ...]:
    """Return an option for each function that applies to some column."""
    there = {value_kind(type_) for type_ in draft.fields(draft.step_for("compute"), "input").values()}
    return tuple(Option(name, label) for name, (label, kinds, _) in _FUNCTIONS.items() if there.intersection(kinds))


def compute(draft: Draft) -> Flow[None]:
    """Ask for a computed column."""
    yield from computed_by((yield Ask("function", "Compute what?", functions(draft))).keys[0], draft)


def computed_by(function: str, draft: Draft) -> Flow[None]:
    """Ask for the arguments of a function; text may be converted in several columns at once."""
    label, kinds, _ = _FUNCTIONS[function]
    columns = columns_of(draft, draft.fields(draft.step_for("compute"), "input"), kinds)
    text = f"{label[:1].upper()}{label[1:]}: of which column?"
    head = ("two columns can be chosen, in their order",) if function in _OF_TWO else ()
    keys = (yield Ask("of", text, columns, several=function in (*CONVERTED, *_OF_TWO), head=head)).keys
    if function in _OF_TWO and len(keys) > 1:
        if len(keys) > 2:
            yield Show("Choose one column, or two.", rejects=True)
        else:
            yield from _compute_of(draft, function, *keys)
        return
    for column in keys:
        yield from _compute_of(draft, function, column)


def _compute_of(draft: Draft, function: str, column: str, other: str | None = None) -> Flow[None]:
    """Add a computed column; rounding replaces the column, other columns stay unchanged."""
    step = draft.step_for("compute")
    fields = draft.fields(step, "input")
    new: Computed | None = Computed("", cast("Function", function), column, other)
    if other is None:
        new = yield from _computed(draft, function, column, fields)
    if new is None:
        return
    name = unused(plain([column, function.removeprefix("text as a "), new.other or ""]), fields)
    extended = replace(step, compute=(*step.compute, replace(new, name=name)))
    if function == "round":
        draft.put(
            replace(extended, columns=tuple(Chosen(name, each) if each == column else Chosen(each) for each in fields))
        )
        return
    draft.put(extended)
    yield Show(f"The new column is {name}.")


def _computed(draft: Draft, function: str, column: str, fields: Fields) -> Flow[Computed | None]:
    """Ask for a function's other arguments; return the new column, unnamed, if any."""
    more = _FUNCTIONS[function][2]
    if function in CONVERTED:
        spelled = yield from CONVERTED[function](draft, column)
        return Computed("", "convert", column, value=spelled) if spelled else None
    new = Computed("", cast("Function", function), column)
    if more == "part":
        part = (yield Ask("part", "Replace which text?", typed="text")).text
        by = yield Ask("by", "By which text?", (Option("", "nothing"),), typed="text", default=("",))
        return replace(new, value=part, new=by.text or "")
    if more == "whole number":
        is_round = function == "round"
        text = "To how many decimal places?" if is_round else "How many characters?"
        return replace(new, value=(yield Ask("number", text, typed="decimal places" if is_round else "count")).text)
    return (yield from _with_operand(draft, new, fields)) if more else new


def _with_operand(draft: Draft, new: Computed, fields: Fields) -> Flow[Computed]:
    """Ask for a second column or a value."""
    function, column = new.function, str(new.column)
    kinds = _comparable_kinds(fields[column]) if function == "days between" else (value_kind(fields[column]),)
    operands = tuple(each for each in columns_of(draft, fields, kinds) if each.key != column)
    typed = _typed_operand(function, fields[column])
    text = _SECOND.get(function, f"{function[:1].upper()}{function[1:]}: {{column}} and which column{{value}}?")
    text = text.format(column=column, value=" or value" if typed else "")
    answer = yield Ask("operand", text, operands, typed=typed)
    new = replace(new, other=answer.keys[0] if answer.keys else None, value=answer.text)
    if function == "join text":
        between = yield Ask("between", "What goes between them?", _BETWEEN, typed="text")
        new = replace(new, value=between.keys[0] if between.keys else between.text)
    return new


def _typed_operand(function: Function, type_: str | None) -> Typed | None:
    """Return what may be typed instead of a second column."""
    if _FUNCTIONS[function][2] != "either":
        return None
    typed = "date" if function == "days between" else typed_as(type_)
    return "number" if typed == "whole number" else typed


# --- rows per group, columns, order --------------------------------------------------------------------------------


def pick(draft: Draft) -> Flow[None]:
    """Ask for the first row of each group."""
    per, order = yield from _first_rows(draft, "One row of each …?", "Which one?")
    if order:
        draft.put(replace(draft.step_for("pick"), pick=Pick(per, order, 1)))


def picks(draft: Draft) -> Flow[None]:
    """Ask for the first rows of each group."""
    per, order = yield from _first_rows(draft, "First rows of each …?", "Which rows are the first?")
    if order:
        rows = yield from _count("How many of each?")
        draft.put(replace(draft.step_for("pick"), pick=Pick(per, order, rows)))


def _first_rows(draft: Draft, text: str, which: str) -> Flow[tuple[tuple[str, ...], tuple[Sort, ...]]]:
    """Ask for groups and the order of their rows; dates of texts are computed, no order if that is not possible."""
    fields = draft.fields(draft.step_for("pick"), "input")
    per = (yield Ask("per", text, columns_of(draft, fields), several=True)).keys
    keys = (yield Ask("first", which, tuple(_orders(draft, fields, dates=True)), several=True)).keys
    order = []
    for key in keys:
        by = _sort(key.removeprefix(AS_DATE))
        column = (yield from as_date(draft, by.column)) if key.startswith(AS_DATE) else by.column
        if column is None:
            return per, ()
        order.append(replace(by, column=column))
    return per, tuple(order)


def columns(draft: Draft) -> Flow[None]:
    """Ask for the output columns."""
    step = draft.step_for("columns")
    options = columns_of(draft, draft.fields(step, "columns"))
    keys = (yield Ask("columns", "Which columns?", options, several=True)).keys
    draft.put(replace(step, columns=tuple(Chosen(key) for key in keys)))


def sort(draft: Draft) -> Flow[None]:
    """Ask for an order."""
    step = draft.step_for("sort")
    options = tuple(_orders(draft, draft.fields(step, "sort")))
    keys = (yield Ask("sort", "Sort by what?", options, several=True)).keys
    draft.put(replace(step, sort=tuple(map(_sort, keys))))


def limit(draft: Draft) -> Flow[None]:
    """Ask for an order, and how many rows to keep."""
    yield from sort(draft)
    rows = yield from _count("How many rows?")
    draft.put(replace(draft.step_for("sort"), limit=rows))


def _orders(draft: Draft, fields: Fields, *, dates: bool = False) -> Iterator[Option]:
    """Yield two orders for each column; with `dates`, also those of the dates that texts spell."""
    moments, texts = ("latest", "earliest"), ("Z to A", "A to Z")
    words = {"date": moments, "timestamp": moments, "time": moments, "number": ("largest", "smallest")}
    for name, type_ in fields.items():
        values = known_texts(draft.column(name))
        is_moment = bool(values) and all(MOMENT_TEXT.fullmatch(text) for text in values)
        down, up = moments if is_moment else words.get(value_kind(type_), texts)
        ways = [Option(f"-{name}", f"{name} ({down} first)"), Option(f"+{name}", f"{name} ({up} first)")]
        yield from reversed(ways) if (down, up) == texts else ways
        if dates and not is_moment and is_dates(draft, name):
            note = "its date is computed"
            ways = [replace(each, key=f"{AS_DATE}{each.key}", note=note) for each in ways]
            labels = [f"{name} ({way} date first)" for way in moments]
            yield from (replace(way, label=label) for way, label in zip(ways, labels, strict=True))


def _sort(key: str) -> Sort:
    return Sort(key[1:], descending=key.startswith("-"))


def _count(text: str) -> Flow[int]:
    answer = yield Ask("count", text, typed="count")
    return int(answer.text)
