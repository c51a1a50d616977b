"""How further words change a request: what `instead` stands beside takes the place of what it is about, and no more."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules.lexicon import is_date
from osiris.chat.rules.merging import joined_values
from osiris.chat.rules.query import (
    Aggregate,
    AnyOf,
    Condition,
    Flag,
    Goal,
    Group,
    Known,
    Mention,
    Missing,
    Not,
    Product,
    Related,
    Said,
    Test,
    Within,
)
from osiris.chat.rules.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.rules.goals import Places
    from osiris.chat.rules.lexicon import Candidate, Lexicon
    from osiris.chat.rules.query import Expression, Value

_ANEW = frozenset(["instead", "rather"])
_ONLY = _ANEW | {"only", "just"}
_ALSO = frozenset(["also", "too", "additionally", "well"])
_ADDS = re.compile(r"\s*(?:and|or|plus|add)\b", re.IGNORECASE)
"""Words that add a condition to those before, rather than put it in the place of one of the same column."""

_BREAK = re.compile(r"[,;]|[.!?](?=\s|$)|\b(?:but|then)\b", re.IGNORECASE)
_NO_LONGER = "{} no longer applies"


def changed(said: Said, by: Said, text: str, names: Lexicon, known: Places) -> Said:
    """Return a request as further words change it; what these remove is noted."""
    anew, only = (_beside(words, by, text, names, known) for words in (_ANEW, _ONLY))
    also = by if _adds(text) else _beside(_ALSO, by, text, names, known)
    conditions, joints, gone = _conditions(said, anew, also, by)
    outputs = [*said.outputs, *by.outputs]
    if only.outputs:
        outputs = by.outputs
        gone += [f"the column {_spoken(each.of)}" for each in said.outputs if each not in by.outputs]
    elif by.outputs and not said.outputs and set(re.findall(r"\w+", text.lower())) & {"add", "include", "also", "plus"}:
        outputs = [replace(each, added=True) for each in by.outputs]
    if anew.aggregates:
        gone += [_spoken(each.of) for each in said.aggregates if each not in by.aggregates]
    if anew.groups:
        gone += [f"per {_of_group(each)}" for each in said.groups if each not in by.groups]
    return Said(
        tables=(said.tables or (_counted(said) if anew.aggregates else [])) + by.tables,
        outputs=outputs,
        aggregates=by.aggregates if anew.aggregates else said.aggregates + by.aggregates,
        groups=by.groups if anew.groups else said.groups + by.groups,
        conditions=conditions,
        joints=joints,
        orders=by.orders or said.orders,
        limit=by.limit if by.limit is not None else said.limit,
        bottom=by.bottom if by.limit is not None else said.bottom,
        ranked=said.ranked or by.ranked,
        end=by.end if by.limit is not None else said.end,
        distinct=said.distinct or by.distinct,
        counts=said.counts or by.counts,
        excluded=said.excluded + by.excluded,
        renamed=said.renamed + by.renamed,
        goal=_aim(said.goal, by.goal),
        sources=said.sources + by.sources,
        unread=said.unread + by.unread,
        refused=said.refused + by.refused,
        notes=said.notes + by.notes + [_NO_LONGER.format(each) for each in gone],
    )


def _beside(words: frozenset[str], by: Said, text: str, names: Lexicon, known: Places) -> Said:
    """Return what the clauses say that have one of some words; all of it where these stand by themselves."""
    clauses = [each for each in _BREAK.split(text) if words & set(re.findall(r"\w+", each.lower()))]
    if not clauses:
        return Said()
    found = read(", ".join(clauses), names, known)
    return by if found == Said() else found


def _counted(said: Said) -> list[Mention]:
    """Return the tables whose rows are counted: a request stays about them where something else is computed."""
    counted = [each.of.of for each in said.aggregates if isinstance(each.of, Aggregate) and each.of.function == "count"]
    return [each for each in counted if isinstance(each, Mention) and each.tables]


def _aim(goal: Goal, by: Goal) -> Goal:
    moved = bool(by.paths or by.formats or by.places)
    kept = by if moved else goal
    return Goal(
        paths=kept.paths,
        formats=kept.formats,
        places=kept.places,
        table=by.table or goal.table,
        name=by.name or goal.name,
        modes=by.modes or goal.modes,
        key=by.key or goal.key,
    )


def _conditions(said: Said, anew: Said, also: Said, by: Said) -> tuple[list[Condition], list[str], list[str]]:
    """Return all conditions, what joins them, and in words those that do not hold any more.

    A condition takes the place of those of the same column, unless it is said that it comes to them, or is the other
    side of one; with `instead` also of one that is alike otherwise. It stands where that stood, so that `or` joins the
    same alternatives as before.
    """
    found: list[tuple[Condition, str]] = []
    gone: list[str] = []
    coming = list(zip(by.conditions, by.joints, strict=True))
    for old, joint in zip(said.conditions, said.joints, strict=True):
        joins = [
            (each, both) for each in coming if each[0] in also.conditions and (both := joined_values(old, each[0]))
        ]
        if joins:
            coming.remove(joins[0][0])
            found.append((joins[0][1], joint))
            continue
        alike = [each for each in coming if _takes_over(each, old, said, anew, also)]
        if alike:
            gone.append(_shown(old))
            found += [(new, joint if number == 0 else link) for number, (new, link) in enumerate(alike)]
            coming = [each for each in coming if each not in alike]
        else:
            found.append((old, joint))
    found += coming
    return [each for each, _ in found], [joint for _, joint in found], gone


def _adds(text: str) -> bool:
    """Tell whether words begin with `and`, and do not say that only they hold."""
    return bool(_ADDS.match(text)) and not _ONLY & set(re.findall(r"\w+", text.lower()))


def _takes_over(coming: tuple[Condition, str], old: Condition, said: Said, anew: Said, also: Said) -> bool:
    """Tell whether a condition, with what joins it, takes the place of another one."""
    new, joint = coming
    if any(_is_alike(old, each, said.conditions) for each in anew.conditions):
        return _is_alike(old, new, said.conditions)
    if new in also.conditions or joint == "or" or _is_computed(old) != _is_computed(new):
        return False
    both = (old, new)
    if any(isinstance(each, AnyOf | Not) for each in both) or _are_two_sides(old, new):
        return False
    if all(isinstance(each, Within) and each.left is None for each in both):
        return True
    return bool({each.key for each in _columns(new)} & {each.key for each in _columns(old)})


def _are_two_sides(old: Condition, new: Condition) -> bool:
    """Tell whether one condition bounds from below and the other one from above, so that both can be meant."""
    if isinstance(old, Test) and isinstance(new, Test):
        return bool(_sides(old) ^ _sides(new))
    if isinstance(old, Within) and isinstance(new, Within):
        return (old.start is None) != (new.start is None) and (old.end is None) != (new.end is None)
    return False


def _sides(test: Test) -> frozenset[str]:
    """Return from which side a comparison bounds, if it bounds."""
    return frozenset(test.operator[:1]) & {"<", ">"} if test.operator != "<>" else frozenset()


def _is_alike(old: Condition, new: Condition, every: Sequence[Condition]) -> bool:
    """Tell whether two conditions are about the same column; one that names none is about the only one of its kind."""
    if isinstance(new, Related) or isinstance(old, Related):
        return isinstance(new, Related) and isinstance(old, Related) and _tables(old) == _tables(new)
    if _is_computed(old) != _is_computed(new):
        return False
    own = _columns(new)
    if own and (theirs := _columns(old)):
        return bool({each.key for each in own} & {each.key for each in theirs})
    if own and isinstance(old, Within):
        return any(each.column and is_date(each.column) for each in own)
    kind = _kind(new)
    return kind == _kind(old) and sum(_kind(each) == kind for each in every) == 1


def _is_computed(condition: Condition) -> bool:
    return isinstance(condition, Test) and (isinstance(condition.left, Aggregate) or condition.words == "group")


def _tables(condition: Related) -> set[tuple[str, str | None]]:
    return {each.key for each in condition.table.tables}


def _columns(condition: Condition) -> list[Candidate]:
    """Return the columns that a condition may be about; none if it names none."""
    match condition:
        case AnyOf():
            return [each for part in condition.parts for each in _columns(part)]
        case Known():
            return [each for choice in condition.choices for each in choice]
        case Not():
            return _columns(condition.part)
        case Related():
            return []
        case _:
            return _columns_of(condition.left)


def _columns_of(of: Expression | Aggregate | None) -> list[Candidate]:
    match of:
        case Mention():
            return list(of.columns or of.tables)
        case Product():
            return _columns_of(of.left) + _columns_of(of.right)
        case Aggregate():
            return _columns_of(of.of if of.of is not None else of.plain)
        case None:
            return []


def _kind(condition: Condition) -> str:
    if isinstance(condition, Test):
        return "number" if condition.values and condition.values[0].kind == "number" else "text"
    return "text" if isinstance(condition, Known) else type(condition).__name__


def _shown(condition: Condition) -> str:
    """Return a condition in words."""
    match condition:
        case Test():
            left = f"{_spoken(condition.left)} {condition.operator} " if condition.left else ""
            return left + " or ".join(map(_of_value, condition.values)) if left else condition.text
        case Known() | Within():
            return f"'{condition.text}'"
        case Missing():
            return f"{condition.left.text} is {'not ' if condition.negated else ''}empty"
        case Flag():
            return f"{'not ' if condition.negated else ''}{condition.left.text}"
        case Related():
            return f"{'without' if condition.negated else 'with'} {condition.table.text}"
        case Not() | AnyOf():
            return _shown_together(condition)


def _shown_together(condition: Not | AnyOf) -> str:
    if isinstance(condition, Not):
        return f"not {_shown(condition.part)}"
    return " or ".join(map(_shown, condition.parts))


def _of_value(value: Value) -> str:
    return f"'{value.text}'" if value.kind == "text" else value.text


def _of_group(group: Group) -> str:
    return " ".join(each for each in (group.of.text if group.of else "", group.unit or "") if each)


def _spoken(of: Expression | Aggregate | None) -> str:
    match of:
        case Mention():
            return of.text
        case Product():
            return f"{_spoken(of.left)} {of.operator} {_spoken(of.right)}"
        case Aggregate():
            inner = _spoken(of.of if of.of is not None else of.plain)
            return f"{of.function} of {inner}" if inner else of.function
        case None:
            return ""
