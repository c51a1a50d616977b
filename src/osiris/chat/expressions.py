"""The parts of a request as SQL expressions: names, values typed by a column, conditions, computed columns, measures.

What does not fit raises `Misfit`, which says which field of the part is wrong; nothing is ever rewritten to fit.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from osiris.chat.sql_text import quote, text_literal
from osiris.errors import did_you_mean
from osiris.sql.binding.duck_types import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from osiris.chat.request import Aggregate, Computed, Filter, Function, Group, Measure, Operator, Parameter, Pivot

    T = TypeVar("T")
    R = TypeVar("R")

Kind = Literal["number", "text", "date", "timestamp", "time", "bool", "uuid", "other"]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TRUTH = {"true": "true", "false": "false"}
_MOST_DIGITS = 38
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_OF_PARAMETERS: dict[str, tuple[Kind, ...]] = {
    "string": ("text",),
    "integer": ("number",),
    "number": ("number",),
    "boolean": ("bool",),
    "date": ("date", "timestamp"),
}
CASTS = {ours: duck.upper() for duck, ours in PLAIN.items() if ours not in ("binary", "uuid")}


class Misfit(Exception):
    """A part of a request that cannot be carried out: which field of it, why, and what to do instead."""

    def __init__(self, field: str, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.field, self.problem, self.hint = field, problem, hint
        self.parts: Sequence[Misfit] = (self,)


class Misfits(Misfit):
    """All parts of a list that cannot be carried out; else it is as the first of them."""

    def __init__(self, parts: Sequence[Misfit]) -> None:
        super().__init__(parts[0].field, parts[0].problem, parts[0].hint)
        self.parts = parts


def each(field: str, items: Iterable[T], make: Callable[[T], R]) -> list[R]:
    """Return what is made of each part of a list; raises `Misfits` with every one of which nothing can be made."""
    made, wrong = [], []
    for number, item in enumerate(items):
        try:
            made.append(make(item))
        except Misfit as misfit:
            wrong.append(Misfit(f"{field}/{number}/{misfit.field}".rstrip("/"), misfit.problem, misfit.hint))
    if wrong:
        raise Misfits(wrong)
    return made


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a step can name: how SQL writes it, its type, and its name in a result that does not rename it.

    `made` is the expression of a computed one, in the SELECT that computes it.
    """

    sql: str
    type: str
    result: str
    made: str | None = None

    @property
    def kind(self) -> Kind:
        """What can be done with it."""
        return kind_of(self.type)


Scope = dict[str, Column]
"""The columns that can be named at one point of a step."""


def kind_of(type_: str) -> Kind:
    """Return what can be done with values of a type, in the words of OML."""
    if type_ == "utf8":
        return "text"
    if type_.startswith(("int", "uint", "float", "decimal")):
        return "number"
    if type_.startswith(("timestamp", "time")):
        return "timestamp" if type_.startswith("timestamp") else "time"
    simple: dict[str, Kind] = {"date": "date", "bool": "bool", "uuid": "uuid"}
    return simple.get(type_, "other")


def find(scope: Scope, name: str | None, field: str = "column") -> Column:
    """Return a column of that very name; one of several inputs can also be named `STEP.COLUMN`, or as it comes out."""
    if name is None:
        raise Misfit(field, "is missing")
    if name in scope:
        return scope[name]
    step, _, bare = name.partition(".")
    if bare in scope and scope[bare].sql == f"{quote(step)}.{quote(bare)}":
        return scope[bare]
    results = [column for column in scope.values() if column.result == name]
    if len(results) == 1:
        return results[0]
    raise Misfit(field, f"there is no column '{name[:200]}'", did_you_mean(name[:200], scope))


def literal(value: str, type_: str, field: str = "value") -> str:
    """Return a value as SQL has it for a column of a type."""
    kind = kind_of(type_)
    made = _LITERALS[kind](value.strip() if kind != "text" else value, type_) if kind in _LITERALS else None
    if made is None:
        raise Misfit(field, f"'{value[:80]}' is no value of the type {type_}", _EXAMPLES.get(kind))
    return made


def is_date(value: str) -> bool:
    """Tell whether a text is a day in ISO 8601."""
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)) and bool(dt.date.fromisoformat(value))
    except ValueError:
        return False


def _timestamp(value: str, type_: str) -> str | None:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    if "," in type_:
        return f"TIMESTAMPTZ '{moment.replace(tzinfo=moment.tzinfo or dt.UTC).isoformat(' ')}'"
    return f"TIMESTAMP '{moment.isoformat(' ')}'" if moment.tzinfo is None else None


def _time(value: str, _: str) -> str | None:
    try:
        return f"TIME '{dt.time.fromisoformat(value).isoformat()}'"
    except ValueError:
        return None


_LITERALS: dict[Kind, Callable[[str, str], str | None]] = {
    "number": lambda value, _: format(Decimal(value), "f") if _NUMBER.fullmatch(value) else None,
    "text": lambda value, _: text_literal(value),
    "date": lambda value, _: f"DATE '{value}'" if is_date(value) else None,
    "timestamp": _timestamp,
    "time": _time,
    "bool": lambda value, _: _TRUTH.get(value.lower()),
    "uuid": lambda value, _: f"CAST('{value}' AS UUID)" if _UUID.fullmatch(value) else None,
}
_EXAMPLES = {
    "number": "write it like 1234.5",
    "date": "write it like 2025-12-31",
    "timestamp": "write it like 2025-12-31, or 2025-12-31 18:30:00",
    "time": "write it like 18:30:00",
    "bool": "true or false",
}

CONDITIONS: dict[Operator, str] = {
    "=": "{operand} = {side}",
    "!=": "{operand} IS DISTINCT FROM {side}",
    "<": "{operand} < {side}",
    "<=": "{operand} <= {side}",
    ">": "{operand} > {side}",
    ">=": "{operand} >= {side}",
    "in": "{operand} IN ({sides})",
    "not in": "({operand} NOT IN ({sides}) OR {operand} IS NULL)",
    "between": "{operand} BETWEEN {both}",
    "contains": "contains({operand}, {side})",
    "starts with": "starts_with({operand}, {side})",
    "ends with": "ends_with({operand}, {side})",
    "is empty": "{operand} IS NULL",
    "is not empty": "{operand} IS NOT NULL",
}
EMPTINESS: dict[Operator, str] = {
    "is empty": "coalesce({operand}, '') = ''",
    "is not empty": "coalesce({operand}, '') <> ''",
}
"""Of texts."""

_TEXTUAL = ("contains", "starts with", "ends with")
_NUMBERS: tuple[Kind, ...] = ("number",)
_MOMENTS: tuple[Kind, ...] = ("date", "timestamp")
_TEXTS: tuple[Kind, ...] = ("text",)

RATIO = "{column} / nullif({other}, 0)"


class Form(NamedTuple):
    """One way in which a function is written: the kinds of its column, of none at all any, and the template."""

    function: Function
    kinds: tuple[Kind, ...]
    sql: str
    ending: str = ""
    """With what the value ends that asks for this form of `convert`."""

    def takes(self, kind: Kind) -> bool:
        """Tell whether its column may be of a kind."""
        return not self.kinds or kind in self.kinds

    def has(self, *places: str) -> bool:
        """Tell whether one of some places is in the template."""
        return any(f"{{{place}}}" in self.sql for place in places)

    def is_meant(self, value: str | None) -> bool:
        """Tell whether a value means this form: of those of `convert` it means one."""
        if self.function != "convert" or value is None:
            return True
        if value.startswith("date "):
            return self.has("formats" if OR in value else "format")
        return self.has("type") and self.ending == (COMMA if value.endswith(COMMA) else "")


COMMA, OR = " 1.234,5", " or "
DIGITS = 18
"""So many digits has a number of rows at most."""

SIGNS: dict[Function, str] = {"add": "+", "subtract": "-", "multiply": "*"}
_PARTS: tuple[Function, ...] = ("year", "quarter", "month", "week", "day")
_OF_TEXT: tuple[Function, ...] = ("lower", "upper", "trim", "length")
FORMS = (
    *(Form(name, _NUMBERS, f"{{column}} {sign} {{other}}") for name, sign in SIGNS.items()),
    *(Form(name, _NUMBERS, f"{{column}} {sign} {{typed}}") for name, sign in SIGNS.items()),
    *(Form(name, ("date",), f"{{column}} {SIGNS[name]} {{whole}}") for name in ("add", "subtract")),
    *(Form(name, _MOMENTS, f"{name}({{column}})") for name in _PARTS),
    *(Form(name, _TEXTS, f"{name}({{column}})") for name in _OF_TEXT),
    Form("divide", _NUMBERS, RATIO),
    Form("divide", _NUMBERS, "{column} / {divisor}"),
    Form("round", _NUMBERS, "round({column}, {whole})"),
    Form("absolute", _NUMBERS, "abs({column})"),
    Form("weekday", _MOMENTS, "isodow({column})"),
    Form("hour", ("timestamp", "time"), "hour({column})"),
    Form("date", _MOMENTS, "CAST({column} AS DATE)"),
    Form("days between", _MOMENTS, "date_diff('day', CAST({column} AS DATE), CAST({other} AS DATE))"),
    Form("days between", _MOMENTS, "date_diff('day', CAST({column} AS DATE), {day})"),
    Form("join text", (), "concat_ws({text}, {column}, {other})"),
    Form("join text", (), "concat({column}, {text})"),
    Form("replace", _TEXTS, "replace({column}, {found}, {new})"),
    Form("first characters", _TEXTS, "left({column}, {count})"),
    Form("first characters", _MOMENTS, "left(CAST({column} AS VARCHAR), {count})"),
    Form("if empty", _TEXTS, "coalesce(nullif({column}, ''), {other})"),
    Form("if empty", _TEXTS, "coalesce(nullif({column}, ''), {typed})"),
    Form("if empty", (), "coalesce({column}, {other})"),
    Form("if empty", (), "coalesce({column}, {typed})"),
    Form("minutes between", ("timestamp",), "date_sub('minute', {column}, {other})"),
    Form("convert", _TEXTS, "CAST(strptime({column}, {format}) AS DATE)"),
    Form("convert", _TEXTS, "CAST(strptime({column}, [{formats}]) AS DATE)"),
    Form(
        "convert",
        _TEXTS,
        # A text that is spelled otherwise gets a sign that no number has, so that the run fails instead of taking it.
        "CAST(CASE WHEN regexp_full_match({column}, '[+-]?([0-9]+|[0-9][0-9]?[0-9]?([.][0-9][0-9][0-9])+)(,[0-9]+)?')"
        " THEN replace(replace({column}, '.', ''), ',', '.') ELSE {column} || '?' END AS {type})",
        COMMA,
    ),
    Form("convert", (), "CAST({column} AS {type})"),
    Form("constant", (), "{typed}"),
)
DEFAULTS: dict[Function, str] = {"round": "0", "join text": "", "constant": ""}
"""The value of a function that is given none."""

AGGREGATES: dict[Aggregate, str] = {
    "count": "count({column})",
    "count distinct": "count(DISTINCT {column})",
    "sum": "sum({column})",
    "average": "avg({column})",
    "minimum": "min({column})",
    "maximum": "max({column})",
    "median": "median({column})",
}
ORDERED: dict[Aggregate, str] = {"sum": "sum({column} ORDER BY {column})", "average": "avg({column} ORDER BY {column})"}
"""Floats are added up in an order, so that two runs give the same."""

ROWS = "count(*)"
SHARE = "{column} / nullif({measure} OVER (), 0)"
FILTERED = "{measure} FILTER (WHERE {operand} = {side})"
CUT = "CAST(date_trunc({unit}, {column}) AS DATE)"
CUT_TEXT = "CAST(date_trunc({unit}, CAST({column} AS TIMESTAMP)) AS DATE)"


def conditions(filters: Sequence[Filter], scope: Scope, parameters: Mapping[str, Parameter]) -> list[str]:
    """Return what is joined by AND; the conditions of one `either` are one."""
    made = each("filters", filters, lambda given: condition(given, scope, parameters))
    parts: dict[tuple[str, int], list[str]] = {}
    for number, (given, text) in enumerate(zip(filters, made, strict=True)):
        key = ("alone", number) if given.either is None else ("either", given.either)
        parts.setdefault(key, []).append(text)
    return [texts[0] if len(texts) == 1 else f"({' OR '.join(texts)})" for texts in parts.values()]


def condition(given: Filter, scope: Scope, parameters: Mapping[str, Parameter]) -> str:
    """Return one condition. An empty value is not equal to anything, so `!=` and `not in` keep it.

    A day that is compared with a timestamp means the whole day.
    """
    column = find(scope, given.column)
    _count_sides(given)
    if given.operator in EMPTINESS:
        return _compared(column, given.operator, [])
    if given.other is not None:
        return _with_column(given, column, find(scope, given.other, "other"))
    if given.operator in _TEXTUAL and column.kind != "text":
        raise Misfit("operator", f"'{given.operator}' needs a text, and '{given.column}' is {column.type}")
    if given.parameter is not None:
        return _with_parameter(given, column, parameters)
    return _with_values(given, column)


def _with_column(given: Filter, column: Column, other: Column) -> str:
    if not are_comparable(column, other):
        raise Misfit("other", f"is {other.type}, which is not compared with {column.type}", "convert one of them")
    one, other = (_by_day(each) if column.kind != other.kind else each for each in (column, other))
    return _compared(one, given.operator, [other.sql])


def _with_values(given: Filter, column: Column) -> str:
    days = [is_date(value.strip()) for value in given.values] if column.kind == "timestamp" else []
    if any(days) and not all(days):
        raise Misfit("values", "some are whole days, and some have a time", "give all of them a time, or none")
    if any(days):
        column = _by_day(column)
    return _compared(column, given.operator, [literal(value, column.type, "values") for value in given.values])


def _count_sides(given: Filter) -> None:
    sides = [bool(given.values), given.other is not None, given.parameter is not None]
    wanted = 0 if given.operator in EMPTINESS else 1
    if sum(sides) != wanted:
        raise Misfit(
            "values", f"'{given.operator}' takes {'nothing' if wanted == 0 else 'values, a column or a parameter'}"
        )
    if not given.values:
        if given.operator in ("in", "not in", "between"):
            raise Misfit("operator", f"'{given.operator}' takes values")
        return
    if given.operator == "between" and len(given.values) != 2:
        raise Misfit("values", "'between' takes two values")
    if given.operator not in ("in", "not in", "between") and len(given.values) != 1:
        raise Misfit("values", f"'{given.operator}' takes one value", "for several there is 'in'")


def _with_parameter(given: Filter, column: Column, parameters: Mapping[str, Parameter]) -> str:
    known = parameters.get(given.parameter or "")
    if known is None:
        hint = did_you_mean(given.parameter or "", parameters)
        raise Misfit("parameter", f"there is no parameter '{given.parameter}'", hint)
    if column.kind not in _OF_PARAMETERS[known.type]:
        raise Misfit("parameter", f"is a {known.type}, and '{given.column}' is {column.type}")
    return _compared(_by_day(column), given.operator, [f"${{params.{known.name}}}"])


def _by_day(column: Column) -> Column:
    """Return the day of a timestamp; any other column as it is."""
    is_moment = column.kind == "timestamp"
    return Column(f"CAST({column.sql} AS DATE)", "date", column.result) if is_moment else column


def are_comparable(one: Column, other: Column) -> bool:
    """Tell whether two columns can be compared as they are."""
    moments = {"date", "timestamp"}
    alike = one.kind == other.kind or {one.kind, other.kind} == moments
    return alike and (one.kind != "other" or one.type == other.type)


def _compared(column: Column, operator: Operator, sides: list[str]) -> str:
    if sides and column.kind == "other" and column.type != "json":
        raise Misfit("operator", f"values of the type {column.type} are not compared")
    template = EMPTINESS.get(operator) if column.kind == "text" else None
    places = {"side": "".join(sides[:1]), "sides": ", ".join(sides), "both": " AND ".join(sides)}
    return (template or CONDITIONS[operator]).format(operand=column.sql, **places)


def computed(given: Computed, scope: Scope) -> str:
    """Return the expression of a computed column."""
    is_constant = given.function == "constant" and given.column is None
    column = Column("", "utf8", "") if is_constant else find(scope, given.column)
    value = given.value if given.value is not None else DEFAULTS.get(given.function)
    form = _form(given, column, value)
    filled = {place: _VALUES[place](given.function, value or "", column) for place in filter(form.has, _VALUES)}
    if given.other is not None:
        filled["other"] = _other(given, column, scope).sql
    if given.new and not form.has("new"):
        raise Misfit("new", f"'{given.function}' takes no new text")
    return form.sql.format(column=column.sql, new=text_literal(given.new or ""), **filled)


def _form(given: Computed, column: Column, value: str | None) -> Form:
    """Return how a function of a column and what else is given is written."""
    own = [form for form in FORMS if form.function == given.function]
    wanted = (given.other is not None, value is not None)
    forms = [form for form in own if (form.has("other"), form.has(*_VALUES)) == wanted and form.is_meant(value)]
    if not forms:
        raise Misfit("value", f"'{given.function}' takes {_taken(own)}")
    fitting = [form for form in forms if form.takes(column.kind)]
    if not fitting:
        _need(column, *forms[0].kinds)
    return fitting[0]


def _taken(forms: Sequence[Form]) -> str:
    """Return what a function takes beside its column."""
    places = {"a second column": ("other",), "a value": tuple(_VALUES)}
    takes = (what for what, names in places.items() if any(form.has(*names) for form in forms))
    return " or ".join(takes) or "nothing else"


def _need(column: Column, *kinds: Kind, field: str = "column") -> Column:
    if column.kind not in kinds:
        raise Misfit(
            field, f"'{column.result}' is {column.type}, and {' or '.join(kinds)} is needed", "convert it first"
        )
    return column


def _other(given: Computed, column: Column, scope: Scope) -> Column:
    other = find(scope, given.other, "other")
    if given.function != "join text" and not are_comparable(column, other):
        raise Misfit("other", f"'{given.other}' is {other.type}, and '{given.column}' is {column.type}")
    return other


def _whole(function: Function, value: str, least: int) -> str:
    if not re.fullmatch(r"-?\d{1,6}", value) or int(value) < least:
        raise Misfit("value", f"'{function}' takes a whole number from {least}")
    return str(int(value))


def _divisor(_: Function, value: str, column: Column) -> str:
    written = literal(value, column.type)
    if Decimal(written) == 0:
        raise Misfit("value", "a number is not divided by zero")
    return written


def _found(_: Function, value: str, __: Column) -> str:
    if not value:
        raise Misfit("value", "'replace' takes the text to find in 'value', and the new one in 'new'")
    return text_literal(value)


def _type(_: Function, value: str, __: Column) -> str:
    value = value.removesuffix(COMMA)
    exact = _DECIMAL.fullmatch(value)
    fits = exact and int(exact[2]) <= int(exact[1]) <= _MOST_DIGITS
    target = f"DECIMAL({exact[1]}, {exact[2]})" if exact and fits else CASTS.get(value)
    if target is None:
        hint = (
            f"bool, int64, float64, decimal(18,2), 'decimal(18,2){COMMA}', utf8, date, 'date %d.%m.%Y', timestamp[us]"
        )
        raise Misfit("value", f"'{value}' is no type", hint)
    return target


_VALUES: dict[str, Callable[[Function, str, Column], str]] = {
    "typed": lambda _, value, column: literal(value, column.type),
    "divisor": _divisor,
    "whole": lambda function, value, _: _whole(function, value, 0),
    "count": lambda function, value, _: _whole(function, value, 1),
    "day": lambda _, value, __: literal(value, "date"),
    "text": lambda _, value, __: text_literal(value),
    "found": _found,
    "format": lambda _, value, __: text_literal(value.removeprefix("date ")),
    "formats": lambda _, value, __: ", ".join(map(text_literal, value.removeprefix("date ").split(OR))),
    "type": _type,
}
"""The value of a function, by its place in a template."""


def grouped(given: Group, scope: Scope) -> str:
    """Return what rows are grouped by; a unit of a text that spells dates reads it as one, or fails the run."""
    column = find(scope, given.column)
    if given.unit is None:
        return column.sql
    template = CUT_TEXT if column.kind == "text" else CUT
    return template.format(unit=text_literal(given.unit), column=_need(column, *_MOMENTS, "text").sql)


def aggregate(function: Aggregate, column: Column | None) -> str:
    """Return an aggregate."""
    if column is None and function == "count":
        return ROWS
    if column is None:
        raise Misfit("column", "is missing")
    if function in ("sum", "average"):
        _need(column, "number")
    if function == "median":
        _need(column, "number", "date", "timestamp")
    template = ORDERED.get(function) if column.type.startswith("float") else None
    return (template or AGGREGATES[function]).format(column=column.sql)


def measured(given: Measure, scope: Scope) -> str:
    """Return a measure that is computed from rows."""
    for field, value in (("of", given.of), ("over", given.over)):
        if value is not None:
            raise Misfit(field, f"'{given.function}' is of a column, not of another measure", "name the column")
    return aggregate(given.function, None if given.column is None else find(scope, given.column))


def derived(given: Measure, measures: Scope) -> str:
    """Return a share or a ratio, from the measures of the groups."""
    if given.column is not None:
        raise Misfit("column", f"'{given.function}' is of other measures, not of a column", "name the measure in 'of'")
    if given.over is not None and given.function != "ratio":
        raise Misfit("over", f"'{given.function}' is of one measure")
    top = _need(find(measures, given.of, "of"), "number", field="of")
    if given.function == "ratio":
        below = _need(find(measures, given.over, "over"), "number", field="over")
        return RATIO.format(column=top.sql, other=below.sql)
    return SHARE.format(column=top.sql, measure=aggregate("sum", top))


def measure_name(function: Aggregate, column: str | None) -> str:
    """Return the name of a measure that was given none."""
    return f"{function.removeprefix('count ').removesuffix(' of total')}_{column}" if column else "rows"


def pivoted(given: Pivot, value: str, scope: Scope) -> str:
    """Return the measure of one value of a pivot."""
    column = find(scope, given.column)
    measure = aggregate(given.function, None if given.of is None else find(scope, given.of, "of"))
    return FILTERED.format(measure=measure, operand=column.sql, side=literal(value, column.type, "values"))


def unused(wanted: str, taken: Iterable[str]) -> str:
    """Return a name that nothing else has, case aside: this one, or with a number."""
    folded = {name.lower() for name in taken}
    numbers = (f"{wanted}_{number}" for number in range(2, len(folded) + 3))
    return next(name for name in (wanted, *numbers) if name.lower() not in folded)
