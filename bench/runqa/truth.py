"""What is known of a fault because somebody put it there; nothing of it is taken from what Osiris tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.runqa.desk import Desk

SESSION = "$SESSION"
"""Stands for the id of the session, where that is the object that a fault is about."""


@dataclass(frozen=True)
class Steps:
    """Steps that must be named, and others that may be, as it depends on the moment how far they came."""

    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Truth:
    """The right answers to all questions about one fault.

    verdict   the status; of a complete run also what is odd, as `complete:fan_out`
    steps     the failed step: any of these is right; none for a run in which nothing failed
    code      the code of the cause, and `kind` its class; None if nothing failed
    root      the objects that are the cause, kind to name; `a|b` are two spellings of one name
    held_up   the steps that did not end well by this cause, the failed ones with them
    written   writer to the states that are right, `a|b`
    part      whether the target holds a part: then it must not be denied, else it must be
    rows      `STEP.COLUMN`, or `in`, `out`, `rejected` of the run, to the number
    changed   pairs of area and a word of the path or text; `a|b` are two areas that are both right
    may_change  areas that may be named besides; any other is wrong
    retry     whether the command may be given again; None if something half done may stay
    next      the kinds of command that are a right first thing to do
    """

    verdict: str
    code: str | None = None
    kind: str | None = None
    steps: frozenset[str] = frozenset()
    root: Mapping[str, str] = field(default_factory=dict)
    held_up: Steps = field(default_factory=Steps)
    written: Mapping[str, str] = field(default_factory=dict)
    part: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    changed: frozenset[tuple[str, str]] = frozenset()
    may_change: frozenset[str] = frozenset()
    retry: bool | None = True
    next: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fault:
    """One fault: how it is brought about in a fresh project (gives the session that has it), and the truth about it."""

    name: str
    inject: Callable[[Desk], str]
    truth: Truth


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def steps(must: str = "", may: str = "") -> Steps:
    """Return the steps that two texts name."""
    return Steps(names(must), names(may))


def changes(*pairs: str) -> frozenset[tuple[str, str]]:
    """Return pairs written as `area word`."""
    return frozenset((area, word) for area, _space, word in (pair.partition(" ") for pair in pairs))
