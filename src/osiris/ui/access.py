"""Who may ask the server what: checked for each request, before any page sees it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

START = "/start"
"""The path of the address that is printed: it exchanges the one-use token for the cookie."""

FORM = "osiris.form"
"""Key of the scope with the fields of a form, once its origin and its token are checked."""

MOST_BYTES = 1 << 16
"""Maximum size of a form, in bytes."""

_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_NO_FRAME = "frame-ancestors 'none'"
"""The rest of the policy of a page is in the page: it names the style and the script that it has."""
_NOTHING = f"default-src 'none'; {_NO_FRAME}"
_URLENCODED = "application/x-www-form-urlencoded"


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class Access:
    """The secrets of one server, which end with it: `token` is used once, `cookie` and `csrf` by its browser."""

    port: int
    allow_run: bool
    token: str | None = field(default_factory=_secret)
    cookie: str = field(default_factory=_secret)
    csrf: str = field(default_factory=_secret)

    @property
    def address(self) -> str:
        """The address to open first, with the token."""
        return f"http://127.0.0.1:{self.port}{START}?token={self.token}"

    @property
    def hosts(self) -> tuple[str, str]:
        """The only names by which this server is asked: another one is of a site that was bound to this machine."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def cookie_name(self) -> str:
        """The name of the cookie; browsers send cookies to all ports of a machine."""
        return f"osiris_{self.port}"

    def enter(self, request: Request) -> Response:
        """Exchange the token for the cookie, and redirect to an address without it."""
        given = request.query_params.get("token", "")
        if not self.knows(request):
            if self.token is None or not _same(given, self.token):
                return _refused("This address is not valid, or was used before. Stop osiris ui and start it again.")
            self.token = None
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(self.cookie_name, self.cookie, httponly=True, samesite="strict", path="/")
        return answer

    def knows(self, request: Request) -> bool:
        """Return whether a request has the cookie."""
        return _same(request.cookies.get(self.cookie_name, ""), self.cookie)

    def problem(self, request: Request) -> str | None:
        """Return why a request is refused; None if it may be answered."""
        if not self.knows(request):
            return "Open the address that osiris ui printed in the terminal; stop it and start it again for a new one."
        if request.method not in ("GET", "HEAD", "POST"):
            return "This method is not allowed."
        if request.method != "POST":
            return None
        if not _from_here(request):
            return "A form of another page is not accepted."
        if not self.allow_run:
            return "This server only shows: start it with osiris ui --allow-run to connect and to run."
        return None


def _same(given: str, expected: str) -> bool:
    return compare_digest(given.encode(), expected.encode())


def _from_here(request: Request) -> bool:
    """Return whether a page of this server sent a form.

    Our pages send no referrer, so that browsers give the origin of a form as `null`, and tell by `Sec-Fetch-Site`,
    which no page can set, where it comes from.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    own = origin == f"http://{request.headers['host']}"
    return (own and site in (None, "same-origin")) or (origin == "null" and site == "same-origin")


def _refused(why: str) -> Response:
    return PlainTextResponse(why + "\n", status_code=403)


@dataclass(frozen=True, slots=True)
class Guard:
    """Wraps an application: refuses what `Access` refuses, and adds the headers of every answer."""

    app: ASGIApp
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on; anything but HTTP is not answered."""
        if scope["type"] != "http":
            return

        async def add_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                is_page = headers.get("content-type", "").startswith("text/html")
                headers["content-security-policy"] = _NO_FRAME if is_page else _NOTHING
                headers.update(_HEADERS)
            await send(message)

        answer = await self._answer(Request(scope, receive))
        await (answer or self.app)(scope, receive, add_headers)

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer that no page gives: a refusal, or the way in; None if a page answers."""
        if request.headers.getlist("host") not in [[host] for host in self.access.hosts]:
            return _refused("This server is not known by that name.")
        if request.method == "GET" and request.url.path == START:
            return self.access.enter(request)
        if problem := self.access.problem(request):
            return _refused(problem)
        return await self._form_problem(request) if request.method == "POST" else None

    async def _form_problem(self, request: Request) -> Response | None:
        """Read the form of a request into its scope; returns a refusal if it has not our token."""
        fields = await _read_form(request)
        if fields is None or not _same(fields.pop("csrf", ""), self.access.csrf):
            return _refused("This form is not one of this server, or it is too old: load the page again.")
        request.scope[FORM] = fields
        return None


async def _read_form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form; None if it is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _URLENCODED:
        return None
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return None
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict"))
    except (ClientDisconnect, ValueError):
        return None
