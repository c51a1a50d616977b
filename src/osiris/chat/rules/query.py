"""What was said, as a tree over mentions: which column or table each of them is, is decided later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.chat.rules.lexicon import Candidate

UNKNOWN = -1
"""A limit of which only is said that there is one: `the largest orders`."""


@dataclass(frozen=True, slots=True)
class Mention:
    """Words that speak of a column or a table; `owners` are the tables that it was said to belong to."""

    text: str
    columns: tuple[Candidate, ...] = ()
    tables: tuple[Candidate, ...] = ()
    owners: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Product:
    """Two columns with an operator between them."""

    left: Expression
    operator: str
    right: Expression


Expression = Mention | Product


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function over the rows of a group: count has a table, or with `distinct` a column; the others an expression.

    `plain` is the column that the same words name as they are, as `total amount` does. `summed` is a count that may be
    meant as a sum, as in `sum of fines`.
    """

    function: str
    of: Expression | None = None
    distinct: bool = False
    digits: int | None = None
    plain: Mention | None = None
    summed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What rows are grouped by: a column, or the unit of a date (of the only one, unless it is said).

    `loose` if only `by` said so, which may be meant for sorting too.
    """

    of: Mention | None
    unit: str | None = None
    loose: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was said: a number, a text (`exact` if it stood in quotes or is known), or a column."""

    text: str
    kind: str
    exact: bool = False
    of: Mention | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison with values (several are alternatives). `words` hint at the column if none was named."""

    left: Mention | Aggregate | None
    operator: str
    values: tuple[Value, ...]
    words: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Values that the data are known to hold, alternatives; negated or not."""

    choices: tuple[tuple[Candidate, ...], ...]
    negated: bool
    text: str
    noun: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """A time from (included) until (excluded), ISO dates; None is open. `text` is how it was said.

    `dated` if it was said that rows have a date, but not which.
    """

    left: Mention | None
    start: str | None
    end: str | None
    text: str
    month: int | None = None
    edge: bool = False
    dated: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """A column without a value; negated: with one; unsure where leaving the column out may be meant as well."""

    left: Mention
    negated: bool
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """A column that is true or false."""

    left: Mention
    negated: bool


@dataclass(frozen=True, slots=True)
class Related:
    """Rows that have rows of another table, or have none."""

    table: Mention
    negated: bool


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Alternatives."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    part: Condition


Condition = Test | Known | Within | Missing | Flag | Related | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Order:
    """What rows are sorted by; None is what is counted or the only date, whichever there is."""

    by: Expression | Aggregate | None
    descending: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the result; `added` to those of its table, not in place of them; under another name.

    `beside` if it was said right behind its table, with `and`.
    """

    of: Expression | Aggregate
    added: bool = False
    name: str | None = None
    beside: bool = False


@dataclass(slots=True)
class Goal:
    """Where rows are to go, as far as it was said."""

    paths: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    places: list[tuple[str, str]] = field(default_factory=list)
    """Words for connections: (`ref`, "@duckdb.x"), (`alias`, "x"), (`family`, "duckdb"), (`any`, "database")."""

    table: str | None = None
    name: str | None = None
    """What the file is called, where that was said without a path."""

    modes: list[str] = field(default_factory=list)
    key: list[Mention] = field(default_factory=list)


@dataclass(slots=True)
class Said:
    """All that a message said; `unread` are the words that no rule could read."""

    tables: list[Mention] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    aggregates: list[Output] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    joints: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    limit: int | None = None
    bottom: bool = False
    ranked: bool = False
    end: str = ""
    """`first` or `last` where that said which rows are taken of a limit."""

    distinct: bool = False
    counts: bool = False
    excluded: list[Mention] = field(default_factory=list)
    renamed: list[tuple[Mention, str]] = field(default_factory=list)
    goal: Goal = field(default_factory=Goal)
    sources: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
