"""A step that is under way, as far as others must know of it: its progress, and what it has read and written."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.runner.worker.metering import Meter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.driver import Written
    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import Ready
    from osiris.table import Digester


@dataclass(slots=True)
class Active:
    """A step that has started and not ended; `meter` counts its output, `inputs` what it has read.

    `checks` is how many checks it has passed.
    """

    data: Mapping[str, JsonValue]
    started: float
    ready: Ready | None = None
    meter: Meter = field(default_factory=Meter)
    inputs: list[Meter] = field(default_factory=list)
    digester: Digester | None = None
    written: Written | None = None
    checks: int = 0

    @property
    def rows(self) -> int:
        """Rows so far: what it gave, or, of a writer, what it took."""
        return sum(meter.rows for meter in self.inputs) if self.data["mode"] == "write" else self.meter.rows

    @property
    def overdue(self) -> bool:
        """Tell whether the step has run for longer than it may."""
        limit = self.ready.timeout if self.ready else None
        return limit is not None and time.monotonic() - self.started > limit
