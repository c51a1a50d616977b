"""What a doctor says of a connection that works: what it may do, whether that is too much, and how to mend it.

The doctor of a family is a module beside it, `<family>_doctor`, with one function

    examine(ctx: StepContext, uses: Collection[str], seconds: float) -> Health

It raises what keeps the connection from working, within `seconds`, and changes nothing. `ctx.step` is the connection's
name, and `uses` are the modes (`read`, `write`) in which the pipelines of the project use it, as far as they are known.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from osiris.errors import diagnostic, fail
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

Grade = Literal["reader", "writer", "too powerful", "may list"]

NOT_GRANTED = "DRV020"
"""The code of a user who lacks a right: to the whole database, if that is what keeps it from being let in."""

CLOCKS_DIFFER = 5.0
"""Seconds from which a difference of clocks is worth a word."""

_SHOWN = 3
_TIMEOUTS = ("connect_timeout", "read_timeout", "write_timeout")


@dataclass(frozen=True, slots=True)
class Health:
    """A connection that works: what its user may do and why it is graded so, what else is known, what to look at.

    Of a store no more is known than that its key may list.
    `facts` are what the server or file says of itself. `scripts` has the statements that make a proper reader and a
    writer, where there are such. `user` is who logs in. Of one who is not let in only `found` tells why, and there is
    no grade.
    """

    grade: Grade | None
    reasons: Sequence[str] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    scripts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    user: str = ""
    diagnostics: Sequence[Diagnostic] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data, without what is to be looked at."""
        fields = asdict(self)
        del fields["diagnostics"]
        return {**fields, "facts": dict(self.facts)}


def grade_of(powers: Sequence[str], writes: Sequence[str]) -> tuple[Grade, Sequence[str]]:
    """Return the grade of who has these powers over the server, and may write these things, with the reasons."""
    if powers:
        return "too powerful", powers
    return ("writer", writes) if writes else ("reader", ())


def no_access(connection: str, user: str, lacks: Sequence[str]) -> Iterator[Diagnostic]:
    """Yield that a user who is let in may do nothing, if that is so: `lacks` tells which rights are missing."""
    if lacks:
        yield diagnostic("CON030", connection=connection, user=user, lacks=", and ".join(lacks))


def naming(what: str, names: Sequence[str], count: int) -> list[str]:
    """Return one reason that names some of `count` things, or none if there are none."""
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return [f"{what} {', '.join(names[:_SHOWN])}{more}"] if count else []


def is_local(host: str) -> bool:
    """Tell whether a host is this machine by its name, so that no network lies in between."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith("/")


def with_timeout(ctx: StepContext, seconds: float) -> StepContext:
    """Return a context whose connection to a server waits no longer than so."""
    fields = ctx.connection
    limits = {name: min(float(fields.get(name) or seconds), seconds) for name in _TIMEOUTS}
    return replace(ctx, connection={**fields, **limits})


@dataclass(frozen=True, slots=True)
class Transport:
    """The way to a server: where it leads, whether it is encrypted, and whether the server's certificate is checked."""

    where: str
    host: str
    encrypted: bool
    verified: bool

    def problems(self) -> Iterator[Diagnostic]:
        """Yield what others on the network could do."""
        if is_local(self.host) or self.verified:
            return
        problem = "its certificate is not checked" if self.encrypted else "it is not encrypted"
        yield diagnostic("CON021", where=self.where, problem=problem)


@dataclass(slots=True)
class Clock:
    """Compares the server's clock with ours: `started`, then a question to the server, then `skew` of its answer."""

    before: float = field(default_factory=time.time)

    def skew(self, told: float) -> float:
        """Return by how many seconds the server is ahead of us; `told` is its time, in seconds since 1970."""
        return round(told - (self.before + time.time()) / 2, 3)


def check_clock(where: str, skew: float) -> Iterator[Diagnostic]:
    """Yield that the clocks differ, if they do."""
    if abs(skew) >= CLOCKS_DIFFER:
        direction = "ahead of" if skew > 0 else "behind"
        yield diagnostic("CON022", where=where, seconds=duration_text(round(abs(skew))), direction=direction)


def milliseconds(since: float) -> float:
    """Return how long ago a moment of `time.monotonic` was."""
    return round((time.monotonic() - since) * 1000, 1)


def missing_file_health(path: Path, facts: dict[str, str]) -> Health:
    """Return the health of what a writer is yet to make; fails with DRV003 where it could not."""
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir() or not has_access(parent, os.W_OK | os.X_OK):
        hint = "let the user who runs Osiris write there, or name another place in the connection"
        fail("DRV003", path=str(parent), reason=f"{path.name} cannot be created there", hint=hint)
    return Health("writer", ["it will be made when it is first written"], {**facts, "exists": False, "writable": True})


def has_access(path: Path, how: int) -> bool:
    """Tell whether this process may use a path so (`os.R_OK` and the like)."""
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)
