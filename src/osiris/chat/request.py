"""The request: what a pipeline should do, as a typed value that the guide, flags, a model or an agent fills in.

Expressions are flat: a computed column names columns, never another expression. Steps and outputs refer to sources and
to earlier steps by name. Column names refer to the input at that point: after `joins` the columns of both sides (of two
columns with one name, the joined one is `STEP.COLUMN`, and `STEP_2.COLUMN` for a second join of that step), after
`compute` also the new ones, after `group` only groups and measures. A column `STEP.COLUMN` without an alias becomes
`STEP_COLUMN`; the keys of joined inputs are output only if chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["year", "quarter", "month", "week", "day"]

Comparison = Literal["=", "!=", "<", "<=", ">", ">="]
TextOperator = Literal["contains", "starts with", "ends with"]
Emptiness = Literal["is empty", "is not empty"]
Operator = Literal[Comparison, "in", "not in", "between", TextOperator, Emptiness]

OfNumbers = Literal["add", "subtract", "multiply", "divide", "round", "absolute"]
PartOfDate = Literal["year", "quarter", "month", "week", "day"]
OfMoments = Literal[PartOfDate, "weekday", "hour", "date", "days between", "minutes between"]
OfTexts = Literal["lower", "upper", "trim", "join text", "length", "replace", "first characters"]
Function = Literal[OfNumbers, OfMoments, OfTexts, "if empty", "constant", "convert"]

Aggregate = Literal[
    "count", "count distinct", "sum", "average", "minimum", "maximum", "median", "share of total", "ratio"
]

PivotFunction = Literal["count", "sum", "average", "minimum", "maximum"]

Mode = Literal["append", "replace", "upsert"]
MODES: tuple[Mode, ...] = ("append", "replace", "upsert")


@dataclass(frozen=True, slots=True)
class Typed:
    """A column and its OML type (`int64`, `decimal(18,2)`, `date`)."""

    column: str
    type: str


@dataclass(frozen=True, slots=True)
class Source:
    """A relation to read, by its id among the choices; all of its columns, or these.

    The options are those of its extractor, where they differ from the defaults. Steps refer to it by `name`, by default
    the relation's name among the choices.
    """

    relation: str
    columns: tuple[str, ...] | None = None
    encoding: str | None = None
    dtype: tuple[Typed, ...] = ()
    on_reject: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of join columns: one of the rows so far, one of the joined input."""

    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Join:
    """Another source or step, joined by key; `unmatched` rows of the left side are kept or dropped."""

    input: str
    on: tuple[Match, ...]
    unmatched: Literal["keep", "drop"] = "drop"


@dataclass(frozen=True, slots=True)
class Computed:
    """A new column: a function of one or two columns, or of a column and a value (text, typed by the column).

    Parts of a date are numbers (month 1 to 12, weekday 1, Monday, to 7); a `Group` truncates dates instead. For `join
    text` the value is the separator, for `replace` the text to find, and `new` its replacement; for `convert` a type,
    `date %d.%m.%Y` for the format of a text (`date %d.%m.%Y or %Y-%m-%d` for several), or `decimal(18,2) 1.234,5` for
    numbers in that notation. `days between` counts from the column to the other one, or to a date; `minutes between`
    counts whole minutes. Division by zero gives NULL.
    """

    name: str
    function: Function
    column: str | None = None
    other: str | None = None
    value: str | None = None
    new: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on rows. The right side is values (text, typed by the column), another column, or a parameter.

    Conditions with the same `either` number are joined by OR; all others by AND. NULL is unequal to any value, so `!=`
    and `not in` keep it. `is empty` matches NULL and empty text. A date compared with a timestamp means the whole day.
    """

    column: str
    operator: Operator
    values: tuple[str, ...] = ()
    other: str | None = None
    parameter: str | None = None
    either: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A grouping column; for a date or timestamp, the unit it is truncated to. `name` is that of the output."""

    column: str
    unit: Unit | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of each group.

    `share of total` is of another measure (`of`), over all groups; `ratio` is `of` divided by `over`, two measures.
    """

    name: str
    function: Aggregate
    column: str | None = None
    of: str | None = None
    over: str | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """A column by which rows are sorted."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Pick:
    """The first `rows` rows of each group of `per`, in an order: the latest order of each customer, the top three."""

    per: tuple[str, ...]
    order: tuple[Sort, ...]
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Pivot:
    """Values of a column that become columns, each with a measure; the other groups stay rows."""

    column: str
    values: tuple[str, ...]
    function: PivotFunction
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """An output column, optionally renamed."""

    column: str
    name: str | None = None

    @property
    def label(self) -> str:
        """Its name in the output."""
        return self.name or self.column


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a step's rows, as in OML: `row_count`, `not_null`, `unique`, `accepted_values`, `range`."""

    kind: str
    columns: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    minimum: str | None = None
    maximum: str | None = None

    @property
    def bounds(self) -> dict[str, str]:
        """Return the given bounds, by their names in OML."""
        return {key: each for key, each in (("min", self.minimum), ("max", self.maximum)) if each is not None}


@dataclass(frozen=True, slots=True)
class Step:
    """Operations on rows, in this order: joins, compute, filters, group and measures (or pick, or pivot), columns,
    sort, limit. With `sql`, one SELECT over the names in `inputs`, nothing else is given.
    """

    name: str
    input: str | None = None
    joins: tuple[Join, ...] = ()
    compute: tuple[Computed, ...] = ()
    filters: tuple[Filter, ...] = ()
    group: tuple[Group, ...] = ()
    measures: tuple[Measure, ...] = ()
    pick: Pick | None = None
    pivot: Pivot | None = None
    columns: tuple[Chosen, ...] = ()
    sort: tuple[Sort, ...] = ()
    limit: int | None = None
    sql: str | None = None
    inputs: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def is_grouped(self) -> bool:
        """Tell whether the output is groups rather than rows."""
        return bool(self.group or self.measures or self.pivot)

    @property
    def reads(self) -> list[str]:
        """Return the names of the sources and steps that it reads, each once."""
        names = [*([self.input] if self.input else ()), *(join.input for join in self.joins), *self.inputs]
        return list(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Output:
    """The target for the rows of a source or step: a path, or a table of a connection.

    `mode` is None for files, which are always replaced; `key` identifies a row for upsert. A file without a path goes
    to `output/`, named after the pipeline. `name` is the id of the writing step, by default `save`.
    """

    input: str
    component: str
    connection: str | None = None
    path: str | None = None
    table: str | None = None
    mode: Mode | None = None
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the pipeline, with its default as text."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"]
    default: str


@dataclass(frozen=True, slots=True)
class Request:
    """A requested pipeline, and the assumptions made for it."""

    name: str
    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    parameters: tuple[Parameter, ...] = ()
    assumptions: tuple[str, ...] = ()
