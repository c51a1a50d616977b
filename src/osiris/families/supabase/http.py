"""Requests to PostgREST, with timeouts, and retried only if that is safe.

The client library builds a request, and its HTTP session sends it. The body is read here, in chunks and up to a limit,
because the library would read all of it and parse numbers as floats.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import quote

from osiris.errors import fail
from osiris.families.doctor_report import is_local
from osiris.families.postgres.session import OF_SUPABASE
from osiris.families.sql.watchdog import Watchdog, fail_broken
from osiris.families.supabase.connect import Rest, key_of, rest_address
from osiris.families.supabase.errors import Answer, RequestInfo, fail_answer, is_retryable, retry_after
from osiris.fault import fault
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from postgrest import SyncPostgrestClient, SyncRequestBuilder
    from postgrest.base_request_builder import RequestConfig

    from osiris.driver import StepContext

_SHARE = 64
"""A response may take this fraction of a step's memory; parsed, it takes several times as much."""

_WITH_PAUSE = (429, 503)
"""The statuses whose Retry-After is honoured."""

_LONGEST_PAUSE = 60.0
_PAUSE = 0.5
_TICK = 0.1


class TooLarge(Exception):
    """A response or a request exceeds a size limit; half of the rows may fit."""


class Builder(Protocol):
    """A request builder of the client library."""

    request: RequestConfig[httpx.Client]


@dataclass(slots=True)
class Sockets:
    """The open sockets of a session, so that the watchdog can shut them down."""

    open: list[Any] = field(default_factory=list)

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Record a connection opened by the HTTP transport (httpcore's trace extension)."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.open.append(info["return_value"])

    def shut_down(self) -> None:
        """Shut down all sockets."""
        for stream in self.open:
            with suppress(OSError), socket.socket(fileno=os.dup(stream.get_extra_info("socket").fileno())) as sock:
                sock.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Session:
    """An open client of a REST interface; `role` is that of its key, `retries` the number of retries of a request."""

    rest: Rest
    client: SyncPostgrestClient
    sockets: Sockets
    watch: Watchdog
    ctx: StepContext
    role: str
    retries: int

    def table(self, name: str) -> SyncRequestBuilder:
        """Return the request builder of a table; its name is escaped to one path segment."""
        from yarl import URL

        part = quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
        builder = self.client.from_("")
        builder.path = URL(f"{self.rest.url}/{part}", encoded=True)
        return builder

    def request(self, table: str, *, writing: bool = False) -> RequestInfo:
        """Return what messages about a request to a table need."""
        return RequestInfo(self.ctx.step, self.rest.where, self.role, table, writing)

    def send(self, builder: Builder, request: RequestInfo, body: bytes | None = None, *, safe: bool = True) -> Answer:
        """Return the response of a request that succeeded; `safe` means that the request is idempotent.

        Fails with CON011, CON014, CON015, CON017, RUN003, and as `fail_answer` does. Raises TooLarge and RowsRefused.
        """
        answer = self.answer(builder.request, body, safe=safe)
        if answer.status == 413:
            raise TooLarge
        if not answer.ok:
            fail_answer(answer, request)
        return answer

    def answer(self, config: RequestConfig[httpx.Client], body: bytes | None = None, *, safe: bool = True) -> Answer:
        """Return the response of a request, successful or not, after retries where they are safe."""
        import httpx

        left = self.retries
        while True:
            pause = _PAUSE * 2.0 ** (self.retries - left)
            try:
                answer = self._once(config, body)
            except httpx.RequestError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if self.watch.stopped or not left or not (safe or unsent):
                    self._fail_unanswered(error)
            else:
                requested = retry_after(answer) if answer.status in _WITH_PAUSE else None
                pause = pause if requested is None else requested
                if answer.ok or not left or not is_retryable(answer, safe=safe) or pause > _LONGEST_PAUSE:
                    return answer
            left -= 1
            self._pause(pause)

    def _once(self, config: RequestConfig[httpx.Client], body: bytes | None) -> Answer:
        http = self.client.session
        headers = {**config.headers, **({"Content-Type": "application/json"} if body is not None else {})}
        request = http.build_request(
            config.http_method,
            str(config.path),
            params=config.params,
            headers=headers,
            content=body,
            extensions={"trace": self.sockets.trace},
        )
        fault("rest.send")
        with self.watch.waiting():
            response = http.send(request, stream=True)
        fault("rest.sent")
        try:
            most = self.ctx.memory // _SHARE if config.http_method == "GET" else None
            return Answer(response.status_code, dict(response.headers), self._body(response, most))
        finally:
            response.close()

    def _body(self, response: httpx.Response, most: int | None) -> bytes:
        """Return the body; raises TooLarge above `most` bytes, which limits only requests that change nothing."""
        pieces, size = list[bytes](), 0
        parts = response.iter_bytes()
        while True:
            with self.watch.waiting():
                piece = next(parts, None)
            if piece is None:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if most is not None and size > most:
                raise TooLarge

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.ctx.cancelled():
                fail("RUN003", signal="request")
            time.sleep(min(left, _TICK))

    def _fail_unanswered(self, error: httpx.RequestError) -> NoReturn:
        """Fail with why there is no response."""
        import httpx

        where = self.rest.where
        if self.watch.stopped:
            fail_broken(self.watch, where, "we ended it")
        if isinstance(error, httpx.TimeoutException):
            fail("CON015", where=where, seconds=duration_text(self.rest.timeout))
        cause = _system_error(error)
        if isinstance(cause, ssl.SSLError):
            fail("CON017", where=where, reason=cause.reason or "its certificate is not trusted", hint=_ENCRYPTION)
        if not isinstance(error, httpx.ConnectError):
            fail("CON014", where=where, reason="it was cut before the response arrived")
        if isinstance(cause, socket.gaierror):
            fail("CON073", where=where)
        fail("CON011", where=where, reason=os.strerror(cause.errno) if cause and cause.errno else "it does not answer")


def _system_error(error: BaseException | None) -> OSError | None:
    while error and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error if isinstance(error, OSError) else None


_ENCRYPTION = "check the host in the url, and the certificates that this machine trusts"


@contextmanager
def calling(ctx: StepContext, schema: str | None = None, retries: int = 3) -> Iterator[Session]:
    """Open a session with the REST interface of the step's connection; fails as `rest_address`, CON065 or DRV024."""
    import httpx
    from postgrest import SyncPostgrestClient

    rest = rest_address(ctx.connection)
    schema_name = schema or rest.schema
    if not (schema_name.isascii() and schema_name.isprintable()):
        fail("DRV024", step=ctx.step, what=f"schema '{schema_name}'", why="REST cannot express such a name")
    if schema_name in OF_SUPABASE.difference((rest.schema, *rest.schemas)):
        fail("CON065", where=rest.where, schema=schema_name)
    key, sockets = key_of(rest.key), Sockets()
    watch = Watchdog(lambda _why: sockets.shut_down(), ctx.cancelled, rest.silence)
    headers = {"apikey": rest.key.reveal(), "User-Agent": "osiris", "X-Client-Info": "osiris"}
    if key.kind in ("jwt", "unknown"):  # other kinds are not tokens, and rejected as such
        headers["Authorization"] = f"Bearer {rest.key.reveal()}"
    # The environment's proxies are used, except for this machine itself.
    http = httpx.Client(timeout=httpx.Timeout(None, connect=rest.timeout), trust_env=not is_local(rest.host))
    with http, watch.running():
        client = SyncPostgrestClient(
            rest.url, schema=schema_name, headers=headers, http_client=http, retry_enabled=False
        )
        yield Session(rest, client, sockets, watch, ctx, key.role, retries)
