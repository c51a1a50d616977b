"""The doctor of servers: what is asked of each of them, and what is made of the answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.families.doctor_report import (
    NOT_GRANTED,
    Clock,
    Health,
    Line,
    clock_problems,
    graded,
    hurried,
    lacking,
    milliseconds,
)
from osiris.families.sql.database import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.sql.database import SessionT
    from osiris.model import JsonValue

    Scripts = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server tells: the user, the line to it, and facts.

    `powers` reach beyond tables, `writes` change some; `lacks` is what a reader may not read, and is asked for only of
    one. `problems` are told besides, `scripts` make a user that may do less.
    """

    user: str
    line: Line
    facts: Mapping[str, JsonValue]
    powers: Sequence[str]
    writes: Sequence[str]
    lacks: Iterable[str]
    scripts: Scripts
    problems: Sequence[Diagnostic] = ()


def examine_server(
    ctx: StepContext,
    seconds: float,
    reading: Callable[[StepContext], AbstractContextManager[SessionT]],
    now: str,
    look: Callable[[SessionT], Seen],
    unseen: Callable[[], tuple[str, Scripts]],
) -> Health:
    """Look at a server; fails with CON011 to CON017 where it cannot be used.

    `reading` opens a session, `now` is the SELECT of the server's clock in seconds since 1970, `look` asks the rest.
    `unseen` gives the user and the scripts for one that may not even log in to the database.
    """
    began = time.monotonic()
    try:
        with reading(hurried(ctx, seconds)) as session:
            connected = milliseconds(began)
            clock, asked = Clock(), time.monotonic()
            skew = clock.skew(float(session.rows(now)[0][0]))
            times = {"connect_ms": connected, "query_ms": milliseconds(asked), "clock_skew_seconds": skew}
            seen = look(session)
            grade, reasons = graded(seen.powers, seen.writes)
            lacks = list(seen.lacks) if grade == "reader" else []
    except OsirisError as error:
        if error.diagnostics[0].code != NOT_GRANTED:
            raise
        user, scripts = unseen()
        return Health(None, scripts=scripts, user=user, found=error.diagnostics)
    line = seen.line
    problems = [*line.problems(), *clock_problems(line.where, skew), *seen.problems]
    facts = {**seen.facts, "encrypted": line.encrypted, "verified": line.verified, **times}
    found = [*problems, *lacking(ctx.step, seen.user, lacks)]
    return Health(grade, reasons, facts, seen.scripts, seen.user, found)


def scripts_of(lines: Scripts, **names: str) -> Scripts:
    """Return the statements that make a `reader` and a `writer`, with names put in: those given, and the ledger's."""
    return {kind: [line.format(ledger=LEDGER, **names) for line in each] for kind, each in lines.items()}
