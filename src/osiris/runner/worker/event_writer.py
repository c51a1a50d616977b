"""Sends the worker's events: numbered lines, scrubbed and written atomically, from any thread.

For a remote worker, each line is first saved to a file, and the last one of a job also to a file of its own.
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
"""Files of a remote worker: all lines, and the last one alone, which exists only after the job has ended."""

_ENDS = ("step_complete", "step_failed", "step_cancelled", "job_end")
FREE = ("message", "hint", "file", "name", "fields")
"""Fields with free text, which are scrubbed. All others come from the plan or are numbers: scrubbing them could corrupt
the protocol where a secret equals the name of a step."""


class Outbox:
    """Sends events to the host; they are dropped after the host has exited, which stdin signals too."""

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
            cleaned = {key: self._clean(key, value) for key, value in fields.items()}
            line = encode({"wseq": self._wseq, "event": event, **cleaned})
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
