"""The parts of a request as SQL expressions: names, values typed by a column, conditions, computed columns, measures.

What does not fit raises `Misfit`, which says which field of the part is wrong; nothing is ever rewritten to fit.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeVar

from osiris.errors import did_you_mean
from osiris.sql.duck_types import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from osiris.chat.request import Computed, Filter, Group, Measure, Parameter, Pivot

    T = TypeVar("T")
    R = TypeVar("R")

Kind = Literal["number", "text", "date", "timestamp", "time", "bool", "uuid", "other"]

_WORDS = """
all alter analyse analyze and anti any array as asc asof asymmetric at authorization between binary both by case cast
check collate collation column concurrently constraint create cross cube current_catalog current_role current_schema
current_user default deferrable desc describe distinct do else end except false fetch for force foreign freeze from full
glob grant group having ilike in initially inner insert intersect interval into is isnull join lambda lateral leading
left like limit lock map natural not notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider
placing positional primary qualify references returning revoke right rollback rollup select semi session_user show
similar some summarize symmetric table tablesample then to trailing true union unique unpack unpivot using variadic
verbose when where window with
"""
_QUOTED = frozenset(_WORDS.split())
"""Words that SQL does not take as a name without quotes."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_TRUTH = {"true": "true", "false": "false"}
_MOST_DIGITS = 38
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_COMPARED = {"=", "<", "<=", ">", ">="}
_TEXTUAL = {"contains": "contains", "starts with": "starts_with", "ends with": "ends_with"}
_SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
_DATE_PARTS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "week",
    "day": "day",
    "weekday": "isodow",
}
_PLAIN_TEXT = {"lower": "lower", "upper": "upper", "trim": "trim", "length": "length"}
_AGGREGATES = {"sum": "sum", "average": "avg", "minimum": "min", "maximum": "max", "median": "median"}
_OF_PARAMETERS: dict[str, tuple[Kind, ...]] = {
    "string": ("text",),
    "integer": ("number",),
    "number": ("number",),
    "boolean": ("bool",),
    "date": ("date", "timestamp"),
}
_CASTS = {ours: duck.upper() for duck, ours in PLAIN.items() if ours not in ("binary", "uuid")}


class Misfit(Exception):
    """A part of a request that cannot be carried out: which field of it, why, and what to do instead."""

    def __init__(self, field: str, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.field, self.problem, self.hint = field, problem, hint


class Misfits(Exception):
    """All parts of a list that cannot be carried out."""

    def __init__(self, parts: Sequence[Misfit]) -> None:
        super().__init__(parts[0].problem)
        self.parts = tuple(parts)


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


def quote(name: str) -> str:
    """Return a name as SQL takes it, in quotation marks only where it must have them."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _QUOTED
    return name if plain else '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Return a text as SQL on one line; what would be a placeholder of OML is split."""
    parts = re.split(r"([\x00-\x1f\x7f\u0085\u2028\u2029])|(?<=\$)(?=\{)|(?<=\{)(?=\{)", text)
    written = [
        f"chr({ord(part)})" if _CONTROL.fullmatch(part) else "'" + part.replace("'", "''") + "'"
        for part in parts
        if part
    ]
    return " || ".join(written) or "''"


def find(scope: Scope, name: str | None, field: str = "column") -> Column:
    """Return a column of that very name; one of several inputs can also be named `STEP.COLUMN`."""
    if name is None:
        raise Misfit(field, "is missing")
    if name in scope:
        return scope[name]
    step, _, bare = name.partition(".")
    if bare in scope and scope[bare].sql == f"{quote(step)}.{quote(bare)}":
        return scope[bare]
    raise Misfit(field, f"there is no column '{name[:200]}'", did_you_mean(name[:200], scope))


def literal(value: str, type_: str, field: str = "value") -> str:
    """Return a value as SQL has it for a column of a type."""
    kind = kind_of(type_)
    made = _LITERALS[kind](value.strip() if kind != "text" else value, type_) if kind in _LITERALS else None
    if made is None:
        raise Misfit(field, f"'{value[:80]}' is no value of the type {type_}", _EXAMPLES.get(kind))
    return made


def _number(value: str, _: str) -> str | None:
    return format(Decimal(value), "f") if _NUMBER.fullmatch(value) else None


def _date(value: str, _: str) -> str | None:
    return f"DATE '{value}'" if is_date(value) else None


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


def _uuid(value: str, _: str) -> str | None:
    return (
        f"CAST('{value}' AS UUID)"
        if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value)
        else None
    )


_LITERALS = {
    "number": _number,
    "text": lambda value, _: text_literal(value),
    "date": _date,
    "timestamp": _timestamp,
    "time": _time,
    "bool": lambda value, _: _TRUTH.get(value.lower()),
    "uuid": _uuid,
}
_EXAMPLES = {
    "number": "write it like 1234.5",
    "date": "write it like 2025-12-31",
    "timestamp": "write it like 2025-12-31, or 2025-12-31 18:30:00",
    "time": "write it like 18:30:00",
    "bool": "true or false",
}


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
    if given.operator in ("is empty", "is not empty"):
        return _emptiness(column, is_empty=given.operator == "is empty")
    if given.other is not None:
        other = find(scope, given.other, "other")
        if not are_comparable(column, other):
            raise Misfit("other", f"is {other.type}, which is not compared with {column.type}", "convert one of them")
        one, other = (_by_day(each) if column.kind != other.kind else each for each in (column, other))
        return _compared(one, given.operator, [other.sql])
    if given.operator in _TEXTUAL and column.kind != "text":
        raise Misfit("operator", f"'{given.operator}' needs a text, and '{given.column}' is {column.type}")
    if given.parameter is not None:
        return _with_parameter(given, column, parameters)
    days = [is_date(value.strip()) for value in given.values] if column.kind == "timestamp" else []
    if any(days) and not all(days):
        raise Misfit("values", "some are whole days, and some have a time", "give all of them a time, or none")
    if any(days):
        column = _by_day(column)
    return _compared(column, given.operator, [literal(value, column.type, "values") for value in given.values])


def _count_sides(given: Filter) -> None:
    sides = [bool(given.values), given.other is not None, given.parameter is not None]
    wanted = 0 if given.operator in ("is empty", "is not empty") else 1
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


def _emptiness(column: Column, *, is_empty: bool) -> str:
    if column.kind == "text":
        return f"coalesce({column.sql}, '') {'=' if is_empty else '<>'} ''"
    return f"{column.sql} IS {'' if is_empty else 'NOT '}NULL"


def _compared(column: Column, operator: str, sides: list[str]) -> str:
    sql = column.sql
    if column.kind == "other" and column.type != "json":
        raise Misfit("operator", f"values of the type {column.type} are not compared")
    if operator in _COMPARED:
        return f"{sql} {operator} {sides[0]}"
    if operator == "!=":
        return f"{sql} IS DISTINCT FROM {sides[0]}"
    if operator == "in":
        return f"{sql} IN ({', '.join(sides)})"
    if operator == "not in":
        return f"({sql} NOT IN ({', '.join(sides)}) OR {sql} IS NULL)"
    if operator == "between":
        return f"{sql} BETWEEN {sides[0]} AND {sides[1]}"
    return f"{_TEXTUAL[operator]}({sql}, {sides[0]})"


def computed(given: Computed, scope: Scope) -> str:
    """Return the expression of a computed column."""
    function = given.function
    if function == "constant":
        return literal(given.value or "", find(scope, given.column).type if given.column else "utf8")
    column = find(scope, given.column)
    if function in _SIGNS or function == "divide":
        return _arithmetic(given, column, scope)
    if function in _FUNCTIONS:
        return _FUNCTIONS[function](given, column, scope)
    if function in _PLAIN_TEXT:
        return f"{_PLAIN_TEXT[function]}({_need(column, 'text').sql})"
    return f"{_DATE_PARTS[function]}({_moment(column)})"


def _need(column: Column, *kinds: Kind, field: str = "column") -> Column:
    if column.kind not in kinds:
        raise Misfit(
            field, f"'{column.result}' is {column.type}, and {' or '.join(kinds)} is needed", "convert it first"
        )
    return column


def _moment(column: Column) -> str:
    return _need(column, "date", "timestamp").sql


def _arithmetic(given: Computed, column: Column, scope: Scope) -> str:
    days = column.kind == "date" and given.function in ("add", "subtract") and given.other is None
    if days and re.fullmatch(r"\d+", given.value or ""):
        return f"{column.sql} {_SIGNS[given.function]} {int(given.value or '')}"
    _need(column, "number")
    side = _second(given, column, scope)
    if given.function != "divide":
        return f"{column.sql} {_SIGNS[given.function]} {side}"
    if given.other is None and Decimal(side) == 0:
        raise Misfit("value", "a number is not divided by zero")
    return f"{column.sql} / {side}" if given.other is None else f"{column.sql} / nullif({side}, 0)"


def _second(given: Computed, column: Column, scope: Scope) -> str:
    """Return the other column, or the value, of which there must be one."""
    if (given.other is None) == (given.value is None):
        raise Misfit("value", f"'{given.function}' takes a second column or a value")
    if given.other is None:
        return literal(given.value or "", column.type)
    other = find(scope, given.other, "other")
    if not are_comparable(column, other):
        raise Misfit("other", f"'{given.other}' is {other.type}, and '{given.column}' is {column.type}")
    return other.sql


def _whole(given: Computed, least: int, default: str | None = None) -> str:
    value = given.value if given.value is not None else default
    if value is None or not re.fullmatch(r"-?\d{1,4}", value) or int(value) < least:
        raise Misfit("value", f"'{given.function}' takes a whole number from {least}")
    return str(int(value))


def _rounded(given: Computed, column: Column, _: Scope) -> str:
    return f"round({_need(column, 'number').sql}, {_whole(given, 0, '0')})"


def _day_difference(given: Computed, column: Column, scope: Scope) -> str:
    start = f"CAST({_moment(column)} AS DATE)"
    if given.other is None:
        return f"date_diff('day', {start}, {literal(given.value or '', 'date')})"
    return f"date_diff('day', {start}, CAST({_moment(find(scope, given.other, 'other'))} AS DATE))"


def _joined_text(given: Computed, column: Column, scope: Scope) -> str:
    if given.other is None:
        return f"concat({column.sql}, {text_literal(given.value or '')})"
    return f"concat_ws({text_literal(given.value or '')}, {column.sql}, {find(scope, given.other, 'other').sql})"


def _replaced(given: Computed, column: Column, _: Scope) -> str:
    if not given.value:
        raise Misfit("value", "'replace' takes the text to find in 'value', and the new one in 'new'")
    return f"replace({_need(column, 'text').sql}, {text_literal(given.value)}, {text_literal(given.new or '')})"


def _if_empty(given: Computed, column: Column, scope: Scope) -> str:
    held = f"nullif({column.sql}, '')" if column.kind == "text" else column.sql
    return f"coalesce({held}, {_second(given, column, scope)})"


def _converted(given: Computed, column: Column, _: Scope) -> str:
    """Return a cast to a type; `date %d.%m.%Y` reads a text by that format."""
    wanted, _space, spelled = (given.value or "").partition(" ")
    if wanted == "date" and spelled:
        return f"CAST(strptime({_need(column, 'text').sql}, {text_literal(spelled)}) AS DATE)"
    exact = _DECIMAL.fullmatch(wanted)
    fits = exact and int(exact[2]) <= int(exact[1]) <= _MOST_DIGITS
    target = f"DECIMAL({exact[1]}, {exact[2]})" if exact and fits else _CASTS.get(given.value or "")
    if target is None:
        hint = "bool, int64, float64, decimal(18,2), utf8, date, 'date %d.%m.%Y', timestamp[us]"
        raise Misfit("value", f"'{given.value}' is no type", hint)
    return f"CAST({column.sql} AS {target})"


_FUNCTIONS = {
    "round": _rounded,
    "absolute": lambda _, column, __: f"abs({_need(column, 'number').sql})",
    "hour": lambda _, column, __: f"hour({_need(column, 'timestamp', 'time').sql})",
    "date": lambda _, column, __: f"CAST({_moment(column)} AS DATE)",
    "days between": _day_difference,
    "join text": _joined_text,
    "replace": _replaced,
    "first characters": lambda given, column, _: f"left({_need(column, 'text').sql}, {_whole(given, 1)})",
    "if empty": _if_empty,
    "convert": _converted,
}


def grouped(given: Group, scope: Scope) -> str:
    """Return what rows are grouped by; a unit of a text that spells dates reads it as one, or fails the run."""
    column = find(scope, given.column)
    if given.unit is None:
        return column.sql
    if column.kind == "text":
        return f"CAST(date_trunc('{given.unit}', CAST({column.sql} AS TIMESTAMP)) AS DATE)"
    return f"CAST(date_trunc('{given.unit}', {_moment(column)}) AS DATE)"


def aggregate(function: str, column: Column | None) -> str:
    """Return an aggregate; floats are added up in an order, so that two runs give the same."""
    if function in ("count", "count distinct"):
        if column is None and function == "count distinct":
            raise Misfit("column", "is missing")
        return f"count({'' if function == 'count' else 'DISTINCT '}{column.sql})" if column else "count(*)"
    if column is None:
        raise Misfit("column", "is missing")
    if function in ("sum", "average"):
        _need(column, "number")
    if function == "median":
        _need(column, "number", "date", "timestamp")
    order = f" ORDER BY {column.sql}" if column.type.startswith("float") and function in ("sum", "average") else ""
    return f"{_AGGREGATES[function]}({column.sql}{order})"


def measured(given: Measure, scope: Scope) -> str:
    """Return a measure that is computed from rows."""
    return aggregate(given.function, None if given.column is None else find(scope, given.column))


def derived(given: Measure, measures: Scope) -> str:
    """Return a share or a ratio, from the measures of the groups."""
    top = _need(find(measures, given.of, "of"), "number", field="of")
    if given.function == "ratio":
        below = _need(find(measures, given.over, "over"), "number", field="over")
        return f"{top.sql} / nullif({below.sql}, 0)"
    return f"{top.sql} / nullif({aggregate('sum', top)} OVER (), 0)"


def pivoted(given: Pivot, value: str, scope: Scope) -> str:
    """Return the measure of one value of a pivot."""
    column = find(scope, given.column)
    measure = aggregate(given.function, None if given.of is None else find(scope, given.of, "of"))
    return f"{measure} FILTER (WHERE {column.sql} = {literal(value, column.type, 'values')})"


def unused(wanted: str, taken: Iterable[str]) -> str:
    """Return a name that nothing else has, case aside: this one, or with a number."""
    folded = {name.lower() for name in taken}
    numbers = (f"{wanted}_{number}" for number in range(2, len(folded) + 3))
    return next(name for name in (wanted, *numbers) if name.lower() not in folded)
