"""Which option typed text means: exact first, then case, then a single slip; never a guess among several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import certain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.chat.guide.questions import Option


@dataclass(frozen=True, slots=True)
class Meant:
    """The options that text means; without any, those that it `may` mean."""

    options: tuple[Option, ...] = ()
    may: tuple[Option, ...] = ()


def meant(text: str, options: Sequence[Option], *, several: bool, shown: Callable[[str], str]) -> Meant:
    """Return what text means among options: one, or with `several` any number, separated by commas (numbers: blanks).

    Options count from 1. `shown` is how a label looks on the terminal, which may be typed as well.
    """
    whole = _exact(text, options, shown)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) == 1 and all(word.isdecimal() for word in text.split()):
        parts = text.split()
    if whole.options or whole.may or not several or len(parts) == 1:
        return whole if whole.options or whole.may else _near(text, options)
    found = [_exact(part, options, shown) for part in parts]
    found = [
        each if each.options or each.may else _near(part, options) for part, each in zip(parts, found, strict=True)
    ]
    unclear = next((each for each in found if not each.options), None)
    if unclear is not None:
        return Meant(may=unclear.may)
    chosen = [each.options[0] for each in found]
    doubled = tuple(each for n, each in enumerate(chosen) if each in chosen[:n])
    return Meant(may=doubled) if doubled else Meant(tuple(chosen))


def _exact(text: str, options: Sequence[Option], shown: Callable[[str], str]) -> Meant:
    rules: tuple[Callable[[str], bool], ...] = (
        lambda label: label == text,
        lambda label: shown(label) == text,
        lambda label: label.casefold() == text.casefold(),
    )
    for rule in rules:
        found = tuple(each for each in options if rule(each.label))
        if found:
            return Meant(found) if len(found) == 1 else Meant(may=found)
    number = text.removeprefix("#")
    is_place = number.isdecimal() and 1 <= int(number) <= len(options)
    return Meant((options[int(number) - 1],)) if is_place else Meant()


def _near(text: str, options: Sequence[Option]) -> Meant:
    """Return the only option that a slip makes of text; else those that have all of its words, to choose from."""
    near = certain(text, [each.label for each in options])
    found = tuple(each for each in options if each.label == near)
    return Meant(found) if len(found) == 1 else Meant(may=tuple(narrowed(text, options)))


def narrowed(text: str, options: Sequence[Option]) -> list[Option]:
    """Return the options that have all typed words, in any order and case."""
    words = text.casefold().split()
    return [each for each in options if all(word in each.label.casefold() for word in words)] if words else []
