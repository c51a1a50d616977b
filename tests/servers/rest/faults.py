"""Faults that tests switch on while the server runs, and the log of requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1>cloudflare</body></html>"


@dataclass
class Request:
    """One request: its content, its role, and its outcome."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    role: str | None = None
    status: int | None = None
    rows: int = 0
    """Rows that the statement read or wrote; 0 where none ran."""
    committed: bool = False
    fault: str | None = None


@dataclass
class Fault:
    """One fault, `times` times (None: always), after `skip` requests that it ignores."""

    name: str
    times: int | None
    skip: int
    fits: Callable[[Request], bool]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    after: int = 0


@dataclass
class Faults:
    """The switches. Each method that arms a fault takes `times` (None: until `clear`), `skip`, `method` and `path`.

    `times` counts requests that the fault hits, `skip` those it lets pass before; `path` is the last part, like a
    table's name. Armed faults are tried in order, and the first that fits is the only one for a request, except for
    latency, which any other may follow.
    """

    gzip: bool = False
    """Compress bodies for clients that accept it, as the network in front of Supabase does."""
    stale: bool = False
    """Keep the schema cache unchanged, as PostgREST does until it is asked to reload; see `stale_schema`."""
    reload: Callable[[], None] = lambda: None
    _armed: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def rate_limit(self, retry_after: int | None = 1, **when: Any) -> None:
        """Answer 429, with Retry-After in seconds unless None."""
        told = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._arm("rate_limit", when, 429, told, b'{"message":"API rate limit exceeded"}')

    def unavailable(self, retry_after: int | None = None, **when: Any) -> None:
        """Answer 503 as PostgREST does when it has no database."""
        told = {} if retry_after is None else {"Retry-After": str(retry_after)}
        text = b'{"code":"PGRST002","details":null,"hint":null,'
        text += b'"message":"Could not query the database for the schema cache. Retrying."}'
        self._arm("unavailable", when, 503, told | {"Proxy-Status": "PostgREST; error=PGRST002"}, text)

    def bad_gateway(self, **when: Any) -> None:
        """Answer 502 with a page of HTML."""
        self._arm("bad_gateway", when, 502, {"Content-Type": "text/html"}, HTML)

    def gateway_timeout(self, **when: Any) -> None:
        """Answer 504 as the gateway does."""
        self._arm("gateway_timeout", when, 504, {}, b'{"message":"The upstream server is timing out"}')

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, **when: Any) -> None:
        """Return this answer, without asking the database."""
        self._arm("answer", when, status, headers or {}, body)

    def latency(self, seconds: float, **when: Any) -> None:
        """Wait before the request is processed."""
        self._arm("latency", when, seconds=seconds)

    def close_before_answer(self, **when: Any) -> None:
        """Close the connection without doing anything."""
        self._arm("close_before_answer", when)

    def close_before_body(self, **when: Any) -> None:
        """Do what was requested, send the headers, and close."""
        self._arm("cut_body", when, after=0)

    def cut_body(self, after: int = 10, **when: Any) -> None:
        """Do what was requested, promise the whole body, and close after that many bytes of it."""
        self._arm("cut_body", when, after=after)

    def hang(self, **when: Any) -> None:
        """Accept the request and never answer (until `clear`, or the end)."""
        self._arm("hang", when)

    def drop_answer(self, **when: Any) -> None:
        """Do what was requested, and close without an answer: the client cannot know that it was done."""
        self._arm("drop_answer", when)

    def not_json(self, **when: Any) -> None:
        """Do what was asked, and answer with its status, but with a body that is not JSON under a type that says so."""
        self._arm("not_json", when, body=b'[{"id": 1, "name": <html>')

    def stale_schema(self) -> None:
        """From now on, use the current schema cache, whatever is created or altered: PGRST204 and PGRST205."""
        self.reload()
        self.stale = True

    def clear(self) -> None:
        """Switch all faults off, and release the requests that hang."""
        with self._lock:
            self._armed.clear()
            self.stale = self.gzip = False
            released, self.released = self.released, threading.Event()
        released.set()

    def hits(self, request: Request) -> list[Fault]:
        """Return the faults that hit this request: first the latency, if any."""
        with self._lock:
            slow = self._first([fault for fault in self._armed if fault.name == "latency"], request)
            other = self._first([fault for fault in self._armed if fault.name != "latency"], request)
            return [fault for fault in (slow, other) if fault]

    def _first(self, armed: list[Fault], request: Request) -> Fault | None:
        for fault in armed:
            if not fault.fits(request):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._armed.remove(fault)
            return fault
        return None

    def _arm(
        self,
        name: str,
        when: dict[str, Any],
        status: int = 0,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        **more: Any,
    ) -> None:
        times, skip = when.pop("times", 1), when.pop("skip", 0)
        method, path = when.pop("method", None), when.pop("path", None)
        if when:
            raise TypeError(f"no such choice: {', '.join(when)}")

        def fits(request: Request) -> bool:
            return method in (None, request.method) and path in (None, unquote(request.path).rsplit("/", 1)[-1])

        with self._lock:
            self._armed.append(Fault(name, times, skip, fits, status, headers or {}, body, **more))
