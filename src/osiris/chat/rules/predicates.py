"""Conditions as SQL: which columns they are about, and the text around these."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from osiris.chat.rules.abbreviations import COUNTRIES
from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.lexicon import has_all_values, is_date, is_number, known_values
from osiris.chat.rules.naming import Piece, joined, literal, name
from osiris.chat.rules.operators import MEASURES
from osiris.chat.rules.query import Aggregate, AnyOf, Flag, Known, Mention, Missing, Not, Related, Test, Value, Within
from osiris.chat.rules.scope import Ref
from osiris.chat.rules.times import within
from osiris.chat.rules.tokens import split_name, stem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.choices import Column, Relation
    from osiris.chat.rules.graph import Edge
    from osiris.chat.rules.query import Condition
    from osiris.chat.rules.scope import Scope


_KEEP, _LEAVE = "keep them", "leave them out"
_PATTERNS = {"contains": ("%", "%"), "starts": ("", "%"), "ends": ("%", "")}


def predicate(condition: Condition, scope: Scope) -> Piece:
    """Return the SQL of a condition on rows; asks where it may mean several things."""
    match condition:
        case AnyOf():
            found: Piece = ("(", *joined([predicate(each, scope) for each in condition.parts], " OR "), ")")
        case Not():
            found = _not(predicate(condition.part, scope), scope)
        case Within():
            found = within(condition, scope)
        case Known():
            found = _known(condition, scope)
        case Missing():
            found = _missing(condition, scope)
        case Flag():
            ref = scope.column_of(condition.left, lambda column: column.type == "bool")
            found = ("NOT ", ref) if condition.negated else (ref,)
        case Related():
            found = _related(condition, scope)
        case Test():
            found = _test(condition, scope)
    return found


def _not(piece: Piece, scope: Scope) -> Piece:
    found: Piece = ("NOT (", *piece, ")")
    for ref in {each.label: each for each in piece if isinstance(each, Ref)}.values():
        found = _with_nulls(ref, found, scope)
    return found


def _missing(condition: Missing, scope: Scope) -> Piece:
    ref = scope.column_of(condition.left)
    if ref.column.type == "bool" and condition.unsure:
        return ("NOT ", ref)
    return (ref, " IS NOT NULL" if condition.negated else " IS NULL")


def together(pieces: Sequence[Piece]) -> Piece:
    """Return the SQL of conditions that must all hold."""
    return joined(pieces, "\n  AND ")


def _test(test: Test, scope: Scope) -> Piece:
    if isinstance(test.left, Aggregate):
        return _counted(test, test.left, scope)
    if test.left is None:
        return _compared(_unnamed(test, scope), test, scope)
    numeric = all(each.kind == "number" for each in test.values) and test.operator in ("<", ">", "<=", ">=", "between")
    ref = scope.column_of(test.left, is_number if numeric else None)
    if test.words == "guess":
        _check_guess(ref, test.values, scope)
    return _compared(ref, test, scope)


_FEW, _MOSTLY = 50, 0.5


def _check_guess(ref: Ref, values: Sequence[Value], scope: Scope) -> None:
    """Ask whether words are values of a column, unless it has few of them, and the profile does not show them."""
    distinct, rows = ref.column.profile.get("distinct"), ref.relation.rows
    shown = sum(each["share"] for each in ref.column.profile.get("values") or ())
    if not distinct or not rows or distinct > _FEW or distinct * 2 > rows or shown > _MOSTLY:
        text = values[0].text
        raise Ask(f"word {text}", f"I do not know what '{text}' means here. Is it a value of {ref.label}?")
    for each in values:
        scope.assume(f"'{each.text}' is a value of {ref.label}")


def _unnamed(test: Test, scope: Scope) -> Ref:
    """Return the column of a comparison that names none."""
    if test.words == "value":
        return _column_for(test, scope)
    head, _, unit = test.text.rpartition(" in ")
    test = replace(test, text=head) if unit in MEASURES else test
    relation = _first(scope, test.text)
    if test.words in ("money", "measure"):
        words = scope.money(relation) if test.words == "money" else ()
        found = scope.measure_of(relation, words, test.text)
    else:
        found = scope.measure_of(relation, test.words.split(), test.text)
    scope.assume(f"'{test.text}' is about {found.label}")
    return found


def _first(scope: Scope, said: str) -> Relation:
    if not scope.main:
        raise Cannot(f"I do not know which table '{said}' is about")
    return scope.main[0]


def _column_for(test: Test, scope: Scope) -> Ref:
    """Return the text column that a value stands in; a country stands in the only column of countries."""
    relations = [*scope.main, *scope.others]
    texts = [Ref(each, column) for each in relations for column in each.columns or () if _may_hold(column)]
    texts += [
        ref for each in relations for ref in scope.names_beside(each) if ref not in texts and _may_hold(ref.column)
    ]
    if test.text.lower() in COUNTRIES:
        lands = [
            each
            for each in texts
            if _LANDS.intersection((*split_name(each.column.name), *map(stem, split_name(each.relation.name))))
        ]
        if len(lands) == 1:
            scope.assume(f"'{test.text}' is a value of {lands[0].label}")
            return lands[0]
    labels = [each.label for each in texts]
    if not texts:
        raise Cannot(f"I do not know what '{test.text}' is")
    picked = scope.pick_always(f"value {test.text}", f"Which column has the value '{test.text}'?", labels)
    return texts[labels.index(picked)]


_LANDS = frozenset(("country", "nation"))


def _may_hold(column: Column) -> bool:
    return column.type == "utf8" and not has_all_values(column) and not is_date(column)


def _compared(ref: Ref, test: Test, scope: Scope) -> Piece:
    if any(value.kind == "column" for value in test.values):
        return _with_column(ref, test, scope)
    if test.operator in ("between", "<", ">", "<=", ">="):
        return _ordered(ref, test, scope)
    if test.operator.removeprefix("not ") in _PATTERNS:
        return _like(ref, test)
    negated = test.operator in ("<>", "not =")
    values = [
        replace(each, text=_scaled(each.text, ref.column, test.text, scope)) if each.kind == "number" else each
        for each in test.values
    ]
    piece = _equal(ref, values, scope, negated=negated)
    return _with_nulls(ref, piece, scope) if negated else piece


def _with_column(ref: Ref, test: Test, scope: Scope) -> Piece:
    mention = test.values[0].of
    if len(test.values) > 1 or mention is None or test.operator not in ("<", ">", "<=", ">=", "=", "<>"):
        raise Cannot(f"I cannot compare {ref.label} so")
    return (ref, f" {test.operator} ", scope.column_of(mention))


def _ordered(ref: Ref, test: Test, scope: Scope) -> Piece:
    if not is_number(ref.column) or any(value.kind != "number" for value in test.values):
        raise Cannot(f"{ref.label} holds no numbers to compare with {test.values[0].text}")
    numbers = [_scaled(value.text, ref.column, test.text, scope) for value in test.values]
    if test.operator == "between":
        return (ref, f" BETWEEN {numbers[0]} AND {numbers[1]}")
    return (ref, f" {test.operator} {numbers[0]}")


def _scaled(number: str, column: Column, said: str, scope: Scope) -> str:
    """Return a number in the unit of its column: 5 minutes are 300000 milliseconds."""
    unit = said.rpartition(" in ")[2] if " in " in said else ""
    if unit not in MEASURES:
        return number
    kind, size = MEASURES[unit]
    own = _unit_of(column, kind)
    if own is None:
        scope.pick_always(f"unit {column.name}", f"Is {column.name} in {unit}?", ("yes",), assumed="yes")
        return number
    if own == size:
        return number
    exact = Fraction(number) * size / own
    scaled = str(exact.numerator) if exact.denominator == 1 else f"{float(exact):.12g}"
    scope.assume(f"{number} {unit} are {scaled} in {column.name}")
    return scaled


def _unit_of(column: Column, kind: str) -> Fraction | None:
    """Return the size of the unit that a column's name tells; a short one only at its end, as `s` of duration_s."""
    words = split_name(column.name)
    told = [each for each in words if len(each) > _SHORT or each == words[-1]]
    units = [MEASURES[each] for each in told if each in MEASURES]
    if any(each != kind for each, _ in units):
        raise Cannot(f"{column.name} is not measured in a unit of {kind}")
    return units[0][1] if units else None


_SHORT = 3


def _like(ref: Ref, test: Test) -> Piece:
    if ref.column.type != "utf8":
        raise Cannot(f"{ref.label} holds no text to search in")
    before, behind = _PATTERNS[test.operator.removeprefix("not ")]
    if any(sign in value.text for value in test.values for sign in "%_\\"):
        raise Cannot("I cannot search for text with %, _ or \\ in it")
    negated = "NOT " if test.operator.startswith("not ") else ""
    parts: list[Piece] = [(ref, f" {negated}ILIKE {literal(before + value.text + behind)}") for value in test.values]
    return parts[0] if len(parts) == 1 else ("(", *joined(parts, " AND " if negated else " OR "), ")")


def _equal(ref: Ref, values: Sequence[Value], scope: Scope, *, negated: bool) -> Piece:
    if ref.column.type == "bool" and len(values) == 1 and values[0].text.lower() in ("true", "false"):
        return (ref,) if (values[0].text.lower() == "true") != negated else ("NOT ", ref)
    spelled = [_spelled(ref, value, scope) for value in values]
    column: Piece = (ref,)
    if any(_is_unseen(ref, value) for value in values):
        spelled, column = [each.lower() for each in spelled], ("lower(", ref, ")")
    if len(spelled) == 1:
        return (*column, f" {'<>' if negated else '='} {spelled[0]}")
    return (*column, f" {'NOT ' if negated else ''}IN ({', '.join(spelled)})")


def _is_unseen(ref: Ref, value: Value) -> bool:
    """Tell whether nothing tells in which letters a text stands in the data: then capitals do not count."""
    is_text = ref.column.type == "utf8" and not value.exact and not has_all_values(ref.column)
    return is_text and value.text.lower() not in [each.lower() for each in known_values(ref.column)]


def _spelled(ref: Ref, value: Value, scope: Scope) -> str:
    """Return a value as the column spells it; asks where it is known not to have it."""
    if is_number(ref.column):
        if value.kind != "number":
            raise Cannot(f"{ref.label} holds numbers, so it cannot be '{value.text}'")
        return value.text
    if ref.column.type != "utf8":
        raise Cannot(f"I cannot compare {ref.label} with '{value.text}'")
    known = known_values(ref.column)
    same = [each for each in known if each.lower() == value.text.lower()]
    if value.text in known or len(same) == 1:
        return literal(value.text if value.text in known else same[0])
    if has_all_values(ref.column):
        options = [(each, each) for each in known]
        picked = scope.pick_always(
            f"value of {ref.label} {value.text}",
            f"{ref.label} has no '{value.text}'. Which is meant?",
            [o[0] for o in options],
        )
        return literal(picked)
    if not value.exact:
        scope.assume(f"'{value.text}' is looked for in {ref.label}, in capitals or not")
    return literal(value.text)


def _with_nulls(ref: Ref, piece: Piece, scope: Scope) -> Piece:
    """Return a negative condition, and rows without a value if the person wants them."""
    if not ref.column.nullable or ref.column.profile.get("null_share") == 0:
        return piece
    text = f"Some rows have no {ref.label}. Keep them?"
    if scope.pick_always(f"nulls {ref.label}", text, (_LEAVE, _KEEP), assumed=_KEEP) == _LEAVE:
        return piece
    return ("(", *piece, " OR ", ref, " IS NULL)")


def _known(condition: Known, scope: Scope) -> Piece:
    if done := _happened(condition, scope):
        return done
    held = [{each.key for each in found} for found in condition.choices]
    shared = set.intersection(*held)
    if not shared:
        raise Cannot(f"no column holds all of '{condition.text}'")
    columns = {
        each.key: Ref(each.relation, each.column) for found in condition.choices for each in found if each.column
    }
    refs = scope.nearest_refs([ref for key, ref in columns.items() if key in shared])
    ref = _held_by(refs, condition.text, scope)
    texts = [
        next(str(c.value) for c in found if c.key == (ref.relation.id, ref.column.name)) for found in condition.choices
    ]
    values = tuple(Value(text, "text", exact=True) for text in dict.fromkeys(texts))
    piece = _equal(ref, values, scope, negated=condition.negated)
    return _with_nulls(ref, piece, scope) if condition.negated else piece


def _held_by(refs: Sequence[Ref], said: str, scope: Scope) -> Ref:
    """Return the column of a value; asks if there are several, or the rows have several of its table each."""
    labels = [each.label for each in refs]
    text = f"Which column has '{said}'?"
    sure = len(refs) == 1 and (not scope.main or scope.is_told_by(scope.main[0], refs[0].relation))
    return refs[0] if sure else refs[labels.index(scope.pick_always(f"value {said}", text, labels))]


def _happened(condition: Known, scope: Scope) -> Piece:
    """Ask where a value is also something that a date tells: `shipped` of a status, and a shipped_date."""
    word = condition.text.lower()
    main = scope.main[0] if scope.main else None
    dates = [each for each in (main.columns or ()) if is_date(each) and word in split_name(each.name)] if main else []
    values = [each for found in condition.choices for each in found if main and each.relation == main and each.column]
    if not dates or not values or main is None or condition.noun:
        return ()
    column = values[0].column.name if values[0].column else ""
    options = (f"by {column}", f"by {dates[0].name}")
    if scope.pick_always(f"happened {word}", f"'{word}': by which column?", options) == options[0]:
        return ()
    return (Ref(main, dates[0]), " IS NULL" if condition.negated else " IS NOT NULL")


def edge_to(scope: Scope, mention: Mention) -> tuple[Edge, Relation]:
    """Return the edge by which a table refers to the first of those that are spoken of."""
    main = _first(scope, mention.text)
    relation = scope.relation_of(mention)
    edges = scope.graph.between(relation.id, main.id)
    if not edges:
        raise Cannot(f"rows of {relation.name} do not refer to {main.name}, so I cannot tell which belong together")
    options = [(each.label, each) for each in edges]
    picked = scope.pick(f"path {relation.name} {main.name}", f"By which column do {relation.name} belong?", options)
    return picked, relation


def _match(edge: Edge) -> Piece:
    ones = {column.name: Ref(edge.one, column) for column in edge.one.columns or ()}
    sides = [(f"{edge.many.name}.{name(left)} = ", ones[right]) for left, right in edge.columns]
    return joined(sides, " AND ")


def _related(condition: Related, scope: Scope) -> Piece:
    edge, relation = edge_to(scope, condition.table)
    scope.read_too(relation)
    word = "NOT EXISTS" if condition.negated else "EXISTS"
    return (f"{word} (SELECT 1 FROM {relation.name} WHERE ", *_match(edge), ")")


def _counted(test: Test, left: Aggregate, scope: Scope) -> Piece:
    """Return the condition on how many rows of another table there are."""
    if left.function != "count" or not isinstance(left.of, Mention) or left.distinct or not left.of.tables:
        raise Cannot("I can only filter rows by how many others belong to them; group them to filter by more")
    edge, relation = edge_to(scope, left.of)
    scope.read_too(relation)
    return (f"(SELECT count(*) FROM {relation.name} WHERE ", *_match(edge), f") {test.operator} {test.values[0].text}")
