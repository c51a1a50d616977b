"""Parts of a request as SQL expressions: names, typed values, conditions, computed columns, measures.

An invalid part raises `Misfit`, which names the wrong field; nothing is rewritten to fit.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from osiris.chat.sql_text import quote, text_literal
from osiris.errors import did_you_mean

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
_PARAMETER_KINDS: dict[str, tuple[Kind, ...]] = {
    "string": ("text",),
    "integer": ("number",),
    "number": ("number",),
    "boolean": ("bool",),
    "date": ("date", "timestamp"),
}


@cache
def cast_types() -> dict[str, str]:
    """Return the SQL name of each type that a column can be converted to."""
    from osiris.sql.binding.duck_types import PLAIN  # the guide's first question does without it

    return {ours: duck.upper() for duck, ours in PLAIN.items() if ours not in ("binary", "uuid")}


class Misfit(Exception):
    """A part of a request that cannot be carried out: its field, the problem, and a hint."""

    def __init__(self, field: str, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.field, self.problem, self.hint = field, problem, hint
        self.parts: Sequence[Misfit] = (self,)


class Misfits(Misfit):
    """All invalid parts of a list; otherwise like the first of them."""

    def __init__(self, parts: Sequence[Misfit]) -> None:
        super().__init__(parts[0].field, parts[0].problem, parts[0].hint)
        self.parts = parts


def each(field: str, items: Iterable[T], make: Callable[[T], R]) -> list[R]:
    """Return the results of `make` for all items; raises `Misfits` with every item that fails."""
    values, wrong = [], []
    for number, item in enumerate(items):
        try:
            values.append(make(item))
        except Misfit as misfit:
            wrong.append(Misfit(f"{field}/{number}/{misfit.field}".rstrip("/"), misfit.problem, misfit.hint))
    if wrong:
        raise Misfits(wrong)
    return values


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a step can name: its SQL, its type, and its default name in a result.

    `made` is the expression of a computed one, in the SELECT that computes it.
    """

    sql: str
    type: str
    result: str
    made: str | None = None

    @property
    def kind(self) -> Kind:
        """Kind of its values, which decides the possible operations."""
        return kind_of(self.type)


Scope = dict[str, Column]
"""The columns available at one point of a step."""


def kind_of(type_: str) -> Kind:
    """Return the kind of values of an OML type."""
    if type_ == "utf8":
        return "text"
    if type_.startswith(("int", "uint", "float", "decimal")):
        return "number"
    if type_.startswith(("timestamp", "time")):
        return "timestamp" if type_.startswith("timestamp") else "time"
    simple: dict[str, Kind] = {"date": "date", "bool": "bool", "uuid": "uuid"}
    return simple.get(type_, "other")


def find(scope: Scope, name: str | None, field: str = "column") -> Column:
    """Return the column of that name; with several inputs also by `STEP.COLUMN`, or by its name in the result."""
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
    """Return a value as a SQL literal for a column of a type."""
    kind = kind_of(type_)
    sql = _LITERALS[kind](value.strip() if kind != "text" else value, type_) if kind in _LITERALS else None
    if sql is None:
        raise Misfit(field, f"'{value[:80]}' is no value of the type {type_}", _EXAMPLES.get(kind))
    return sql


def is_date(value: str) -> bool:
    """Tell whether a text is an ISO 8601 date."""
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
"""Variants for text."""

_TEXTUAL = ("contains", "starts with", "ends with")
_NUMBERS: tuple[Kind, ...] = ("number",)
_MOMENTS: tuple[Kind, ...] = ("date", "timestamp")
_TEXTS: tuple[Kind, ...] = ("text",)

RATIO = "{column} / nullif({other}, 0)"


class Form(NamedTuple):
    """One SQL template of a function: the kinds of its column (empty: any), and the template."""

    function: Function
    kinds: tuple[Kind, ...]
    sql: str
    ending: str = ""
    """Suffix of the value that selects this form of `convert`."""

    def takes(self, kind: Kind) -> bool:
        """Tell whether the form accepts a column of a kind."""
        return not self.kinds or kind in self.kinds

    def has(self, *places: str) -> bool:
        """Tell whether the template has one of some placeholders."""
        return any(f"{{{place}}}" in self.sql for place in places)

    def is_meant(self, value: str | None) -> bool:
        """Tell whether a value selects this form: for `convert`, it selects one of several."""
        if self.function != "convert" or value is None:
            return True
        if value.startswith("date "):
            return self.has("formats" if OR in value else "format")
        return self.has("type") and self.ending == (COMMA if value.endswith(COMMA) else "")


COMMA, OR = " 1.234,5", " or "
DIGITS = 18
"""Most digits of a row count."""

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
    Form("replace", _TEXTS, "replace({column}, {search}, {new})"),
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
        # Other text gets a character that no number has, so that the run fails instead of misreading it.
        "CAST(CASE WHEN regexp_full_match({column}, '[+-]?([0-9]+|[0-9][0-9]?[0-9]?([.][0-9][0-9][0-9])+)(,[0-9]+)?')"
        " THEN replace(replace({column}, '.', ''), ',', '.') ELSE {column} || '?' END AS {type})",
        COMMA,
    ),
    Form("convert", (), "CAST({column} AS {type})"),
    Form("constant", (), "{typed}"),
)
DEFAULTS: dict[Function, str] = {"round": "0", "join text": "", "constant": ""}
"""Default values of functions."""

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
"""Floats are summed in a fixed order, so that two runs give the same result."""

ROWS = "count(*)"
SHARE = "{column} / nullif({measure} OVER (), 0)"
FILTERED = "{measure} FILTER (WHERE {operand} = {side})"
CUT = "CAST(date_trunc({unit}, {column}) AS DATE)"
CUT_TEXT = "CAST(date_trunc({unit}, CAST({column} AS TIMESTAMP)) AS DATE)"


def conditions(filters: Sequence[Filter], scope: Scope, parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the conditions to be joined by AND; those of one `either` are combined by OR."""
    clauses = each("filters", filters, lambda spec: condition(spec, scope, parameters))
    parts: dict[tuple[str, int], list[str]] = {}
    for number, (spec, text) in enumerate(zip(filters, clauses, strict=True)):
        key = ("alone", number) if spec.either is None else ("either", spec.either)
        parts.setdefault(key, []).append(text)
    return [texts[0] if len(texts) == 1 else f"({' OR '.join(texts)})" for texts in parts.values()]


def condition(spec: Filter, scope: Scope, parameters: Mapping[str, Parameter]) -> str:
    """Return one condition. NULL is unequal to anything, so `!=` and `not in` keep it.

    A date compared with a timestamp means the whole day.
    """
    column = find(scope, spec.column)
    _count_sides(spec)
    if spec.operator in EMPTINESS:
        return _compared(column, spec.operator, [])
    if spec.other is not None:
        return _with_column(spec, column, find(scope, spec.other, "other"))
    if spec.operator in _TEXTUAL and column.kind != "text":
        raise Misfit("operator", f"'{spec.operator}' needs a text, and '{spec.column}' is {column.type}")
    if spec.parameter is not None:
        return _with_parameter(spec, column, parameters)
    return _with_values(spec, column)


def _with_column(spec: Filter, column: Column, other: Column) -> str:
    if not are_comparable(column, other):
        raise Misfit("other", f"is {other.type}, which is not compared with {column.type}", "convert one of them")
    one, other = (_by_day(each) if column.kind != other.kind else each for each in (column, other))
    return _compared(one, spec.operator, [other.sql])


def _with_values(spec: Filter, column: Column) -> str:
    days = [is_date(value.strip()) for value in spec.values] if column.kind == "timestamp" else []
    if any(days) and not all(days):
        raise Misfit("values", "some are whole days, and some have a time", "give all of them a time, or none")
    if any(days):
        column = _by_day(column)
    return _compared(column, spec.operator, [literal(value, column.type, "values") for value in spec.values])


def _count_sides(spec: Filter) -> None:
    sides = [bool(spec.values), spec.other is not None, spec.parameter is not None]
    expected = 0 if spec.operator in EMPTINESS else 1
    if sum(sides) != expected:
        raise Misfit(
            "values", f"'{spec.operator}' takes {'nothing' if expected == 0 else 'values, a column or a parameter'}"
        )
    if not spec.values:
        if spec.operator in ("in", "not in", "between"):
            raise Misfit("operator", f"'{spec.operator}' takes values")
        return
    if spec.operator == "between" and len(spec.values) != 2:
        raise Misfit("values", "'between' takes two values")
    if spec.operator not in ("in", "not in", "between") and len(spec.values) != 1:
        raise Misfit("values", f"'{spec.operator}' takes one value", "for several there is 'in'")


def _with_parameter(spec: Filter, column: Column, parameters: Mapping[str, Parameter]) -> str:
    parameter = parameters.get(spec.parameter or "")
    if parameter is None:
        hint = did_you_mean(spec.parameter or "", parameters)
        raise Misfit("parameter", f"there is no parameter '{spec.parameter}'", hint)
    if column.kind not in _PARAMETER_KINDS[parameter.type]:
        raise Misfit("parameter", f"is a {parameter.type}, and '{spec.column}' is {column.type}")
    return _compared(_by_day(column), spec.operator, [f"${{params.{parameter.name}}}"])


def _by_day(column: Column) -> Column:
    """Return the date of a timestamp; any other column unchanged."""
    is_moment = column.kind == "timestamp"
    return Column(f"CAST({column.sql} AS DATE)", "date", column.result) if is_moment else column


def are_comparable(one: Column, other: Column) -> bool:
    """Tell whether two columns can be compared without conversion."""
    moments = {"date", "timestamp"}
    is_same_kind = one.kind == other.kind or {one.kind, other.kind} == moments
    return is_same_kind and (one.kind != "other" or one.type == other.type)


def _compared(column: Column, operator: Operator, sides: list[str]) -> str:
    if sides and column.kind == "other" and column.type != "json":
        raise Misfit("operator", f"values of the type {column.type} are not compared")
    template = EMPTINESS.get(operator) if column.kind == "text" else None
    places = {"side": "".join(sides[:1]), "sides": ", ".join(sides), "both": " AND ".join(sides)}
    return (template or CONDITIONS[operator]).format(operand=column.sql, **places)


def computed(spec: Computed, scope: Scope) -> str:
    """Return the expression of a computed column."""
    is_constant = spec.function == "constant" and spec.column is None
    column = Column("", "utf8", "") if is_constant else find(scope, spec.column)
    value = spec.value if spec.value is not None else DEFAULTS.get(spec.function)
    form = _form(spec, column, value)
    filled = {place: _VALUES[place](spec.function, value or "", column) for place in filter(form.has, _VALUES)}
    if spec.other is not None:
        filled["other"] = _other(spec, column, scope).sql
    if spec.new and not form.has("new"):
        raise Misfit("new", f"'{spec.function}' takes no new text")
    return form.sql.format(column=column.sql, new=text_literal(spec.new or ""), **filled)


def _form(spec: Computed, column: Column, value: str | None) -> Form:
    """Return the form of a function for a column and its other arguments."""
    candidates = [form for form in FORMS if form.function == spec.function]
    shape = (spec.other is not None, value is not None)
    forms = [form for form in candidates if (form.has("other"), form.has(*_VALUES)) == shape and form.is_meant(value)]
    if not forms:
        raise Misfit("value", f"'{spec.function}' takes {_accepted(candidates)}")
    fitting = [form for form in forms if form.takes(column.kind)]
    if not fitting:
        _need(column, *forms[0].kinds)
    return fitting[0]


def _accepted(forms: Sequence[Form]) -> str:
    """Return what a function takes besides its column."""
    places = {"a second column": ("other",), "a value": tuple(_VALUES)}
    takes = (what for what, names in places.items() if any(form.has(*names) for form in forms))
    return " or ".join(takes) or "nothing else"


def _need(column: Column, *kinds: Kind, field: str = "column") -> Column:
    if column.kind not in kinds:
        raise Misfit(
            field, f"'{column.result}' is {column.type}, and {' or '.join(kinds)} is needed", "convert it first"
        )
    return column


def _other(spec: Computed, column: Column, scope: Scope) -> Column:
    other = find(scope, spec.other, "other")
    if spec.function != "join text" and not are_comparable(column, other):
        raise Misfit("other", f"'{spec.other}' is {other.type}, and '{spec.column}' is {column.type}")
    return other


def _whole(function: Function, value: str, least: int) -> str:
    if not re.fullmatch(r"-?\d{1,6}", value) or int(value) < least:
        raise Misfit("value", f"'{function}' takes a whole number from {least}")
    return str(int(value))


def _divisor(_: Function, value: str, column: Column) -> str:
    sql = literal(value, column.type)
    if Decimal(sql) == 0:
        raise Misfit("value", "a number is not divided by zero")
    return sql


def _search_text(_: Function, value: str, __: Column) -> str:
    if not value:
        raise Misfit("value", "'replace' takes the text to find in 'value', and the new one in 'new'")
    return text_literal(value)


def _type(_: Function, value: str, __: Column) -> str:
    value = value.removesuffix(COMMA)
    exact = _DECIMAL.fullmatch(value)
    is_valid = exact and int(exact[2]) <= int(exact[1]) <= _MOST_DIGITS
    target = f"DECIMAL({exact[1]}, {exact[2]})" if exact and is_valid else cast_types().get(value)
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
    "search": _search_text,
    "format": lambda _, value, __: text_literal(value.removeprefix("date ")),
    "formats": lambda _, value, __: ", ".join(map(text_literal, value.removeprefix("date ").split(OR))),
    "type": _type,
}
"""Renders the value of a function, by placeholder."""


def grouped(spec: Group, scope: Scope) -> str:
    """Return a grouping expression; with a unit, text is parsed as a date, or the run fails."""
    column = find(scope, spec.column)
    if spec.unit is None:
        return column.sql
    template = CUT_TEXT if column.kind == "text" else CUT
    return template.format(unit=text_literal(spec.unit), column=_need(column, *_MOMENTS, "text").sql)


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


def measured(spec: Measure, scope: Scope) -> str:
    """Return a measure computed from rows."""
    for field, value in (("of", spec.of), ("over", spec.over)):
        if value is not None:
            raise Misfit(field, f"'{spec.function}' is of a column, not of another measure", "name the column")
    return aggregate(spec.function, None if spec.column is None else find(scope, spec.column))


def derived(spec: Measure, measures: Scope) -> str:
    """Return a share or a ratio of the groups' measures."""
    if spec.column is not None:
        raise Misfit("column", f"'{spec.function}' is of other measures, not of a column", "name the measure in 'of'")
    if spec.over is not None and spec.function != "ratio":
        raise Misfit("over", f"'{spec.function}' is of one measure")
    top = _need(find(measures, spec.of, "of"), "number", field="of")
    if spec.function == "ratio":
        below = _need(find(measures, spec.over, "over"), "number", field="over")
        return RATIO.format(column=top.sql, other=below.sql)
    return SHARE.format(column=top.sql, measure=aggregate("sum", top))


def measure_name(function: Aggregate, column: str | None) -> str:
    """Return the default name of a measure."""
    return f"{function.removeprefix('count ').removesuffix(' of total')}_{column}" if column else "rows"


def pivoted(spec: Pivot, value: str, scope: Scope) -> str:
    """Return the measure for one value of a pivot."""
    column = find(scope, spec.column)
    measure = aggregate(spec.function, None if spec.of is None else find(scope, spec.of, "of"))
    return FILTERED.format(measure=measure, operand=column.sql, side=literal(value, column.type, "values"))


def unused(preferred: str, taken: Iterable[str]) -> str:
    """Return a name that is unique case-insensitively: the preferred one, or with a number."""
    folded = {name.lower() for name in taken}
    numbers = (f"{preferred}_{number}" for number in range(2, len(folded) + 3))
    return next(name for name in (preferred, *numbers) if name.lower() not in folded)
