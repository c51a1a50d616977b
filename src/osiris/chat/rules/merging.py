"""Two conditions on one column as alternatives: `also status shipped` behind `status paid`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.query import Known, Mention, Test, Value

if TYPE_CHECKING:
    from osiris.chat.rules.query import Condition

_Key = tuple[str, str | None]


def joined_values(old: Condition, new: Condition) -> Condition | None:
    """Return one condition that either of two fulfils; None if they do not name values of one column."""
    keys = _keys(old) & _keys(new)
    first, second = (_values(each, keys) for each in (old, new))
    if not keys or not first or not second:
        return None
    if isinstance(old, Known) and isinstance(new, Known):
        return Known((*old.choices, *new.choices), negated=False, text=f"{old.text} or {new.text}", noun=old.noun)
    left = old.left if isinstance(old, Test) else new.left if isinstance(new, Test) else None
    return Test(left, "=", (*first, *second))


def _keys(condition: Condition) -> set[_Key]:
    """Return the columns of which a condition names values."""
    match condition:
        case Test(left=Mention(), operator="="):
            return {each.key for each in condition.left.columns}  # type: ignore[union-attr]
        case Known(negated=False):
            return set.intersection(*({each.key for each in found} for found in condition.choices))
        case _:
            return set()


def _values(condition: Condition, keys: set[_Key]) -> tuple[Value, ...]:
    match condition:
        case Test():
            return condition.values
        case Known():
            held = ([each for each in found if each.key in keys] for found in condition.choices)
            return tuple(Value(str(found[0].value), "text", exact=True) for found in held if found)
        case _:
            return ()
