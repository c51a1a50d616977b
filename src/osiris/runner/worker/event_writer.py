"""The worker's way out: numbered lines, each scrubbed and whole, from any thread.

Where the way to the host may break, each line is kept in a file first, and the last one of a job also by itself.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from osiris.durable import APPEND, open_file, write_file
from osiris.fault import fault
from osiris.runner.protocol import encode
from osiris.secret import Scrubber

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.runner.cancellation import Stopper

EVENTS, RESULT = "events.jsonl", "result.json"
"""Files that are kept: every line, and the last one alone, which is there only once the job has ended."""

_ENDS = ("step_complete", "step_failed", "step_cancelled", "job_end")
FREE = ("message", "hint", "file", "name", "fields")
"""What may say anything. All else is the plan, or a number: a password that is also the name of a step must not change
what the host understands."""


class Outbox:
    """Sends events to the host; when the host is gone they are dropped, as the end of stdin says the same."""

    def __init__(self, fd: int, stopper: Stopper, keep: Path | None = None) -> None:
        self.scrubber = Scrubber(())
        self._fd = fd
        self._stopper = stopper
        self._lock = threading.Lock()
        self._wseq = 0
        self._keep = keep
        self._kept = open_file(keep / EVENTS, APPEND) if keep else -1

    def send(self, event: str, **fields: JsonValue) -> None:
        """Send one event."""
        with self._stopper.shielded(), self._lock:
            self._wseq += 1
            told = {key: self._clean(key, value) for key, value in fields.items()}
            line = encode({"wseq": self._wseq, "event": event, **told})
            if self._keep:
                self._save(self._keep, event, line)
            self._write(self._fd, line)

    def _clean(self, key: str, value: JsonValue) -> JsonValue:
        if key in FREE:
            return self.scrubber.json(value)
        if key == "diagnostics":
            return [{**item, **{k: self.scrubber.json(item[k]) for k in FREE if k in item}} for item in value]
        return value

    def _save(self, folder: Path, event: str, line: bytes) -> None:
        self._write(self._kept, line)
        if event in _ENDS:
            fault("outbox.sync")
            os.fsync(self._kept)
        if event == "job_end":
            write_file(folder / RESULT, line, private=True)

    def _write(self, fd: int, line: bytes) -> None:
        try:
            fault("outbox.write", lambda: os.write(fd, line[: len(line) // 2]))
            while line:
                line = line[os.write(fd, line) :]
        except BrokenPipeError:
            return
