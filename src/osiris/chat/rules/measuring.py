"""Aggregates and groups as SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.graph import is_unique
from osiris.chat.rules.key_names import names_behind
from osiris.chat.rules.lexicon import is_date, is_number
from osiris.chat.rules.query import Aggregate, Group, Mention, Product
from osiris.chat.rules.scope import Ref
from osiris.chat.rules.tokens import split_name, stem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.choices import Column, Relation
    from osiris.chat.rules.naming import Piece
    from osiris.chat.rules.query import Expression
    from osiris.chat.rules.scope import Scope

_UNITS = {
    "day": ("CAST(", " AS DATE)"),
    "week": ("CAST(date_trunc('week', ", ") AS DATE)"),
    "month": ("strftime(", ", '%Y-%m')"),
    "quarter": ("concat(year(", "), '-Q', quarter(", "))"),
    "year": ("year(", ")"),
    "weekday": ("dayname(", ")"),
    "hour": ("hour(", ")"),
    "monthday": ("day(", ")"),
}
_IN_YEARS = _UNITS | {"month": ("month(", ")"), "quarter": ("quarter(", ")")}
_NAMES = {"sum": "total", "avg": "avg", "min": "min", "max": "max", "median": "median", "count": "count"}


def expression_of(found: Expression, scope: Scope) -> Piece:
    """Return the SQL of a column, or of a calculation with columns of numbers."""
    if isinstance(found, Mention):
        return (scope.column_of(found),)
    for side in (found.left, found.right):
        if isinstance(side, Mention) and not is_number(scope.column_of(side, is_number).column):
            raise Cannot(f"'{side.text}' holds no numbers to calculate with")
    left, right = (_side(each, scope) for each in (found.left, found.right))
    return (*left, f" {found.operator} ", *right)


def _side(found: Expression, scope: Scope) -> Piece:
    if isinstance(found, Mention):
        return (scope.column_of(found, is_number),)
    return ("(", *expression_of(found, scope), ")")


def aggregate_sql(found: Aggregate, scope: Scope, ref: Ref | None = None) -> tuple[Piece, str]:
    """Return the SQL of an aggregate, and a name for it; of this column where several were meant."""
    if found.function == "count":
        return _count(found, scope)
    inner = found.of if found.of is not None else found.plain
    if inner is None:
        raise Ask("measure", f"The {found.function} of what?")
    whole = found.function in ("sum", "avg", "median")
    if isinstance(inner, Mention):
        ref = ref or scope.column_of(inner, is_number if whole else _is_comparable, " for that")
        piece: Piece = (ref,)
        if whole and not is_number(ref.column):
            raise Cannot(f"{ref.label} holds no numbers, so it has no {_NAMES[found.function]}")
        label = ref.column.name
    else:
        piece, label = expression_of(inner, scope), _label(inner, scope)
    floats = any(str(part.column.type).startswith("float") for part in piece if isinstance(part, Ref))
    function = {"sum": "fsum", "avg": "favg"}.get(found.function, found.function) if floats else found.function
    sql: Piece = (f"{function}(", *piece, ")")
    if found.digits is not None:
        sql = ("round(", *sql, f", {found.digits})")
    prefix = _NAMES[found.function]
    return sql, label if split_name(label)[0] == prefix else f"{prefix}_{label}"


def _is_comparable(column: Column) -> bool:
    return is_number(column) or is_date(column)


def _label(found: Product, scope: Scope) -> str:
    left = scope.column_of(found.left).column.name if isinstance(found.left, Mention) else _label(found.left, scope)
    right = scope.column_of(found.right).column.name if isinstance(found.right, Mention) else _label(found.right, scope)
    return f"{left}_{right}".lower()


def _count(found: Aggregate, scope: Scope) -> tuple[Piece, str]:
    of = found.of
    if of is None:
        return ("count(*)",), "count"
    if not isinstance(of, Mention):
        raise Cannot("I can count rows and columns, no calculations")
    tables = [each for each in of.tables if each.relation.id not in scope.closed]
    nearest = min((each.tier for each in of.columns), default=9)
    if tables and (min(each.tier for each in tables) <= nearest):
        relation = scope.relation_of(of)
        if (found.plain or found.summed) and (total := _meant_total(found, relation, scope)):
            return ("sum(", total, ")"), total.column.name
        if found.distinct or relation in scope.fanned:
            keys = relation.primary_key
            if len(keys) != 1:
                raise Cannot(f"{relation.name} has no single key, so I cannot count different ones")
            column = next(each for each in relation.columns or () if each.name == keys[0])
            return ("count(DISTINCT ", Ref(relation, column), ")"), f"{relation.name}"
        return ("count(*)",), relation.name
    ref = scope.column_of(of)
    if not found.distinct:
        options = (f"different {of.text}", "rows that have one")
        if scope.pick_always(f"count {of.text}", f"What of '{of.text}' is counted?", options) == options[1]:
            return ("count(", ref, ")"), f"{ref.column.name}_count"
    return ("count(DISTINCT ", ref, ")"), f"distinct_{ref.column.name}"


def _meant_total(found: Aggregate, relation: Relation, scope: Scope) -> Ref | None:
    """Ask what `total orders` means where orders have a total: how many, or the sum; None if how many.

    The sum of a table is that of any column of numbers.
    """
    plain = found.plain.columns if found.plain else ()
    own = [Ref(relation, each.column) for each in plain if each.relation == relation and each.column]
    if found.summed:
        numbers = [each for each in relation.columns or () if is_number(each) and not scope.is_key(relation, each)]
        own += [ref for each in numbers if (ref := Ref(relation, each)) not in own]
    if not own:
        return None
    said = "sum of" if found.summed else "total"
    options = (f"number of {relation.name}", *(f"sum of {each.label}" for each in own))
    picked = scope.pick_always(f"count {relation.name}", f"'{said} {relation.name}': what is meant?", options)
    return None if picked == options[0] else own[options.index(picked) - 1]


def grouped(group: Group, scope: Scope, *, by_year: bool = False) -> list[tuple[Piece, str]]:
    """Return the SQL of what a group is by, and a name for each; months `by_year` are numbers."""
    if group.unit:
        return [_unit(group, group.unit, scope, _IN_YEARS if by_year else _UNITS)]
    if group.of is None:
        raise Ask("group", "Grouped by what?")
    return [((ref,), ref.column.name) for ref in group_columns(group.of, scope)]


def group_columns(mention: Mention, scope: Scope) -> list[Ref]:
    """Return the columns that rows are grouped by: one of the first table, the label of a table, or another one."""
    main = {each.id for each in scope.main}
    own = [each for each in mention.columns if each.relation.id in main and each.tier <= 1]
    if mention.tables and not own and not mention.owners:
        nearest = min((each.tier for each in mention.columns), default=9)
        if min(each.tier for each in mention.tables) <= nearest:
            relation = scope.relation_of(mention)
            labels = scope.labels_of(relation)
            if not labels:
                raise Ask(
                    f"word {mention.text}",
                    f"By which column of {relation.name}?",
                    tuple(c.name for c in relation.columns or ())[:12],
                )
            if len(labels) == 1:
                _check_label(labels[0], scope)
            return labels
    ref = scope.column_of(mention)
    own_edges = [each for each in scope.graph.edges.get(ref.relation.id, ()) if each.many == ref.relation]
    key = names_behind(ref.column, own_edges, mention.text)
    return (scope.labels_of(key.one) if key else []) or [ref]


def _check_label(label: Ref, scope: Scope) -> None:
    """Ask where two rows of a table have the same name: they would become one group."""
    relation, column = label.relation, label.column
    distinct, rows = column.profile.get("distinct"), relation.rows
    first = (relation.columns or ())[:1]  # of a table that declares no key, as a file, its first column may be it
    key = relation.primary_key or tuple(each.name for each in first if is_unique(relation, each))
    if distinct is None or rows is None or distinct == rows or len(key) != 1 or column.name in key:
        return
    text = f"Several {relation.name} have the same {column.name}. Are they one group?"
    if (
        scope.pick_always(
            f"same {label.label}",
            text,
            ("one group for each name", "one group for each key"),
            assumed="one group for each name",
        )
        != "one group for each name"
    ):
        raise Ask(
            f"word {stem(relation.name)}",
            f"Say by which columns of {relation.name}, such as {key[0]}.",
        )


def _unit(group: Group, unit: str, scope: Scope, units: Mapping[str, tuple[str, ...]]) -> tuple[Piece, str]:
    of = group.of
    if column := _calendar_column(group, unit, scope):
        return (column,), column.column.name
    dated = [each for each in of.columns if each.column and is_date(each.column)] if of else []
    if of is not None and dated and stem(of.text.lower()) != unit:
        ref = scope.column_of(of, is_date)
    else:
        ref = scope.date_of([*scope.main, *scope.others], unit)
    kind = ref.column.type or ""
    inner: Piece = ("CAST(", ref, " AS DATE)") if kind == "utf8" else (ref,)
    if "," in kind:
        inner = ("timezone('UTC', ", ref, ")")
    parts = units[unit]
    if len(parts) == 3:
        return (parts[0], *inner, parts[1], *inner, parts[2]), unit
    return (parts[0], *inner, parts[1]), unit


def _calendar_column(group: Group, unit: str, scope: Scope) -> Ref | None:
    """Return the column that holds a unit as it is, as `month` does; asks where another one stands beside the unit."""
    main = {each.id for each in scope.main}
    if unit == "monthday":
        days = [Ref(each, c) for each in scope.main for c in each.columns or () if c.name.lower() == "day"]
        return days[0] if len(days) == 1 and is_number(days[0].column) else None
    columns = group.of.columns if group.of else ()
    exact = [
        Ref(each.relation, each.column)
        for each in columns
        if each.relation.id in main and each.tier <= 1 and each.column
    ]
    if not exact or is_date(exact[0].column):
        return None
    if unit not in {stem(part) for part in split_name(exact[0].column.name)}:
        raise Ask(f"word {unit}", f"What is the {unit} of {exact[0].label}?")
    return exact[0]
