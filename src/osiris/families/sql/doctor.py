"""The doctor of servers: the checks that all of them share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.families.doctor_report import (
    NOT_GRANTED,
    Clock,
    Health,
    Transport,
    check_clock,
    grade_of,
    milliseconds,
    no_access,
    with_timeout,
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
class ServerFacts:
    """What a server reports: the user, the transport, and facts.

    `powers` are privileges beyond tables, `writes` those to change tables; `lacks` are missing privileges to read, and
    evaluated only for a reader. `problems` are further findings, `scripts` create users with fewer privileges.
    """

    user: str
    line: Transport
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
    inspect: Callable[[SessionT], ServerFacts],
    login_scripts: Callable[[], tuple[str, Scripts]],
) -> Health:
    """Check a server; fails with CON011 to CON017 if it cannot be used.

    `reading` opens a session, `now` is the SELECT of the server's clock in seconds since 1970, `inspect` queries the
    rest. `login_scripts` returns the user and the scripts for a user that may not log in to the database.
    """
    began = time.monotonic()
    try:
        with reading(with_timeout(ctx, seconds)) as session:
            connected = milliseconds(began)
            clock, query_began = Clock(), time.monotonic()
            skew = clock.skew(float(session.rows(now)[0][0]))
            times = {"connect_ms": connected, "query_ms": milliseconds(query_began), "clock_skew_seconds": skew}
            server = inspect(session)
            grade, reasons = grade_of(server.powers, server.writes)
            lacks = list(server.lacks) if grade == "reader" else []
    except OsirisError as error:
        if error.diagnostics[0].code != NOT_GRANTED:
            raise
        user, scripts = login_scripts()
        return Health(None, scripts=scripts, user=user, diagnostics=error.diagnostics)
    line = server.line
    problems = [*line.problems(), *check_clock(line.where, skew), *server.problems]
    facts = {**server.facts, "encrypted": line.encrypted, "verified": line.verified, **times}
    diagnostics = [*problems, *no_access(ctx.step, server.user, lacks)]
    return Health(grade, reasons, facts, server.scripts, server.user, diagnostics)


def scripts_of(lines: Scripts, **names: str) -> Scripts:
    """Return the statements that create a `reader` and a `writer`, with `names` and the ledger's name filled in."""
    return {kind: [line.format(ledger=LEDGER, **names) for line in each] for kind, each in lines.items()}
