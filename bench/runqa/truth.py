"""The truth about a fault, known because the test caused it; nothing of it comes from Osiris."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.runqa.desk import Desk

SESSION = "$SESSION"
"""Placeholder for the id of the session, if the session is the object of a fault."""


@dataclass(frozen=True)
class Steps:
    """Steps that must be named, and others that may be named, because their progress depends on timing."""

    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Truth:
    """The right answers to all questions about one fault.

    verdict   the status; for a complete run also the finding, as `complete:fan_out`
    steps     the failed step: any of these is right; none for a run in which nothing failed
    code      the code of the cause, and `kind` its class; None if nothing failed
    root      the objects that are the cause, names by kind; `a|b` are two spellings of one name
    held_up   the steps that did not complete because of it, including the failed ones
    written   the right states by writer, `a|b`
    part      whether the target was written partly: this must be reported exactly then
    rows      numbers by `STEP.COLUMN`, or by `in`, `out`, `rejected` of the run
    changed   pairs of area and a word of the path or text; of two areas `a|b` both are right
    may_change  other areas that may be named; any further one is wrong
    retry     whether the command can be repeated safely; None if partial output may remain
    next      the kinds of commands that are right as the first step
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
    """One fault: how it is caused in a fresh project (returns its session), and the truth about it."""

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
