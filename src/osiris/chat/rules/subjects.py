"""What a request is about: its tables, and what words that can be meant in two ways are meant for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.lexicon import is_date, is_number
from osiris.chat.rules.query import Aggregate, AnyOf, Group, Mention, Not, Order, Output, Product, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.chat.choices import Relation
    from osiris.chat.rules.lexicon import Candidate
    from osiris.chat.rules.query import Condition, Expression
    from osiris.chat.rules.scope import Ref, Scope

_COUNT, _SORT = "count per {}", "sort by {}"


def speak(said: Said, scope: Scope) -> None:
    """Put the tables that a request speaks of into the scope: those named by themselves, then those beside others."""
    for each in said.tables:
        _add(scope.main, scope.relation_of(each, said.sources))
    for mention in _counted(said):
        _add(scope.others if scope.main else scope.main, scope.relation_of(mention, said.sources))
    if not scope.main:
        _find_subject(said, scope)
    for mention in mentions(said):
        _add(scope.others, _owner(mention, scope))
    for group in said.groups:
        if group.of and group.of.tables and not _is_column_of_main(group.of, scope):
            _add(scope.others, scope.relation_of(group.of, said.sources))
    scope.others = [each for each in scope.others if each not in scope.main]


def _counted(said: Said) -> list[Mention]:
    """Return the tables whose rows are counted."""
    aggregates = [each.of for each in said.aggregates] + [each.by for each in said.orders if each.by]
    tables = [each.of for each in aggregates if isinstance(each, Aggregate) and _counts_rows(each)]
    return [each for each in tables if isinstance(each, Mention)]


def _find_subject(said: Said, scope: Scope) -> None:
    """Find the first table where none is named by itself: the owner of a column, or that of all of them."""
    listed = list(mentions(Said(outputs=said.outputs, aggregates=said.aggregates)))
    owners = [_owner(each, scope) for each in listed]
    found = next((each for each in owners if each), None) or _by_columns(said, scope)
    found = found or next((owner for each in mentions(said) if (owner := _owner(each, scope))), None)
    columns = [each for each in listed if each.columns]
    if found is None and columns:
        found = scope.column_of(columns[0]).relation
    _add(scope.main, found)


def _add(found: list[Relation], relation: Relation | None) -> None:
    if relation is not None and relation not in found:
        found.append(relation)


def _owner(mention: Mention, scope: Scope) -> Relation | None:
    """Return the table that a column was said to belong to; None if none was, or several have that name."""
    found = [each for each in mention.owners if each.relation.id not in scope.closed] or list(mention.owners)
    nearest = min((each.tier for each in found), default=0)
    best = [each.relation for each in found if each.tier == nearest]
    return best[0] if len(best) == 1 else None


def _counts_rows(found: Expression | Aggregate) -> bool:
    if not isinstance(found, Aggregate) or found.function != "count" or not isinstance(found.of, Mention):
        return False
    tiers = [each.tier for each in found.of.columns]
    return bool(found.of.tables) and min(each.tier for each in found.of.tables) <= min(tiers, default=9)


def _is_column_of_main(mention: Mention, scope: Scope) -> bool:
    main = {each.id for each in scope.main}
    return any(each.relation.id in main and each.tier <= 1 for each in mention.columns)


def mentions(said: Said) -> Iterator[Mention]:
    """Yield all mentions of columns in a request."""
    for output in (*said.outputs, *said.aggregates):
        yield from _inside(output.of)
    for group in said.groups:
        if group.of:
            yield group.of
    for order in said.orders:
        if order.by:
            yield from _inside(order.by)
    for condition in said.conditions:
        yield from _in_condition(condition)


def _inside(found: Expression | Aggregate) -> Iterator[Mention]:
    match found:
        case Mention():
            yield found
        case Product():
            yield from _inside(found.left)
            yield from _inside(found.right)
        case Aggregate():
            if inner := found.of or found.plain:
                yield from _inside(inner)


def _in_condition(condition: Condition) -> Iterator[Mention]:
    if isinstance(condition, AnyOf):
        for each in condition.parts:
            yield from _in_condition(each)
    if isinstance(condition, Not):
        yield from _in_condition(condition.part)
    left = getattr(condition, "left", None)
    if isinstance(left, Mention):
        yield left


def _by_columns(said: Said, scope: Scope) -> Relation | None:
    """Return the one table that has all columns that are mentioned, and is nearest by their names; else None."""
    shares: list[dict[str, tuple[int, Relation]]] = []
    listed = Said(outputs=said.outputs, aggregates=said.aggregates)
    for mention in mentions(listed if any(each.columns for each in mentions(listed)) else said):
        if mention.columns and not mention.owners:
            share: dict[str, tuple[int, Relation]] = {}
            for each in mention.columns:
                known = share.get(each.relation.id)
                if each.relation.id not in scope.closed and (known is None or each.tier < known[0]):
                    share[each.relation.id] = (each.tier, each.relation)
            shares.append(share)
    common = set.intersection(*(set(each) for each in shares)) if shares else set()
    totals = {each: sum(share[each][0] for share in shares) for each in common}
    best = [each for each in sorted(common) if totals[each] == min(totals.values())]
    if len(best) != 1 or (len(common) > 1 and totals[best[0]] > len(shares)):
        return None
    found = shares[0][best[0]][1]
    if len(common) > 1 and sorted(totals.values())[1] <= len(shares):
        return None
    scope.assume(f"the rows are those of {found.id}")
    return found


def settle(said: Said, scope: Scope) -> Said:
    """Return a request in which `by` is a group or an order, and what rows are ranked by is computed."""
    said = replace(
        said,
        groups=list(said.groups),
        orders=list(said.orders),
        aggregates=list(said.aggregates),
        outputs=list(said.outputs),
    )
    if said.limit is not None and not said.aggregates and any(not each.loose for each in said.groups):
        raise Cannot("I cannot take the first of each group, only the first of all")
    rising = [each for each in said.orders if not each.descending and each.text != "by"]
    if said.end == "last" and said.limit is not None and rising:
        text = f"The last {said.limit} of that order stand at its end. Sorted by what, so that they come first?"
        raise Ask("order", text, (f"{rising[0].text} descending",))
    said.orders = [_with_end(each, said, scope) for each in said.orders]
    _settle_units(said)
    _settle_plain(said, scope)
    _settle_by(said, scope)
    _settle_listed(said, scope)
    _settle_orders(said, scope)
    if said.aggregates and not said.groups:
        _group_by_subject(said, scope)
    return said


def _settle_units(said: Said) -> None:
    """Take `by order date` beside a month of which no date was said for the date that the month is of."""
    units = [
        each for each in said.groups if each.unit and (each.of is None or not any(map(_is_of_date, each.of.columns)))
    ]
    dates = [each for each in said.groups if each.loose and not each.unit and each.of and _is_date(each.of)]
    if units and len(dates) == 1:
        said.groups.remove(dates[0])
        said.groups = [replace(each, of=dates[0].of) if each in units else each for each in said.groups]


def _is_date(mention: Mention) -> bool:
    return bool(mention.columns) and all(map(_is_of_date, mention.columns))


def _is_of_date(candidate: Candidate) -> bool:
    return candidate.column is not None and is_date(candidate.column)


def _settle_plain(said: Said, scope: Scope) -> None:
    """Take `total amount` for the column of that name where nothing is grouped and other columns are listed."""
    plain = [each for each in said.aggregates if isinstance(each.of, Aggregate) and each.of.plain]
    if said.groups or len(plain) < len(said.aggregates) or not plain:
        return
    if said.outputs:
        said.outputs += [
            Output(each.of.plain, name=each.name) for each in plain if isinstance(each.of, Aggregate) and each.of.plain
        ]
        said.aggregates.clear()
        return
    text = plain[0].of.plain.text if isinstance(plain[0].of, Aggregate) and plain[0].of.plain else ""
    if (
        scope.pick_always(f"plain {text}", f"'{text}' of each row, or the sum of all?", ("each row", "sum of all"))
        == "each row"
    ):
        said.outputs += [
            Output(each.of.plain, name=each.name) for each in plain if isinstance(each.of, Aggregate) and each.of.plain
        ]
        said.aggregates.clear()


def _settle_listed(said: Said, scope: Scope) -> None:
    """Ask what `emails per country` means: how many there are, or a list of them."""
    if not said.groups or said.aggregates or not said.outputs or any(isinstance(o.by, Aggregate) for o in said.orders):
        return
    text = " and ".join(each.of.text if each.of else str(each.unit) for each in said.groups)
    options = (_COUNT.format(text), _SORT.format(text))
    if scope.pick_always(f"by {text}", f"'per {text}': what is meant?", options) == options[0]:
        said.outputs.clear()
        return
    said.orders += [Order(each.of, False, text) for each in said.groups]
    said.groups.clear()


def _settle_by(said: Said, scope: Scope) -> None:
    loose = [each for each in said.groups if each.loose]
    if len(loose) == 1 and len(said.groups) == 1 and len(said.orders) == 1 and said.orders[0].text.startswith("\0"):
        said.orders[0] = replace(said.orders[0], by=loose[0].of, text="by")
        said.groups = []
        return
    ranks = any(isinstance(each.by, Aggregate) for each in said.orders)
    if not loose or said.aggregates or ranks or len(loose) < len(said.groups):
        return
    text = " and ".join(each.of.text if each.of else str(each.unit) for each in loose)
    if said.limit is None and not said.orders:
        options = (_COUNT.format(text), _SORT.format(text))
        if scope.pick_always(f"by {text}", f"'by {text}': what is meant?", options) == options[0]:
            return
    if said.limit is not None and said.outputs and not said.tables:
        functions = ("total", "average", "largest")
        raise Ask(f"word {text}", f"By which '{text}' of each?", tuple(f"{each} {text}" for each in functions))
    said.groups = []
    said.orders += [Order(each.of, _goes_down(each, said, scope), text) for each in loose]


def _goes_down(group: Group, said: Said, scope: Scope) -> bool:
    """Tell whether rows are sorted downwards: the top ones, and the last dates."""
    if said.limit is None or not said.end:
        return said.limit is not None and not said.bottom
    if group.of is not None and _is_date(group.of):
        return said.end == "last"
    return _is_end_above(group.of.text if group.of else str(group.unit), said, scope)


def _with_end(order: Order, said: Said, scope: Scope) -> Order:
    """Return the order of `first 10 by total`, which does not say whether the largest come first."""
    if order.text != "by" or not said.end or not isinstance(order.by, Aggregate):
        return order
    of = order.by.of if order.by.of is not None else order.by.plain
    return replace(order, descending=_is_end_above(of.text if isinstance(of, Mention) else "that", said, scope))


def _is_end_above(spoken: str, said: Said, scope: Scope) -> bool:
    text = f"The {said.end} {said.limit} by {spoken}: from which end?"
    options = (f"the largest {spoken} first", f"the smallest {spoken} first")
    return scope.pick_always(f"end {spoken}", text, options, assumed=options[said.end == "first"]) == options[0]


def _settle_orders(said: Said, scope: Scope) -> None:
    """Turn `top 10 invoices by total` into an order by that column, and other ranks into aggregates that are shown."""
    for number, order in enumerate(said.orders):
        if not isinstance(order.by, Aggregate):
            continue
        column = order.by.of if order.by.of is not None else order.by.plain
        if order.by.function == "sum" and isinstance(column, Mention) and not said.groups and not said.aggregates:
            found = scope.columns_of(column)
            own = said.tables and found and all(each.relation in scope.main[:1] for each in found)
            if own or _is_listed(column, said):
                said.orders[number] = replace(order, by=column)
                continue
        if said.limit is not None and said.groups and not said.aggregates:
            raise Cannot("I cannot take the first of each group, only the first of all")
        same = [each for each in said.aggregates if _alike(each.of, order.by)]
        if not same and _alone(order.by) and said.aggregates:
            said.orders[number] = replace(order, by=None)
        elif not same:
            said.aggregates.append(Output(order.by))


def _is_listed(column: Mention, said: Said) -> bool:
    """Tell whether a column is among those that are listed."""
    keys = {each.key for each in column.columns}
    return any(isinstance(o.of, Mention) and keys & {each.key for each in o.of.columns} for o in said.outputs)


def _alone(by: Aggregate) -> bool:
    return by.of is None and by.plain is None


def _alike(left: Expression | Aggregate, right: Aggregate) -> bool:
    return isinstance(left, Aggregate) and key_of_aggregate(left) == key_of_aggregate(right)


def key_of_aggregate(found: Aggregate) -> tuple[str, bool, str]:
    """Return what tells an aggregate from others, however its column was called."""
    inner = found.of or found.plain
    named = (
        sorted(str((*each.key, each.tier)) for m in _inside(inner) for each in m.columns or m.tables) if inner else []
    )
    return (found.function, found.distinct, " ".join(named))


def _group_by_subject(said: Said, scope: Scope) -> None:
    """Group by the columns that are listed, or by the table of which others are counted."""
    counted = {r.id for r in scope.others}
    if said.outputs:
        said.groups = [Group(each.of) for each in said.outputs if isinstance(each.of, Mention)]
        for group in said.groups:
            if group.of:
                group_column(group.of, scope)
        said.outputs = []
        return
    subjects = [each for each in said.tables if scope.relation_of(each).id not in counted]
    kept = [each for each in subjects if not _aggregates_of(said, scope, scope.relation_of(each))]
    if kept and (counted or any(isinstance(order.by, Aggregate) for order in said.orders)):
        said.groups = [Group(kept[0])]
        if said.limit is None or said.bottom or not all(order.descending for order in said.orders):
            _ask_for_empty(scope, kept[0])


def group_column(mention: Mention, scope: Scope) -> Ref:
    """Return a column that is listed beside aggregates; a number may be meant otherwise."""
    ref = scope.column_of(mention)
    if is_number(ref.column) and not scope.is_key(ref.relation, ref.column):
        raise Ask(
            f"word {mention.text}",
            f"Which '{mention.text}' of each group?",
            tuple(f"{function} {mention.text}" for function in ("total", "average", "smallest", "largest")),
        )
    return ref


def _aggregates_of(said: Said, scope: Scope, relation: Relation) -> bool:
    """Tell whether something of a table's own columns is aggregated."""
    for each in said.aggregates:
        if isinstance(each.of, Aggregate) and isinstance(each.of.of, Mention) and not _counts_rows(each.of):
            found: list[Ref] = scope.columns_of(each.of.of)
            if any(ref.relation == relation for ref in found):
                return True
    return False


def _ask_for_empty(scope: Scope, subject: Mention) -> None:
    """Say that rows to which nothing belongs are left out; ask if there may be any."""
    one = scope.relation_of(subject)
    for many in scope.others:
        for edge in scope.graph.between(many.id, one.id):
            column = next((c for c in many.columns or () if c.name == edge.columns[0][0]), None)
            distinct = column.profile.get("distinct") if column else None
            if distinct is not None and distinct == one.rows:
                return
            text = f"Some {one.name} have no {many.name}. Are they to be listed?"
            options = ("leave them out", "list them too")
            if scope.pick_always(f"empty {one.name}", text, options, assumed=options[0]) == options[1]:
                raise Ask(
                    "word",
                    f"I can list only {one.name} that have {many.name}. Say it in other words, or leave them out.",
                )
            return
