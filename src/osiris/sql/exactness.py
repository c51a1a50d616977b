"""Whether equal values are the same value: then it is the same which of them an engine keeps, or adds first.

Not so for floats (0.0 and -0.0; sums depend on their order), intervals (1 month and 30 days), lists, structs and JSON.
The kind of a value is found in its text and the types of the inputs; one that is not certainly exact has none. The
tables were measured: `typeof` gives a type of the kind, whatever the exact types of the arguments are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from osiris.sql.flat import Output
from osiris.sql.safety.tree import called

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from osiris.sql.flat import Flat

BOOL, INTEGER, DECIMAL, TEXT, TIME, OTHER, NULL = "bool", "integer", "decimal", "text", "time", "other", "null"

_TYPES = re.compile(
    r"(?P<bool>bool)|(?P<integer>u?int(8|16|32|64))|(?P<decimal>decimal\(([1-9]|[12][0-9]|3[0-8]),[0-9]+\))"
    r"|(?P<text>utf8)|(?P<time>date|(time|timestamp)\[[^\]]*\])|(?P<other>binary|uuid)"
)
"""Our types by kind. The engine has no decimals of more than 38 digits."""
_CASTS = {
    word: kind
    for kind, words in {
        BOOL: "BOOLEAN",
        INTEGER: "TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT",
        DECIMAL: "DECIMAL",
        TEXT: "VARCHAR TEXT",
        TIME: "DATE TIME TIMESTAMP TIMESTAMPTZ TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS",
        OTHER: "UUID",
    }.items()
    for word in words.split()
}
"""Types of the engine by kind. It adds UINT128 as floats."""
_RESULTS = {
    name: kind
    for kind, names in {
        BOOL: "bool_and bool_or contains ends_with regexp_matches starts_with",
        INTEGER: """
            count count_if date_diff datediff day dayofmonth dayofweek dayofyear dense_rank hour length minute month
            ntile quarter rank row_number second strlen strpos week weekofyear year
        """,
        TEXT: """
            lcase left lower lpad ltrim md5 regexp_replace replace right rpad rtrim split_part substr trim ucase upper
        """,
        TIME: "last_day make_date",
    }.items()
    for name in names.split()
}
"""Functions by the kind of their result, whatever their arguments are."""
_OF_FIRST = frozenset({"abs", "first_value", "lag", "last_value", "lead", "max", "min", "nullif", "round", "sum"})
"""Functions whose result is of the kind of their first argument."""
_OF_ALL = frozenset({"coalesce", "greatest", "ifnull", "least"})
_CONDITIONS = (
    exp.And, exp.Between, exp.Boolean, exp.EQ, exp.GT, exp.GTE, exp.ILike, exp.In, exp.Is, exp.LT, exp.LTE, exp.Like,
    exp.NEQ, exp.Not, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Or, exp.RegexpLike, exp.SimilarTo,
)  # fmt: skip
_THROUGH = (exp.Filter, exp.Neg, exp.Paren, exp.Window)
_NUMBERS = frozenset({INTEGER, DECIMAL})
_DIGITS = 38
_INTEGER_PARTS = frozenset({
    "century", "day", "dayofweek", "dayofyear", "decade", "dow", "doy", "era", "hour", "isodow", "isoyear",
    "microsecond", "microseconds", "millennium", "millisecond", "milliseconds", "minute", "month", "quarter", "second",
    "week", "weekofyear", "year", "yearweek",
})  # fmt: skip
"""What `extract` gives as an integer; other parts, such as the epoch and the Julian day, can be floats."""


def kind_of_type(name: str) -> str | None:
    """Return the kind of a type of ours; None if equal values of it can differ."""
    match = _TYPES.fullmatch(name)
    return next(kind for kind, text in match.groupdict().items() if text) if match else None


@dataclass(slots=True)
class Exactness:
    """The kinds of the values in one flat statement."""

    flat: Flat
    _known: dict[int, str | None] = field(default_factory=dict)

    def kind(self, value: exp.Expr | None) -> str | None:
        """Return the kind of an exact value; None if it may not be exact."""
        if value is None:
            return NULL
        if id(value) not in self._known:
            rule = next((rule for kinds, rule in _RULES if isinstance(value, kinds)), None)
            self._known[id(value)] = rule(self, value) if rule else None
        return self._known[id(value)]

    def common(self, values: Iterable[exp.Expr | None]) -> str | None:
        """Return the kind of values of which one is taken, or two are added."""
        kinds = {self.kind(each) for each in values} - {NULL}
        if kinds and kinds <= _NUMBERS:
            return DECIMAL if DECIMAL in kinds else INTEGER
        return (kinds or {NULL}).pop() if len(kinds) < 2 else None

    def of_column(self, column: exp.Expr) -> str | None:
        """Return the kind of a name that is proved."""
        meant = self.flat.meaning[id(column)]
        if isinstance(meant, Output):
            return self.kind(meant.value)
        return kind_of_type(self.flat.items[meant.item].types[meant.column])


def arguments_of(call: exp.Expr) -> list[exp.Expr]:
    """Return the arguments of a call, without DISTINCT."""
    return [
        part for each in call.expressions for part in (each.expressions if isinstance(each, exp.Distinct) else [each])
    ]


def _literal(_: Exactness, value: exp.Expr) -> str | None:
    if value.is_string:
        return TEXT
    if "e" in value.name.lower() or len(value.name) > _DIGITS:
        return None
    return DECIMAL if "." in value.name else INTEGER


def _sum(of: Exactness, value: exp.Expr) -> str | None:
    kind = of.common((value.this, value.expression))
    return kind if kind in _NUMBERS else None


def _quotient(of: Exactness, value: exp.Expr) -> str | None:
    kind = of.common((value.this, value.expression))
    return kind if kind == INTEGER else None


def _case(of: Exactness, value: exp.Expr) -> str | None:
    return of.common([*(each.args.get("true") for each in value.args["ifs"]), value.args.get("default")])


def _call(of: Exactness, call: exp.Expr) -> str | None:
    name, arguments = called(call), arguments_of(call)
    if name in _OF_ALL:
        return of.common(arguments)
    if name in _OF_FIRST:
        kind = of.common(arguments[:1])
        return INTEGER if name == "sum" and kind == BOOL else kind
    if name == "if":
        return of.common(arguments[1:])
    if name == "date_trunc":
        kind = of.common(arguments[1:])
        return kind if kind == TIME else None
    return _RESULTS.get(name)


def _joined(of: Exactness, value: exp.Expr) -> str | None:
    return TEXT if of.kind(value.this) == of.kind(value.expression) == TEXT else None


_RULES: tuple[tuple[Any, Callable[[Exactness, exp.Expr], str | None]], ...] = (
    (exp.Column, Exactness.of_column),
    (exp.Literal, _literal),
    (exp.Null, lambda *_: NULL),
    (_CONDITIONS, lambda *_: BOOL),
    ((exp.Cast, exp.TryCast), lambda _, value: _CASTS.get(getattr(value.args["to"].this, "name", ""))),
    (_THROUGH, lambda of, value: of.kind(value.this)),
    ((exp.Add, exp.Sub, exp.Mul), _sum),
    ((exp.IntDiv, exp.Mod), _quotient),
    (exp.Case, _case),
    (exp.DPipe, _joined),
    ((exp.Substring, exp.Trim), lambda *_: TEXT),
    (exp.Extract, lambda _, value: INTEGER if value.name.lower() in _INTEGER_PARTS else None),
    (exp.Anonymous, _call),
)
