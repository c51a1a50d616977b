"""Requests to PostgREST: sent by its client library, in stated time, and again only where that changes nothing.

The library builds a request, and its session sends it. The body is read here, in pieces and up to a limit, because the
library would take all of it, and would make floats of numbers.
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
from osiris.families.sql.watchdog import Watch, fail_broken
from osiris.families.supabase.connect import Rest, key_of, rest_address
from osiris.families.supabase.errors import Answer, Asked, fail_answer, seconds_asked, worth_again
from osiris.fault import fault
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from postgrest import SyncPostgrestClient, SyncRequestBuilder
    from postgrest.base_request_builder import RequestConfig

    from osiris.driver import StepContext

_SHARE = 64
"""The part of a step's memory that one answer may take; as objects it takes several times as much."""

_WITH_PAUSE = (429, 503)
"""The statuses whose Retry-After is kept."""

_LONGEST_PAUSE = 60.0
_PAUSE = 0.5
_TICK = 0.1


class TooLarge(Exception):
    """An answer, or a request, that is larger than one side takes; half of the rows may do."""


class Built(Protocol):
    """What the client library builds."""

    request: RequestConfig[httpx.Client]


@dataclass(slots=True)
class Lines:
    """The connections of a session, so that they can be cut under whoever waits for them."""

    open: list[Any] = field(default_factory=list)

    def trace(self, event: str, told: dict[str, Any]) -> None:
        """Note what the transport opens."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.open.append(told["return_value"])

    def cut(self) -> None:
        """End all of them."""
        for stream in self.open:
            with suppress(OSError), socket.socket(fileno=os.dup(stream.get_extra_info("socket").fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Session:
    """A client that is open: where it leads, which role its key has, and how often it tries again."""

    rest: Rest
    client: SyncPostgrestClient
    lines: Lines
    watch: Watch
    ctx: StepContext
    role: str
    retries: int

    def table(self, name: str) -> SyncRequestBuilder:
        """Return what builds requests about a table; its name is one part of the path, whatever is in it."""
        from yarl import URL

        part = quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
        builder = self.client.from_("")
        builder.path = URL(f"{self.rest.url}/{part}", encoded=True)
        return builder

    def asked(self, table: str, *, writing: bool = False) -> Asked:
        """Return what is told with errors about a table."""
        return Asked(self.ctx.step, self.rest.where, self.role, table, writing)

    def send(self, built: Built, asked: Asked, body: bytes | None = None, *, safe: bool = True) -> Answer:
        """Return the answer of a request that was done; `safe` tells that doing it twice is like doing it once.

        Fails with CON011, CON014, CON015, CON017, RUN003, and as `fail_answer` says. Raises TooLarge and RowsRefused.
        """
        answer = self.answer(built.request, body, safe=safe)
        if answer.status == 413:
            raise TooLarge
        if not answer.ok:
            fail_answer(answer, asked)
        return answer

    def answer(self, config: RequestConfig[httpx.Client], body: bytes | None = None, *, safe: bool = True) -> Answer:
        """Return the answer of a request, whatever it is, after as many attempts as are of use."""
        import httpx

        left = self.retries
        while True:
            pause = _PAUSE * 2.0 ** (self.retries - left)
            try:
                answer = self._once(config, body)
            except httpx.RequestError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if self.watch.stopped or not left or not (safe or unsent):
                    self._fail_line(error)
            else:
                asked = seconds_asked(answer) if answer.status in _WITH_PAUSE else None
                pause = pause if asked is None else asked
                if answer.ok or not left or not worth_again(answer, safe=safe) or pause > _LONGEST_PAUSE:
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
            extensions={"trace": self.lines.trace},
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
        """Return the body; raises TooLarge for one that is not wanted so large, never of what may be done by now."""
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
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.ctx.cancelled():
                fail("RUN003", signal="request")
            time.sleep(min(left, _TICK))

    def _fail_line(self, error: httpx.RequestError) -> NoReturn:
        """Fail with why there is no answer."""
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
            fail("CON011", where=where, reason="the host name does not exist")
        fail("CON011", where=where, reason=os.strerror(cause.errno) if cause and cause.errno else "it does not answer")


def _system_error(error: BaseException | None) -> OSError | None:
    while error and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error if isinstance(error, OSError) else None


_ENCRYPTION = "check the host in the url, and the certificates that this machine trusts"


@contextmanager
def calling(ctx: StepContext, schema: str | None = None, retries: int = 3) -> Iterator[Session]:
    """Give a session with the REST interface of the step's connection; fails as `rest_address` where there is none."""
    import httpx
    from postgrest import SyncPostgrestClient

    rest = rest_address(ctx.connection)
    chosen = schema or rest.schema
    if not (chosen.isascii() and chosen.isprintable()):
        fail("DRV024", step=ctx.step, what=f"schema '{chosen}'", why="REST cannot express such a name")
    if chosen in OF_SUPABASE.difference((rest.schema, *rest.schemas)):
        fail("CON065", where=rest.where, schema=chosen)
    key, lines = key_of(rest.key), Lines()
    watch = Watch(lambda _why: lines.cut(), ctx.cancelled, rest.silence)
    headers = {"apikey": rest.key.reveal(), "User-Agent": "osiris", "X-Client-Info": "osiris"}
    if key.kind in ("jwt", "unknown"):  # the others are no tokens, and not taken as such
        headers["Authorization"] = f"Bearer {rest.key.reveal()}"
    # Proxies are those of the environment, except to this machine itself.
    http = httpx.Client(timeout=httpx.Timeout(None, connect=rest.timeout), trust_env=not is_local(rest.host))
    with http, watch.running():
        client = SyncPostgrestClient(rest.url, schema=chosen, headers=headers, http_client=http, retry_enabled=False)
        yield Session(rest, client, lines, watch, ctx, key.role, retries)
