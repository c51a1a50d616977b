"""From a request whose words are settled to one SELECT over the tables that it needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules.abbreviations import SECRET_TABLES
from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.joins import Joined, join
from osiris.chat.rules.lexicon import is_number, table_words
from osiris.chat.rules.measuring import aggregate_sql, grouped
from osiris.chat.rules.predicates import predicate
from osiris.chat.rules.query import Aggregate, AnyOf, Flag, Mention, Missing, Not, Output, Test, Within
from osiris.chat.rules.rendering import Made, check_rows, check_used, rendered
from osiris.chat.rules.scope import Ref, Scope
from osiris.chat.rules.shape import Selected, Shape, is_grouped
from osiris.chat.rules.sorting import sort
from osiris.chat.rules.subjects import group_column, settle, speak
from osiris.chat.rules.tokens import stem

if TYPE_CHECKING:
    from osiris.chat.choices import Relation
    from osiris.chat.rules.naming import Piece
    from osiris.chat.rules.query import Condition, Said


def statement(said: Said, scope: Scope) -> Made:
    """Return the statement of a request; asks for what may be meant in several ways."""
    speak(said, scope)
    if not scope.main:
        offered = [each.name for each in scope.choices.relations if not SECRET_TABLES.intersection(table_words(each))]
        raise Ask("table", "Which table?", tuple(offered[:12]))
    said = settle(said, scope)
    found = _shaped(said, scope)
    while fanned := _fanned(said, scope, found[1]):
        scope.fanned += fanned
        found = _shaped(said, scope)
    shape, joined = found
    check_rows(scope, shape, joined)
    check_used(scope, joined)
    return rendered(shape, joined, scope)


def _shaped(said: Said, scope: Scope) -> tuple[Shape, Joined]:
    shape = Shape(limit=said.limit, distinct=said.distinct)
    _select(said, scope, shape)
    _exclude(said, scope, shape)
    _rename(said, scope, shape)
    _filter(said, scope, shape)
    sort(said, scope, shape)
    return shape, join(_refs(shape), _counted_tables(said, scope), scope)


def _fanned(said: Said, scope: Scope, joined: Joined) -> list[Relation]:
    """Return the tables that are counted, but have several rows here for each of their own."""
    if not said.aggregates:
        return []
    return [each for each in _counted_tables(said, scope) if each != joined.base and each not in scope.fanned]


def _counted_tables(said: Said, scope: Scope) -> list[Relation]:
    """Return the tables whose rows are counted, or listed."""
    counted = [each.of.of for each in said.aggregates if isinstance(each.of, Aggregate) and each.of.function == "count"]
    tables = [
        scope.relation_of(each)
        for each in counted
        if isinstance(each, Mention) and each.tables and not _by_column(each)
    ]
    return tables or ([] if said.aggregates else [scope.main[0]])


def _by_column(mention: Mention) -> bool:
    return bool(mention.columns) and min(c.tier for c in mention.columns) < min(t.tier for t in mention.tables)


def _select(said: Said, scope: Scope, shape: Shape) -> None:
    if said.groups or said.aggregates:
        _select_groups(said, scope, shape)
        return
    _settle_with(said, scope)
    _settle_beside(said, scope)
    added = [each for each in said.outputs if _is_added(each, scope)]
    shape.whole = not said.outputs or len(added) == len(said.outputs)
    for output in said.outputs:
        if not isinstance(output.of, Mention):
            continue
        ref = scope.column_of(output.of)
        if not (shape.whole and scope.main and ref.relation == scope.main[0]):
            label = output.name or _name(ref, shape, scope)
            _append(shape, Selected((ref,), label, by_mention=output.of.text))


def _settle_with(said: Said, scope: Scope) -> None:
    """Ask what `customers with email` means where some have none: which rows, or which column."""
    output = said.outputs[-1] if said.outputs else None
    if output is None or not output.added or not isinstance(output.of, Mention) or not scope.main:
        return
    ref = scope.column_of(output.of)
    if len(said.outputs) > 1 and ref.column.type != "bool":
        return
    if ref.relation != scope.main[0] or (ref.column.type != "bool" and ref.column.profile.get("null_share") == 0):
        return
    options = (f"rows with {ref.column.name}", f"only the column {ref.column.name}")
    text = f"'with {output.of.text}': what is meant?"
    if scope.pick_always(f"with {ref.label}", text, options) == options[0]:
        said.outputs.pop()
        yes = Flag(output.of, negated=False) if ref.column.type == "bool" else Missing(output.of, negated=True)
        said.conditions.append(yes)
        said.joints.append("and")


def _settle_beside(said: Said, scope: Scope) -> None:
    """Ask what is listed where a column of a table was said to stand beside it: `doctors and salary`."""
    if not said.tables or not said.outputs or not said.outputs[0].beside:
        return
    refs = [scope.column_of(each.of) for each in said.outputs if isinstance(each.of, Mention)]
    names = " and ".join(each.column.name for each in refs)
    options = ("all columns", f"only {names}")
    text = f"'and {names}': which columns are listed?"
    own = all(each.relation == scope.main[0] for each in refs)
    if own and scope.pick_always(f"with {refs[0].label}", text, options) == options[0]:
        said.outputs.clear()


def _is_added(output: Output, scope: Scope) -> bool:
    """Tell whether a column is said to stand beside those of the first table, of which it is none."""
    if not output.added or not isinstance(output.of, Mention) or not scope.main:
        return False
    return all(each.relation != scope.main[0] for each in scope.columns_of(output.of))


def _name(ref: Ref, shape: Shape, scope: Scope) -> str:
    taken = {each.name.lower() for each in shape.columns}
    if shape.whole and scope.main:
        taken |= {each.name.lower() for each in scope.main[0].columns or ()}
    plain = ref.column.name
    return plain if plain.lower() not in taken else f"{stem(ref.relation.name)}_{plain}"


def _append(shape: Shape, selected: Selected) -> None:
    if any(each.piece == selected.piece and each.aggregate == selected.aggregate for each in shape.columns):
        return
    names = {each.name.lower() for each in shape.columns}
    while selected.name.lower() in names:
        selected.name = f"{selected.name}_2"
    shape.columns.append(selected)


def _select_groups(said: Said, scope: Scope, shape: Shape) -> None:
    by_year = any(each.unit == "year" for each in said.groups)
    for group in said.groups:
        text = group.of.text if group.of else str(group.unit)
        for piece, label in grouped(group, scope, by_year=by_year):
            _append(shape, Selected(piece, label, is_group=True, by_mention=text))
    for output in said.outputs:
        if isinstance(output.of, Mention):
            ref = group_column(output.of, scope)
            _append(
                shape,
                Selected((ref,), output.name or _name(ref, shape, scope), is_group=True, by_mention=output.of.text),
            )
    aggregates = said.aggregates or [Output(Aggregate("count", said.tables[0] if said.tables else None))]
    if any(group.loose is False for group in said.groups) and not said.aggregates:
        scope.assume("rows are counted")
    elif said.tables and said.outputs == [] and _counts_too(said, scope):
        aggregates = [Output(Aggregate("count", said.tables[0])), *aggregates]
        scope.assume("rows are counted as well")
    for output in aggregates:
        if isinstance(output.of, Aggregate):
            _append_aggregates(output.of, output.name, scope, shape)


def _counts_too(said: Said, scope: Scope) -> bool:
    """Tell whether rows are counted beside other aggregates: `flights per carrier with the average delay`."""
    counted = any(isinstance(each.of, Aggregate) and each.of.function == "count" for each in said.aggregates)
    return said.counts and not counted and bool(scope.main)


def _append_aggregates(found: Aggregate, given: str | None, scope: Scope, shape: Shape) -> None:
    inner = found.of if found.of is not None else found.plain
    ends: list[Ref | None] = [None]
    if isinstance(inner, Mention) and found.function in ("avg", "sum", "min", "max", "median") and inner.columns:
        ends = [*scope.both_ends(inner, is_number)] or ends
    for ref in ends:
        piece, label = aggregate_sql(found, scope, ref)
        _append(shape, Selected(piece, given or label, aggregate=found))


def _exclude(said: Said, scope: Scope, shape: Shape) -> None:
    """Leave columns out; all others are then listed."""
    unsure = [each for each in said.conditions if isinstance(each, Missing) and each.unsure]
    leaving = list(said.excluded)
    for each in unsure:
        ref = scope.column_of(each.left)
        options = (f"rows without {ref.column.name}", f"all rows, without the column {ref.column.name}")
        text = f"'without {each.left.text}': what is meant?"
        always = ref.column.profile.get("null_share") == 0 and ref.column.type != "bool"
        if always or scope.pick_always(f"without {ref.label}", text, options) == options[1]:
            leaving.append(each.left)
            said.joints.pop(said.conditions.index(each))
            said.conditions.remove(each)
    if not leaving:
        return
    gone = {(ref.relation.id, ref.column.name) for ref in map(scope.column_of, leaving)}
    if shape.whole:
        main = scope.main[0]
        whole = [Selected((Ref(main, each),), each.name) for each in main.columns or ()]
        shape.columns, shape.whole = whole + shape.columns, False
    kept = [each for each in shape.columns if not _is_gone(each.piece, gone)]
    if len(kept) == len(shape.columns) or not kept:
        raise Cannot("I cannot leave that column out: it is not among those of the result, or it is the only one")
    shape.columns = kept


def _is_gone(piece: Piece, gone: set[tuple[str, str]]) -> bool:
    return len(piece) == 1 and isinstance(piece[0], Ref) and (piece[0].relation.id, piece[0].column.name) in gone


def _rename(said: Said, scope: Scope, shape: Shape) -> None:
    if said.renamed and shape.whole:
        main = scope.main[0]
        whole = [Selected((Ref(main, each),), each.name) for each in main.columns or ()]
        shape.columns, shape.whole = whole + shape.columns, False
    for mention, new in said.renamed:
        ref = scope.column_of(mention)
        found = [each for each in shape.columns if each.piece == (ref,)]
        if not found:
            raise Cannot(f"{ref.label} is not among the columns of the result, so I cannot rename it")
        found[0].name = new


def _filter(said: Said, scope: Scope, shape: Shape) -> None:
    for condition in _joined(said):
        left = condition.left if isinstance(condition, Test) else None
        measured = [each for each in shape.columns if each.aggregate]
        if isinstance(condition, Test) and condition.words == "group" and not is_grouped(shape):
            condition = replace(condition, words="measure")
        if isinstance(left, Aggregate) and isinstance(condition, Test) and condition.text.startswith(" in "):
            raise Ask(f"word {condition.text}", f"What number is it{condition.text} in the unit of its column?")
        if isinstance(condition, Test) and condition.words == "group":
            if len(measured) != 1:
                raise Ask(f"word {condition.text}", f"Of what is '{condition.text}' said?")
            shape.having.append((*measured[0].piece, f" {condition.operator} {condition.values[0].text}"))
        elif isinstance(condition, Test) and isinstance(left, Aggregate) and shape.columns and is_grouped(shape):
            piece, _ = aggregate_sql(left, scope)
            values = " AND ".join(each.text for each in condition.values)
            operator = condition.operator.upper() if condition.operator == "between" else condition.operator
            shape.having.append((*piece, f" {operator} {values}"))
        else:
            shape.where.append(predicate(condition, scope))


def _joined(said: Said) -> list[Condition]:
    """Return conditions that must all hold: those joined by `or` are alternatives."""
    found: list[list[Condition]] = []
    joints = said.joints or []
    for condition, joint in zip(said.conditions, joints, strict=True):
        if joint == "or" and found:
            found[-1].append(condition)
        else:
            found.append([condition])
    if len(found) > 1 and any(len(each) > 1 for each in found):
        mixed = [part for part in found if len(part) > 1]
        if "and" in joints[1:] or any(len({_about(each) for each in part}) > 1 for part in mixed):
            raise Cannot(
                "I cannot tell what 'and' and 'or' bind together here; say it with one of them, or in two steps"
            )
    return [part[0] if len(part) == 1 else AnyOf(tuple(part)) for part in found]


def _about(condition: Condition) -> str:
    if isinstance(condition, Not):
        return _about(condition.part)
    left = getattr(condition, "left", None)
    if isinstance(condition, Within) and left is None:
        return "time"
    if isinstance(left, Mention):
        return left.text.lower()
    choices = getattr(condition, "choices", None)
    return str(sorted(str(each.key) for each in choices[0])) if choices else repr(condition)


def _refs(shape: Shape) -> list[Ref]:
    pieces = [each.piece for each in shape.columns] + shape.where + shape.having + shape.order
    return [part for piece in pieces for part in piece if isinstance(part, Ref)]
