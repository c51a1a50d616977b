"""Faults that tests switch on and off from any thread while the service runs.

Each method arms one fault. It takes `times` (the number of requests it hits, 1), `skip` (the number it lets pass first,
0), `method` and `path`, a pattern that is searched in the decoded path and query (`/lake/a b.csv?uploads=`).
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

from .errors import CODES, Answer, Failure

_POLL = 0.01


class Cut(ConnectionError):
    """The connection ends here."""


@dataclass
class Armed:
    """One fault that waits for a request."""

    kind: str
    times: int = 1
    skip: int = 0
    method: str = ""
    path: str = ""
    after: int = 0
    code: str = ""
    retry_after: int | None = None

    def answer(self) -> Answer:
        """Return what the request gets in place of its own answer."""
        told = () if self.retry_after is None else (("Retry-After", str(self.retry_after)),)
        return Failure(self.code, headers=told).answer()


@dataclass
class Faults:
    """The switches; `clear` sets all of them back."""

    delay: float = 0.0
    """Seconds that each request waits before anything happens."""
    rate: float | None = None
    """Bytes a second that a body takes, on the way here and back."""
    frozen: bool = False
    """Nothing is read or sent any more, and connections stay open; ends with False."""
    token_uses: int | None = None
    """The number of requests for which a token is valid; then it is rejected as if it had expired."""
    token_lifetime: int = 3600
    """Seconds that tokens from the token endpoint are good for."""
    _armed: list[Armed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def answer(self, code: str, *, retry_after: int | None = None, **when: int | str) -> None:
        """Answer with one of `CODES` (SlowDown, ServiceUnavailable, …) and do nothing of what was asked.

        `retry_after` is in seconds.
        """
        if code not in CODES:
            raise ValueError(f"no such code: {code}")
        self._arm(Armed("answer", code=code, retry_after=retry_after, **when))

    def cut_upload(self, after: int, **when: int | str) -> None:
        """Break the connection after so many bytes of a body that is longer."""
        self._arm(Armed("cut_upload", after=after, **when))

    def cut_download(self, after: int, **when: int | str) -> None:
        """Break the connection after so many bytes of an answer's body that is longer."""
        self._arm(Armed("cut_download", after=after, **when))

    def drop_answer(self, **when: int | str) -> None:
        """Do what was requested and break the connection: the client cannot know that it was done."""
        self._arm(Armed("drop_answer", **when))

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._armed.clear()
        self.delay, self.rate, self.frozen, self.token_uses, self.token_lifetime = 0.0, None, False, None, 3600

    def end(self) -> None:
        """Release all waiting requests, for good."""
        self.clear()
        self._over.set()

    def take(self, kind: str, method: str, target: str, size: int | None = None) -> Armed | None:
        """Return the fault of a kind that hits this request, whose body has that size."""
        with self._lock:
            for fault in self._armed:
                fits = fault.kind == kind and fault.method in ("", method) and re.search(fault.path, target)
                if not fits or (size is not None and size <= fault.after):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if not fault.times:
                    self._armed.remove(fault)
                return fault
        return None

    def wait(self) -> None:
        """Apply the delays to a request before it is processed."""
        self._over.wait(self.delay)
        self.hold()

    def hold(self) -> None:
        """Return once nothing is frozen."""
        while self.frozen and not self._over.is_set():
            time.sleep(_POLL)

    def piece(self, most: int) -> int:
        """Return how much of a body is sent at once: a tenth of a second's worth if it is slow."""
        return most if self.rate is None else max(1, min(most, int(self.rate / 10)))

    def pace(self, size: int) -> None:
        """Wait as long as that many bytes take."""
        self.hold()
        if self.rate is not None:
            self._over.wait(size / self.rate)

    def _arm(self, fault: Armed) -> None:
        with self._lock:
            self._armed.append(fault)
