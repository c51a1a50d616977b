"""Fault points: places at each durable action where a process can be made to fail; off unless requested.

    OSIRIS_FAULT=[ROLE/]NAME:N:KIND    a process of that role fails with KIND when it reaches NAME the N-th time
    OSIRIS_FAULT_LOG=FILE              each point reached is appended: `ROLE/NAME N`, and the kind if it fails

Roles are `host` and `worker`; sandboxes do not get these variables.

Kinds: `kill` (SIGKILL), `raise` (EIO), `no-space` (ENOSPC), `hang` (blocks for ever), `torn` (writes half of the data,
then SIGKILL; the same as `kill` where nothing is written).
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    _Reach: TypeAlias = Callable[[str, Callable[[], object] | None], None]

FAULT, FAULT_LOG = "OSIRIS_FAULT", "OSIRIS_FAULT_LOG"
KINDS = ("kill", "raise", "hang", "no-space", "torn")

_requested = False
_reach_fault: _Reach


def arm(environ: Mapping[str, str], role: str) -> None:
    """Enable the faults requested by an environment for a process of this role; raises ValueError if malformed."""
    global _requested, _reach_fault
    request, log = environ.get(FAULT), environ.get(FAULT_LOG)
    _requested = bool(request or log)
    if _requested:
        name, number, kind = request.split(":") if request else ("", "0", KINDS[0])
        if kind not in KINDS:
            raise ValueError(kind)
        _reach_fault = _counter(role, name, int(number), kind, log)


def fault(name: str, torn: Callable[[], object] | None = None) -> None:
    """Fail here if requested. `torn` writes a part of the data about to be written."""
    if _requested:
        _reach_fault(name, torn)


def _counter(role: str, point: str, number: int, kind: str, log: str | None) -> _Reach:
    counts: dict[str, int] = {}
    alone = threading.Lock()

    def reach(name: str, torn: Callable[[], object] | None) -> None:
        with alone:
            counts[name] = count = counts.get(name, 0) + 1
        fires = count == number and point in (name, f"{role}/{name}")
        if log:
            line = f"{role}/{name} {count} {kind if fires else ''}".rstrip()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.write(descriptor, f"{line}\n".encode())
            os.close(descriptor)
        if fires:
            _fail(kind, torn)

    return reach


def _fail(kind: str, torn: Callable[[], object] | None) -> None:
    if kind in ("raise", "no-space"):
        number = errno.EIO if kind == "raise" else errno.ENOSPC
        raise OSError(number, os.strerror(number))
    if kind == "hang":
        threading.Event().wait()
    if kind == "torn" and torn is not None:
        torn()
    os.kill(os.getpid(), signal.SIGKILL)
