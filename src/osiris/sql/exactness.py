"""Whether equal values are the same value: then it is the same which of them an engine keeps, or adds first.

Not so for floats (0.0 and -0.0; sums depend on their order), intervals (1 month and 30 days), lists, structs and JSON.
The kind of a value is found in its text and the types of the inputs; one that is not certainly exact has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from osiris.sql.nondeterminism.rules import arguments_of
from osiris.sql.safety.tree import called
from osiris.sql.scope import ColumnNames, all_items, queries_around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from osiris.model import Schema
    from osiris.sql.scope import TableNames

BOOL, INTEGER, DECIMAL, TEXT, TIME, OTHER, NULL = "bool", "integer", "decimal", "text", "time", "other", "null"

_PREFIXES = {
    "bool": BOOL, "int": INTEGER, "uint": INTEGER, "decimal": DECIMAL, "utf8": TEXT, "date": TIME, "time": TIME,
    "binary": OTHER, "uuid": OTHER,
}  # fmt: skip
_WORDS = {
    BOOL: "BOOLEAN",
    INTEGER: "TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT UINT128",
    DECIMAL: "DECIMAL",
    TEXT: "VARCHAR TEXT",
    TIME: "DATE TIME TIMESTAMP TIMESTAMPTZ TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS",
    OTHER: "UUID",
}
_CASTS = {word: kind for kind, words in _WORDS.items() for word in words.split()}

_RESULTS = {
    INTEGER: """
        ascii bit_length century char_length character_length count count_if count_star countif date_diff datediff
        day dayofmonth dayofweek dayofyear decade dense_rank hash hour instr isodow isoyear len length levenshtein
        microsecond millennium millisecond minute month ntile ord position quarter rank rank_dense row_number second
        sign strlen strpos week weekday weekofyear year yearweek
    """,
    TEXT: """
        chr dayname format hex lcase left lower lpad ltrim md5 monthname printf regexp_extract regexp_replace replace
        reverse right rpad rtrim sha1 sha256 split_part strftime strip_accents substr substring trim ucase
        upper
    """,
    BOOL: """
        bool_and bool_or contains ends_with isnan isfinite isinf prefix regexp_full_match regexp_matches starts_with
        suffix
    """,
    TIME: "last_day make_date make_timestamp strptime to_timestamp",
}
_FIXED = {name: kind for kind, names in _RESULTS.items() for name in names.split()}
"""Functions whose result is exact whatever their arguments are."""
_SAME = frozenset({
    "abs", "any_value", "arg_max", "arg_min", "first", "first_value", "lag", "last", "last_value", "lead", "max",
    "max_by", "min", "min_by", "nth_value", "nullif", "quantile_disc", "round", "sum",
})  # fmt: skip
"""Functions whose result is of the kind of their first argument."""
_ONE_OF = frozenset({"coalesce", "greatest", "ifnull", "least"})
_TEXTS = frozenset({"concat", "concat_ws"})
_DOUBLE_PARTS = frozenset({"epoch", "julian", "julian_day"})
_CONDITIONS = (
    exp.And, exp.Between, exp.Boolean, exp.EQ, exp.Exists, exp.GT, exp.GTE, exp.ILike, exp.In, exp.Is, exp.LT, exp.LTE,
    exp.Like, exp.NEQ, exp.Not, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Or, exp.RegexpLike, exp.SimilarTo, exp.StartsWith,
)  # fmt: skip
_THROUGH = (exp.Alias, exp.Paren, exp.Neg, exp.Filter, exp.Window, exp.IgnoreNulls, exp.RespectNulls)
_NUMBERS = frozenset({INTEGER, DECIMAL})
_DIGITS = 38


def kind_of_type(name: str) -> str | None:
    """Return the kind of a type of ours; None if equal values of it can differ."""
    word = name.partition("[")[0].partition("(")[0].rstrip("0123456789")
    return TEXT if name == "utf8" else _PREFIXES.get("time" if word == "timestamp" else word)


@dataclass(slots=True)
class Exactness:
    """The kinds of the values in one tree; `schemas` are those of its relations, by folded name."""

    columns: ColumnNames
    schemas: Mapping[str, Schema]
    _open: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, names: TableNames, schemas: Mapping[str, Schema]) -> Exactness:
        """Return those of a tree whose names are resolved."""
        catalogue = {name: {each.name.lower() for each in schema} for name, schema in schemas.items()}
        return cls(ColumnNames(names, catalogue), schemas)

    def kind(self, value: exp.Expr | None) -> str | None:
        """Return the kind of an exact value; None if it may not be exact."""
        if value is None:
            return NULL
        if isinstance(value, _CONDITIONS):
            return BOOL
        rule = next((rule for kinds, rule in _RULES if isinstance(value, kinds)), None)
        return rule(self, value) if rule else None

    def common(self, values: Iterable[exp.Expr | None]) -> str | None:
        """Return the kind of values of which one is taken."""
        kinds = {self.kind(each) for each in values} - {NULL}
        if kinds and kinds <= _NUMBERS:
            return DECIMAL if DECIMAL in kinds else INTEGER
        return (kinds or {NULL}).pop() if len(kinds) < 2 else None

    def of_column(self, column: exp.Expr) -> str | None:
        """Return the kind of a column, wherever it can be from."""
        if isinstance(column.this, exp.Star):
            return None
        if id(column) in self._open:
            return NULL  # an alias that is called as a column that it reads: the other reading decides
        self._open.add(id(column))
        items, alias = items_of(column, self.columns), alias_of(column, self.columns)
        name = self.columns.dialect.fold(column.this)
        kinds = [self.of_item(each, name) for each in items]
        kind = next(iter(kinds)) if len({*kinds}) == 1 else None
        if alias is not None:
            kind = self.kind(alias) if not items else kind if self.kind(alias) else None
        self._open.discard(id(column))
        return kind

    def is_doubtful(self, column: exp.Expr) -> bool:
        """Tell whether a column may be one of an outer query, and not exact.

        The engine computes such a subquery once for all rows that have equal values.
        """
        around = [each for each in queries_around(column) if isinstance(each, exp.Select)]
        if len(around) < 2 or alias_of(column, self.columns) is not None:
            return False
        return not self.is_own(column) and not self.kind(column)

    def is_own(self, column: exp.Expr) -> bool:
        """Tell whether a column is certainly one of the FROM of its own SELECT."""
        select = column.find_ancestor(exp.Select)
        here = [*all_items(select)] if select else []
        if isinstance(column.this, exp.Star):
            return self.columns.dialect.fold(column.args["table"]) in map(self.columns.alias_of, here)
        return any(each is item for item in items_of(column, self.columns) for each in here)

    def names_of(self, item: exp.Expr) -> frozenset[str]:
        """Return the names of the columns of an item of FROM, without those that all tables have elsewhere."""
        source = self.columns.names.source(item)
        if source.relation is not None:
            schema = self.schemas.get(self.columns.dialect.fold(source.relation.this), ())
            return frozenset(each.name.lower() for each in schema).union(each.lower() for each in source.columns)
        return self.columns.columns(item) or frozenset()

    def of_item(self, item: exp.Expr, name: str) -> str | None:
        """Return the kind of a column of an item of FROM."""
        source = self.columns.names.source(item)
        renamed = [each.lower() for each in source.columns]
        if isinstance(item, exp.Lateral) or source.is_recursive:
            return None
        if source.relation is not None:
            schema = self.schemas.get(self.columns.dialect.fold(source.relation.this), ())
            names = [*renamed, *(each.name.lower() for each in schema[len(renamed) :])]
            return kind_of_type(schema[names.index(name)].type) if name in names else None
        query = source.query.unnest() if source.query is not None else None
        return self._output(query, name, renamed) if isinstance(query, exp.Select) else None

    def _output(self, select: exp.Select, name: str, renamed: list[str]) -> str | None:
        """Return the kind of an output column; of all, where several have the name."""
        if not are_plain(select):
            return None
        outputs, fold = select.expressions, self.columns.dialect.fold
        if renamed:
            if any(each.is_star for each in outputs):
                return None
            names = [*renamed, *(each.alias_or_name.lower() for each in outputs[len(renamed) :])]
            return self.common(each for each, own in zip(outputs, names, strict=False) if own == name)
        kinds = [self.kind(each) for each in outputs if not each.is_star and name_of(each, fold) == name]
        for star in (each for each in outputs if each.is_star):
            kinds += [self.of_item(item, name) for item in items_of_star(star, select, self.columns, name)]
        return kinds[0] if len({*kinds}) == 1 else None


def are_plain(select: exp.Select) -> bool:
    """Tell whether the names of a SELECT's outputs are certain: columns, aliases and unchanged stars."""
    return all(_is_plain(each) for each in select.expressions)


def _is_plain(output: exp.Expr) -> bool:
    star = output.this if isinstance(output, exp.Column) else output
    if isinstance(star, exp.Star):
        return not any(star.args.values())
    if isinstance(output, exp.Column):
        return True
    spreads = any(called(node) in ("columns", "unnest") or isinstance(node, exp.Unnest) for node in output.walk())
    return isinstance(output, exp.Alias) and not spreads


def name_of(output: exp.Expr, fold: Callable[[exp.Expr], str]) -> str:
    """Return the folded name of a plain output."""
    return fold(output.args["alias"] if isinstance(output, exp.Alias) else output.this)


def items_of_star(star: exp.Expr, select: exp.Select, columns: ColumnNames, name: str) -> list[exp.Expr]:
    """Return the items of FROM from which a star outputs a column of a name."""
    items = [*all_items(select)]
    if isinstance(star, exp.Column):
        alias = columns.dialect.fold(star.args["table"])
        items = [each for each in items if columns.alias_of(each) == alias]
    return [each for each in items if name in (columns.columns(each) or (name,))]


def items_of(column: exp.Expr, columns: ColumnNames) -> list[exp.Expr]:
    """Return the items of FROM, of the nearest query that has one, to which a column can belong."""
    name, table = columns.dialect.fold(column.this), column.args.get("table")
    for query in queries_around(column):
        items = [*all_items(query)]
        if table:
            alias = None if column.args.get("db") else columns.dialect.fold(table)
            items = [each for each in items if alias and columns.alias_of(each) == alias]
        matches = [each for each in items if name in (columns.columns(each) or (name,))]
        if matches:
            return matches
    return []


def alias_of(column: exp.Expr, columns: ColumnNames) -> exp.Expr | None:
    """Return the output of the nearest SELECT that a bare column can refer to by its alias."""
    select = column.find_ancestor(exp.Select)
    if select is None or column.args.get("table"):
        return None
    fold = columns.dialect.fold
    name = fold(column.this)
    aliases = [each for each in select.expressions if isinstance(each, exp.Alias)]
    return next((each.this for each in aliases if fold(each.args["alias"]) == name and each.this != column), None)


def _literal(_: Exactness, value: exp.Expr) -> str | None:
    if value.is_string:
        return TEXT
    if "e" in value.name.lower() or len(value.name) > _DIGITS:
        return None
    return DECIMAL if "." in value.name else INTEGER


def _sum(of: Exactness, value: exp.Expr) -> str | None:
    left, right = of.kind(value.this), of.kind(value.expression)
    if TIME in (left, right) and not isinstance(value, exp.Mul):
        other = value.expression if left == TIME else value.this
        return TIME if isinstance(other, exp.Interval) or of.kind(other) == INTEGER else None
    return of.common((value.this, value.expression)) if {left, right} <= _NUMBERS else None


def _quotient(of: Exactness, value: exp.Expr) -> str | None:
    return INTEGER if of.kind(value.this) == of.kind(value.expression) == INTEGER else None


def _case(of: Exactness, value: exp.Expr) -> str | None:
    return of.common([*(each.args.get("true") for each in value.args["ifs"]), value.args.get("default")])


def _call(of: Exactness, call: exp.Expr) -> str | None:
    name, arguments = called(call), arguments_of(call)
    if name in _FIXED:
        return _FIXED[name]
    if name in _TEXTS:
        return TEXT if all(map(of.kind, arguments)) else None
    if name in ("date_trunc", "datetrunc"):
        return TIME if of.kind(arguments[-1]) == TIME else None
    taken = arguments if name in _ONE_OF else arguments[:1] if name in _SAME else arguments[1:] if name == "if" else ()
    kind = of.common(taken) if taken else None
    return INTEGER if name == "sum" and kind == BOOL else kind


def _joined(of: Exactness, value: exp.Expr) -> str | None:
    return TEXT if of.kind(value.this) and of.kind(value.expression) else None


def _cast(_: Exactness, value: exp.Expr) -> str | None:
    return _CASTS.get(getattr(value.args["to"].this, "name", ""))


def _extract(_: Exactness, value: exp.Expr) -> str | None:
    return None if value.name.lower() in _DOUBLE_PARTS else INTEGER


_RULES: tuple[tuple[Any, Callable[[Exactness, exp.Expr], str | None]], ...] = (
    (exp.Column, Exactness.of_column),
    (exp.Literal, _literal),
    (exp.Null, lambda *_: NULL),
    ((exp.Cast, exp.TryCast), _cast),
    (_THROUGH, lambda of, value: of.kind(value.this)),
    ((exp.Add, exp.Sub, exp.Mul), _sum),
    ((exp.IntDiv, exp.Mod), _quotient),
    (exp.Case, _case),
    (exp.If, lambda of, value: of.common((value.args.get("true"), value.args.get("false")))),
    (exp.DPipe, _joined),
    ((exp.Substring, exp.Trim), lambda *_: TEXT),
    (exp.StrPosition, lambda *_: INTEGER),
    (exp.Extract, _extract),
    (exp.Anonymous, _call),
)
