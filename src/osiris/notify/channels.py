"""Channels of notifications. Each function sends one body to one address, and returns why that failed, else "".

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

    Send = Callable[[str, Body, float], str]

_MAIL_PORTS = {"smtps": 465, "smtp": 587}
_SLACK_TEXT, _MAIL_TEXT, _OTHER_TEXT = 3_000, 20_000, 1_500


def deliver(messages: Sequence[tuple[str, Callable[[], str], Body]], timeout: float) -> list[str]:
    """Send each `(channel, address, body)` at the same time; returns the reasons of failures, "" for those sent.

    An address is a function, as it may come from a secret store; it may raise StoreError. Waits at most `timeout`
    seconds, whatever the other side does.
    """
    reasons = [_no_answer(timeout)] * len(messages)

    def send(number: int) -> None:
        channel, find, body = messages[number]
        try:
            address = find()
            reasons[number] = load_foreign(lambda: CHANNELS[channel](address, body, timeout))
        except StoreError as error:
            reasons[number] = error.reason
        except NotLoadedError as error:  # only the type of what a library raised: its text may contain the address
            reasons[number] = str(error).partition(":")[0]

    threads = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(len(messages))]
    for thread in threads:
        thread.start()
    wait_for(threads, timeout)
    return list(reasons)


def _webhook(address: str, body: Body, timeout: float) -> str:
    return _post(address, body, timeout)


def _slack(address: str, body: Body, timeout: float) -> str:
    """Send to an incoming webhook of Slack, or one that is compatible; nothing in the text is interpreted."""
    text = f"{title_of(body)}\n{text_of(body, _SLACK_TEXT)}"
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, name)
    return _post(address, {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}, timeout)


def _post(address: str, body: JsonValue, timeout: float) -> str:
    import httpx

    if urlsplit(address).scheme not in ("http", "https"):
        return "its value is not an address like https://HOST/PATH"
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "osiris"}
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False) as client,
            client.stream("POST", address, content=content, headers=headers) as answer,
        ):
            status = answer.status_code
    except httpx.TimeoutException:
        return _no_answer(timeout)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return _reason(error)
    return "" if status // 100 == 2 else f"it answered with status {status}"


def _no_answer(timeout: float) -> str:
    return f"no answer within {duration_text(timeout)}"


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


def _email(address: str, body: Body, timeout: float) -> str:
    """Send an e-mail, with STARTTLS where `smtp://` offers it; a password is never sent without encryption."""
    import smtplib

    server = _mail_server(address)
    if server is None:
        return "its value is not like smtps://USER:PASSWORD@HOST/?from=ADDRESS&to=ADDRESS"
    try:
        return _hand_over(server, _mail(body, server), timeout)
    except smtplib.SMTPResponseException as error:
        return f"the server answered with status {error.smtp_code}"
    except smtplib.SMTPRecipientsRefused as error:
        return f"the server refused all recipients (status {next(iter(error.recipients.values()))[0]})"
    except (OSError, smtplib.SMTPException) as error:
        return _no_answer(timeout) if isinstance(error, TimeoutError) else _reason(error)
    except ValueError:
        return "an address in its value is not valid"


def _hand_over(server: _MailServer, mail: EmailMessage, timeout: float) -> str:
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
            return "the server offers no encryption, so the password was not sent; use smtps://"
        if server.user:
            line.login(server.user, server.password)
        refused = line.send_message(mail)
    finally:
        with suppress(OSError):  # the reply to QUIT is not read: it changes nothing about an accepted message
            line.putcmd("quit")
        line.close()
    return f"the server refused {len(refused)} of the recipients" if refused else ""


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


def _apprise(address: str, body: Body, timeout: float) -> str:
    """Send by a service of apprise, in a process of its own (`apprise_service`)."""
    message = {
        "address": address,
        "title": title_of(body),
        "text": text_of(body, _OTHER_TEXT),
        "is_good": bool({"recovery", "test"} & set(body["events"])),
        "timeout": timeout,
    }
    answer = ask_process(apprise_service.__name__, message, timeout)
    return _no_answer(timeout) if answer is None else apprise_service.REASONS.get(answer, "apprise ended unexpectedly")


CHANNELS: dict[str, Send] = {"webhook": _webhook, "slack": _slack, "email": _email, "apprise": _apprise}
"""The channels, by the name of their setting below `notify`."""
