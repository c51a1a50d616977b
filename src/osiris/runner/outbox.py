"""The worker's way out: numbered lines, each scrubbed and whole, from any thread."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from osiris.runner.protocol import encode
from osiris.secret import Scrubber

if TYPE_CHECKING:
    from osiris.model import JsonValue
    from osiris.runner.stop import Stopper

FREE = ("message", "hint", "file", "name", "fields")
"""What may say anything. All else is the plan, or a number: a password that is also the name of a step must not change
what the host understands."""


class Outbox:
    """Sends events to the host; when the host is gone they are dropped, as the end of stdin says the same."""

    def __init__(self, fd: int, stopper: Stopper) -> None:
        self.scrubber = Scrubber(())
        self._fd = fd
        self._stopper = stopper
        self._lock = threading.Lock()
        self._wseq = 0

    def send(self, event: str, **fields: JsonValue) -> None:
        """Send one event."""
        with self._stopper.shielded(), self._lock:
            self._wseq += 1
            told = {key: self._clean(key, value) for key, value in fields.items()}
            self._write(encode({"wseq": self._wseq, "event": event, **told}))

    def _clean(self, key: str, value: JsonValue) -> JsonValue:
        if key in FREE:
            return self.scrubber.json(value)
        if key == "diagnostics":
            return [{**item, **{k: self.scrubber.json(item[k]) for k in FREE if k in item}} for item in value]
        return value

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except BrokenPipeError:
            return
