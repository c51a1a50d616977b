"""A doctor's report on a connection that works: what it may do, whether that is too much, and how to fix it.

The doctor of a family is its module `doctor`, with one function

    examine(ctx: StepContext, uses: Collection[str], seconds: float) -> Health

It fails with what prevents the connection from working, within `seconds`, and changes nothing. `ctx.step` is the
connection's name; `uses` are the modes (`read`, `write`) in which the project's pipelines use it, as far as known.
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
"""The code for a missing privilege; a login that fails with it lacks access to the database."""

CLOCKS_DIFFER = 5.0
"""The clock difference in seconds from which it is reported."""

_SHOWN = 3
_TIMEOUTS = ("connect_timeout", "read_timeout", "write_timeout")


@dataclass(frozen=True, slots=True)
class Health:
    """A connection that works: the grade of its user and the reasons for it, further facts, and findings.

    For an object store, only the permission to list is known. `facts` are what the server or file reports. `scripts`
    has the statements that create a least-privilege reader and writer, if there are any. `user` is the login; if it is
    denied, `grade` is None and `diagnostics` say why.
    """

    grade: Grade | None
    reasons: Sequence[str] = ()
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    scripts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    user: str = ""
    diagnostics: Sequence[Diagnostic] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data, without the diagnostics."""
        fields = asdict(self)
        del fields["diagnostics"]
        return {**fields, "facts": dict(self.facts)}


def grade_of(powers: Sequence[str], writes: Sequence[str]) -> tuple[Grade, Sequence[str]]:
    """Return the grade of a user with these server-wide powers and writable objects, with the reasons."""
    if powers:
        return "too powerful", powers
    return ("writer", writes) if writes else ("reader", ())


def no_access(connection: str, user: str, lacks: Sequence[str]) -> Iterator[Diagnostic]:
    """Yield CON030 if a user can log in but may do nothing: `lacks` are the missing privileges."""
    if lacks:
        yield diagnostic("CON030", connection=connection, user=user, lacks=", and ".join(lacks))


def naming(what: str, names: Sequence[str], count: int) -> list[str]:
    """Return one reason that names the first of `count` things, or an empty list if there are none."""
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return [f"{what} {', '.join(names[:_SHOWN])}{more}"] if count else []


def is_local(host: str) -> bool:
    """Return whether a host is this machine, so that no network is involved."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith("/")


def with_timeout(ctx: StepContext, seconds: float) -> StepContext:
    """Return a context with the timeouts of its connection limited to `seconds`."""
    fields = ctx.connection
    limits = {name: min(float(fields.get(name) or seconds), seconds) for name in _TIMEOUTS}
    return replace(ctx, connection={**fields, **limits})


@dataclass(frozen=True, slots=True)
class Transport:
    """The transport to a server: address, host, whether it is encrypted, and whether the certificate is verified."""

    where: str
    host: str
    encrypted: bool
    verified: bool

    def problems(self) -> Iterator[Diagnostic]:
        """Yield CON021 if others on the network could read or forge the traffic."""
        if is_local(self.host) or self.verified:
            return
        problem = "its certificate is not checked" if self.encrypted else "it is not encrypted"
        yield diagnostic("CON021", where=self.where, problem=problem)


@dataclass(slots=True)
class Clock:
    """Compares the server's clock with ours: create it, query the server, then call `skew` with the answer."""

    before: float = field(default_factory=time.time)

    def skew(self, server_time: float) -> float:
        """Return how many seconds the server is ahead of us; `server_time` is in seconds since 1970."""
        return round(server_time - (self.before + time.time()) / 2, 3)


def check_clock(where: str, skew: float) -> Iterator[Diagnostic]:
    """Yield CON022 if the clocks differ by `CLOCKS_DIFFER` seconds or more."""
    if abs(skew) >= CLOCKS_DIFFER:
        direction = "ahead of" if skew > 0 else "behind"
        yield diagnostic("CON022", where=where, seconds=duration_text(round(abs(skew))), direction=direction)


def milliseconds(since: float) -> float:
    """Return the milliseconds since a moment of `time.monotonic`."""
    return round((time.monotonic() - since) * 1000, 1)


def missing_file_health(path: Path, facts: dict[str, str]) -> Health:
    """Return the health of a file or folder that the first write will create; fails with DRV003 if it could not."""
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir() or not has_access(parent, os.W_OK | os.X_OK):
        hint = "let the user who runs Osiris write there, or name another place in the connection"
        fail("DRV003", path=str(parent), reason=f"{path.name} cannot be created there", hint=hint)
    return Health("writer", ["it will be made when it is first written"], {**facts, "exists": False, "writable": True})


def has_access(path: Path, how: int) -> bool:
    """Return whether this process has that access to a path (`os.R_OK` and the like)."""
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)
