"""What the doctors of databases in a file share: they do not wait for a database as long as a step does."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.driver import StepContext

_SHARE = 0.3
"""The part of a doctor's time for waiting until others leave a database."""


def impatient(ctx: StepContext, seconds: float) -> StepContext:
    """Return a context that gives up on a database that others use, after a part of `seconds`."""
    until = time.monotonic() + seconds * _SHARE
    return replace(ctx, cancelled=lambda: ctx.cancelled() or time.monotonic() > until)
