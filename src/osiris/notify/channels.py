"""Channels of notifications. Each function sends one body to one address, and returns why that failed, else None.

Reasons never contain the address, which is a secret. Redirects are not followed.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from osiris.distribution import NotLoadedError, ask_process, load_foreign
from osiris.notify import apprise_service
from osiris.notify.message import text_of, title_of
from osiris.secret.references import StoreError
from osiris.secret_stores import wait_for
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import EmailMessage

    from osiris.model import JsonValue
    from osiris.notify.message import Body

    Send = Callable[[str, Body, float], "Failure | None"]

_MAIL_PORTS = {"smtps": 465, "smtp": 587}
_SLACK_TEXT, _MAIL_TEXT, _OTHER_TEXT = 3_000, 20_000, 1_500


class Failure(NamedTuple):
    """Why a message failed, what to do (`{place}` is what contains the address), and whether it may have arrived."""

    reason: str
    remedy: str = "correct the address in {place}"
    verdict: str = "was not delivered"


_LOST, _IN_PART = "may not have been delivered", "was not delivered to all"
_UNREACHED = "check that host and port in {place} can be reached, and their certificate"
_FAULT = "the fault is with the service: ask those who run it"
_STORE = "check {place} and the login of its store"
_ARRIVED = "it may have arrived"


def deliver(messages: Sequence[tuple[str, Callable[[], str], Body]], timeout: float) -> list[Failure | None]:
    """Send each `(channel, address, body)` at the same time; returns why each failed, None for those sent.

    An address is a function, as it may come from a secret store; it may raise StoreError. Waits at most `timeout`
    seconds, whatever the other side does.
    """
    within = f"within {duration_text(timeout)}"
    failures: list[Failure | None] = [Failure(f"its secret store did not answer {within}", _STORE)] * len(messages)

    def send(number: int) -> None:
        channel, find, body = messages[number]
        try:
            address = find()
            failures[number] = _no_answer(timeout)
            failures[number] = load_foreign(lambda: CHANNELS[channel](address, body, timeout))
        except StoreError as error:
            failures[number] = Failure(error.reason, error.remedy or _STORE)
        except NotLoadedError as error:  # only the type of what a library raised: its text may contain the address
            failures[number] = Failure(str(error).partition(":")[0])

    threads = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(len(messages))]
    for thread in threads:
        thread.start()
    wait_for(threads, timeout)
    return list(failures)


def _webhook(address: str, body: Body, timeout: float) -> Failure | None:
    return _post(address, body, timeout)


def _slack(address: str, body: Body, timeout: float) -> Failure | None:
    """Send to an incoming webhook of Slack, or one that is compatible; nothing in the text is interpreted."""
    text = f"{title_of(body)}\n{text_of(body, _SLACK_TEXT)}"
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, name)
    return _post(address, {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}, timeout)


def _post(address: str, body: JsonValue, timeout: float) -> Failure | None:
    import httpx

    if urlsplit(address).scheme not in ("http", "https"):
        return Failure("its value is not an address like https://HOST/PATH")
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "osiris"}
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False) as client,
            client.stream("POST", address, content=content, headers=headers) as answer,
        ):
            return _of_status(answer.status_code)
    except httpx.TimeoutException:
        return _no_answer(timeout)
    except (httpx.ConnectError, OSError) as error:
        return Failure(_reason(error), _UNREACHED)
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        return Failure(_reason(error), _ARRIVED, _LOST)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Failure(_reason(error))


def _of_status(status: int) -> Failure | None:
    """Return what a status of HTTP says; None if the message was accepted."""
    reason = f"it answered with status {status}"
    if status // 100 == 2:
        return None
    if status // 100 == 3:
        return Failure(f"{reason}, a redirect, which is not followed", "put the address to which it leads into {place}")
    if status == 429:
        return Failure(reason, "the service accepts no more messages for the moment")
    return Failure(reason, _FAULT) if status // 100 == 5 else Failure(reason)


def _no_answer(timeout: float) -> Failure:
    remedy = f"{_ARRIVED}; if the service is slow, increase notify.timeout"
    return Failure(f"no answer within {duration_text(timeout)}", remedy, _LOST)


def _reason(error: BaseException) -> str:
    """Return a reason without texts of libraries, which may contain the address."""
    causes = [error]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__ or error)
    texts = (each.strerror for each in causes if isinstance(each, OSError) and each.strerror)
    return next(texts, None) or type(error).__name__


class _MailServer(NamedTuple):
    """What the address of an e-mail says: `smtps://USER:PASSWORD@HOST:PORT/?from=ADDRESS&to=ADDRESS,ADDRESS`."""

    is_encrypted: bool
    host: str
    port: int
    user: str
    password: str
    sender: str
    recipients: str


def _mail_server(address: str) -> _MailServer | None:
    """Return the parts of an address; None if it is incomplete."""
    try:
        parts = urlsplit(address)
        port = parts.port or _MAIL_PORTS[parts.scheme]
        fields = {name: values[0] for name, values in parse_qs(parts.query).items()}
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        sides = (fields["from"], fields["to"])
    except (ValueError, LookupError):
        return None
    return (
        _MailServer(parts.scheme == "smtps", parts.hostname, port, user, password, *sides) if parts.hostname else None
    )


def _email(address: str, body: Body, timeout: float) -> Failure | None:
    """Send an e-mail, with STARTTLS where `smtp://` offers it; a password is never sent without encryption."""
    server = _mail_server(address)
    if server is None:
        return Failure("its value is not like smtps://USER:PASSWORD@HOST/?from=ADDRESS&to=ADDRESS")
    try:
        return _hand_over(server, _mail(body, server), timeout)
    except (OSError, ValueError) as error:  # SMTPException is an OSError
        return _failure_of_mail(error, timeout)


def _failure_of_mail(error: OSError | ValueError, timeout: float) -> Failure:
    import smtplib

    match error:
        case smtplib.SMTPResponseException(smtp_code=status):
            failure = _of_reply("the server answered with status {status}", status)
        case smtplib.SMTPRecipientsRefused(recipients=replies):
            status, _ = next(iter(replies.values()))
            failure = _of_reply("the server refused all recipients (status {status})", status)
        case TimeoutError():
            failure = _no_answer(timeout)
        case smtplib.SMTPServerDisconnected() | ConnectionResetError() | BrokenPipeError():
            failure = Failure(_reason(error), _ARRIVED, _LOST)
        case smtplib.SMTPException():
            failure = Failure(_reason(error))
        case OSError():
            failure = Failure(_reason(error), _UNREACHED)
        case _:
            failure = Failure("an address in its value is not valid")
    return failure


def _of_reply(reason: str, status: int) -> Failure:
    """Return what a reply of SMTP says: 4xx are faults that pass, others are of the user or the addresses."""
    remedy = _FAULT if status // 100 == 4 else "correct user, password and addresses in {place}"
    return Failure(reason.format(status=status), remedy)


def _hand_over(server: _MailServer, mail: EmailMessage, timeout: float) -> Failure | None:
    """Hand a message over to a mail server; raises OSError or SMTPException."""
    import smtplib
    import socket
    import ssl

    own, tls = socket.gethostname(), ssl.create_default_context()
    if server.is_encrypted:
        line: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, own, timeout=timeout, context=tls)
    else:
        line = smtplib.SMTP(server.host, server.port, own, timeout=timeout)
    try:
        line.ehlo_or_helo_if_needed()
        if not server.is_encrypted and line.has_extn("starttls"):
            line.starttls(context=tls)
        elif not server.is_encrypted and server.user:
            return Failure("the server offers no encryption, so the password was not sent", "use smtps:// in {place}")
        if server.user:
            line.login(server.user, server.password)
        refused = line.send_message(mail)
    finally:
        with suppress(OSError):  # the reply to QUIT is not read: it changes nothing about an accepted message
            line.putcmd("quit")
        line.close()
    return Failure(f"the server refused {len(refused)} of the recipients", verdict=_IN_PART) if refused else None


def _mail(body: Body, server: _MailServer) -> EmailMessage:
    """Return a message of plain text; raises ValueError for addresses with line breaks."""
    import hashlib
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate

    mail = EmailMessage(policy=SMTP)
    mail["Subject"], mail["From"], mail["To"] = title_of(body), server.sender, server.recipients
    mail["Date"], mail["Auto-Submitted"] = formatdate(), "auto-generated"
    mail["Message-ID"] = f"<{hashlib.sha256(body['id'].encode()).hexdigest()[:32]}@osiris.invalid>"
    mail.set_content(text_of(body, _MAIL_TEXT))
    return mail


def _apprise(address: str, body: Body, timeout: float) -> Failure | None:
    """Send by a service of apprise, in a process of its own (`apprise_service`)."""
    message = {
        "address": address,
        "title": title_of(body),
        "text": text_of(body, _OTHER_TEXT),
        "is_good": bool({"recovery", "test"} & set(body["events"])),
        "timeout": timeout,
    }
    answer = ask_process(apprise_service.__name__, message, timeout)
    if answer is None:
        return _no_answer(timeout)
    reason = apprise_service.REASONS.get(answer, "apprise ended unexpectedly")
    return Failure(reason, "check the address in {place}, and the service") if reason else None


CHANNELS: dict[str, Send] = {"webhook": _webhook, "slack": _slack, "email": _email, "apprise": _apprise}
"""The channels, by the name of their setting below `notify`."""
