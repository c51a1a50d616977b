"""Receivers of webhooks: one that keeps requests and answers what a test says, and one like Slack's incoming webhooks.

    def test_sending(hooks):                                    # a `http_double.Server`
        hooks.url + "/any/path"                                 # answers 200 `ok`
        hooks.requests[0].method, .path, .headers, .body, .json()
        hooks.script.append(redirect("http://other/"))          # the next answer; then `Answer(503)`, …
        hooks.always = Answer(500, "broken")                    # every answer
        hooks.faults.hang = True                                # also drop, delay, rate, cut: see `http_double.py`

    def test_slack(slack):
        slack.url                                               # http://127.0.0.1:…/services/T…/B…/…
        slack.messages                                          # the accepted payloads
        slack.refuse("action_prohibited")                       # all requests, by a name of `REFUSALS`; None ends it
        slack.server                                            # its `requests`, `script`, `faults`

`start_hooks(tls=True)` and `start_slack(tls=True)` serve HTTPS, with a certificate of the authority in `tls.py`.

Slack refuses by itself: another method, team, service or secret; a body that is not JSON (or a form's `payload`), an
empty text without blocks, and blocks or attachments beyond its limits. A text over 40,000 characters is cut, as Slack
does.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .http_double import Answer, Request, Server, serving
from .tls import server_context

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSALS = {
    "invalid_payload": 400,
    "no_text": 400,
    "invalid_blocks": 400,
    "invalid_blocks_format": 400,
    "too_many_attachments": 400,
    "user_not_found": 400,
    "action_prohibited": 403,
    "invalid_token": 403,
    "posting_to_general_channel_denied": 403,
    "channel_not_found": 404,
    "no_service": 404,
    "no_team": 404,
    "channel_is_archived": 410,
    "rate_limited": 429,
    "rollup_error": 500,
}
MOST_BLOCKS, MOST_ATTACHMENTS, MOST_FIELDS, MOST_ELEMENTS, LONGEST_TEXT = 50, 100, 10, 10, 40_000
LONGEST = {"section": 3000, "header": 150, "field": 2000, "block_id": 255}
_HTML = {"Content-Type": "text/html"}


def redirect(location: str, status: int = 302) -> Answer:
    """Return an answer that sends the client elsewhere."""
    return Answer(status, "", {"Location": location})


@contextmanager
def start_hooks(*, tls: bool = False) -> Iterator[Server]:
    """Yield a receiver that runs until the block ends."""
    with serving(lambda _: Answer(200, "ok"), server_context() if tls else None) as server:
        yield server


class Refused(Exception):
    """A request that Slack refuses; the argument is a name of `REFUSALS`."""


class Slack:
    """One incoming webhook."""

    team, service, secret = "T0OSIRIS1", "B0OSIRIS1", "XXXXtestXXXXsecretXXXX12"

    def __init__(self) -> None:
        self.server: Server
        self.messages: list[dict[str, Any]] = []
        self._refusal: str | None = None

    @property
    def url(self) -> str:
        return f"{self.server.url}/services/{self.team}/{self.service}/{self.secret}"

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    def refuse(self, name: str | None) -> None:
        """Refuse all requests, by a name of `REFUSALS`; None ends it."""
        if name is not None and name not in REFUSALS:
            raise ValueError(name)
        self._refusal = name

    def respond(self, request: Request) -> Answer:
        """Answer as Slack does: a plain word."""
        if request.method != "POST":
            return Answer(405, "", {"Allow": "POST", **_HTML})
        try:
            self._check_address(request.path)
            message = _payload(request)
            _check(message)
        except Refused as problem:
            (name,) = problem.args
            limited = {"Retry-After": "1"} if name == "rate_limited" else {}
            return Answer(REFUSALS[name], name, {**_HTML, **limited})
        self.messages.append(message | {"text": message.get("text", "")[:LONGEST_TEXT]})
        return Answer(200, "ok", _HTML)

    def _check_address(self, path: str) -> None:
        if self._refusal:
            raise Refused(self._refusal)
        parts = path.split("/")
        if parts[:2] != ["", "services"] or len(parts) != 5 or parts[2] != self.team:
            raise Refused("no_team")
        if parts[3] != self.service:
            raise Refused("no_service")
        if parts[4] != self.secret:
            raise Refused("invalid_token")


def _payload(request: Request) -> dict[str, Any]:
    try:
        body = request.body.decode()
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            body = parse_qs(body).get("payload", [body])[0]
        message = json.loads(body)
    except ValueError:
        raise Refused("invalid_payload") from None
    if not isinstance(message, dict) or not isinstance(message.get("text", ""), str):
        raise Refused("invalid_payload")
    return message


def _check(message: dict[str, Any]) -> None:
    blocks, attachments = message.get("blocks", []), message.get("attachments", [])
    if not isinstance(attachments, list):
        raise Refused("invalid_payload")
    if not (message.get("text", "").strip() or blocks or attachments):
        raise Refused("no_text")
    if len(attachments) > MOST_ATTACHMENTS:
        raise Refused("too_many_attachments")
    _check_blocks(blocks)


def _check_blocks(blocks: Any) -> None:
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Refused("invalid_blocks_format")
    if len(blocks) > MOST_BLOCKS or not all(map(_is_block, blocks)):
        raise Refused("invalid_blocks")


def _is_block(block: dict[str, Any]) -> bool:
    """Return whether a block has its required parts, within their limits."""
    name = block.get("block_id", "")
    fits = _BLOCKS.get(block.get("type"))
    return bool(fits and isinstance(name, str) and len(name) <= LONGEST["block_id"] and fits(block))


def _is_header(block: dict[str, Any]) -> bool:
    return _is_text(block.get("text"), LONGEST["header"], ("plain_text",))


def _is_context(block: dict[str, Any]) -> bool:
    elements = block.get("elements", [])
    texts = [one for one in elements if one.get("type") != "image"]
    return 0 < len(elements) <= MOST_ELEMENTS and all(_is_text(one, LONGEST["section"]) for one in texts)


def _is_section(block: dict[str, Any]) -> bool:
    text, fields = block.get("text"), block.get("fields", [])
    if text is None and not fields:
        return False
    fits = text is None or _is_text(text, LONGEST["section"])
    return fits and len(fields) <= MOST_FIELDS and all(_is_text(one, LONGEST["field"]) for one in fields)


def _is_text(text: Any, longest: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        return False
    return 0 < len(text["text"]) <= longest


_BLOCKS = {"header": _is_header, "context": _is_context, "section": _is_section}
_BLOCKS |= dict.fromkeys(("actions", "divider", "image", "markdown", "rich_text"), lambda _: True)


@contextmanager
def start_slack(*, tls: bool = False) -> Iterator[Slack]:
    """Yield a webhook of Slack that runs until the block ends."""
    slack = Slack()
    with serving(slack.respond, server_context() if tls else None) as slack.server:
        yield slack
