"""The mail server of the tests speaks SMTP as RFC 5321 says, with smtplib and with plain sockets."""

import base64
import contextlib
import smtplib
import socket
import ssl
import time

import pytest
from tests.patience import SOON
from tests.servers.smtp import start_smtp

BODY = b"Subject: x\r\n\r\nHello\r\n"


@contextlib.contextmanager
def client(service, *, log_in=True, timeout=SOON):
    """A client with what the server demands."""
    context = ssl.create_default_context(cafile=service.ca)
    kind = smtplib.SMTP_SSL if service.transport == "implicit" else smtplib.SMTP
    more = {"context": context} if service.transport == "implicit" else {}
    one = kind(service.host, service.port, timeout=timeout, local_hostname="here", **more)
    try:
        if service.transport == "starttls":
            one.starttls(context=context)
        if service.user and log_in:
            one.login(service.user, service.password)
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def spoken(service):
    """A function that sends bytes and returns the last line of the reply, or b"" when the connection is over."""
    with socket.create_connection((service.host, service.port), 5) as raw, raw.makefile("rb") as lines:

        def say(data):
            raw.sendall(data)
            return reply()

        def reply():
            while (line := lines.readline())[3:4] == b"-":
                pass
            return line.rstrip()

        assert reply().startswith(b"220 ")
        yield say


def test_a_message(smtp):
    with client(smtp) as mail:
        assert mail.sendmail("a@example.com", ["b@example.com", "c@example.com"], BODY + b".dot\r\n..\r\n") == {}
        mail.quit()
    (message,) = smtp.messages
    assert (message.sender, message.recipients) == ("a@example.com", ("b@example.com", "c@example.com"))
    assert message.data == BODY + b".dot\r\n..\r\n"
    assert (message.secure, message.user) == (False, None)
    assert [command.split()[0] for command in smtp.commands] == ["ehlo", "mail", "rcpt", "rcpt", "data", "quit"]


@pytest.mark.parametrize("name", ["smtp_starttls", "smtp_tls"])
def test_encryption_and_login(request, name):
    service = request.getfixturevalue(name)
    with client(service) as mail:
        mail.sendmail("a@example.com", "b@example.com", BODY)
    assert (service.messages[0].secure, service.messages[0].user) == (True, service.user)
    assert service.password not in "".join(service.commands)
    assert base64.b64encode(service.password.encode()).decode() not in "".join(service.commands)
    with client(service, log_in=False) as mail, pytest.raises(smtplib.SMTPSenderRefused, match="530"):
        mail.sendmail("a@example.com", "b@example.com", BODY)
    with client(service, log_in=False) as mail, pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
        mail.login(service.user, "wrong")
    with client(service, log_in=False) as mail:
        mail.ehlo()
        mail.user, mail.password = service.user, service.password
        assert mail.auth("LOGIN", mail.auth_login)[0] == 235
        assert mail.docmd("AUTH", "PLAIN")[0] == 503


def test_certificates():
    for transport in ("starttls", "implicit"):
        with start_smtp(transport, expired=True) as service:  # noqa: SIM117
            with pytest.raises(ssl.SSLCertVerificationError, match="expired"), client(service):
                pass
        with start_smtp(transport) as service:
            service.ca = None
            with pytest.raises(ssl.SSLCertVerificationError), client(service):
                pass


def test_without_encryption(smtp_starttls):
    login = base64.b64encode(f"\0{smtp_starttls.user}\0{smtp_starttls.password}".encode())
    with spoken(smtp_starttls) as say:
        assert say(b"EHLO here\r\n").startswith(b"250 ")
        assert say(b"AUTH PLAIN " + login + b"\r\n").startswith(b"538 ")
        assert say(b"MAIL FROM:<a@b.example>\r\n").startswith(b"530 5.7.0 Must issue a STARTTLS")
        assert say(b"STARTTLS x\r\n").startswith(b"501 ")


def test_login_without_encryption_where_it_is_offered():
    with start_smtp(user="u", password="p") as service, client(service, log_in=False) as mail:
        mail.ehlo()
        assert mail.docmd("AUTH", "CRAM-MD5")[0] == 504
        assert mail.docmd("AUTH", "PLAIN !")[0] == 501
        assert mail.docmd("AUTH", "PLAIN")[0] == 334
        assert mail.docmd("*")[0] == 501
        assert mail.login("u", "p")[0] == 235


def test_what_follows_starttls_in_plain_text_is_thrown_away(smtp_starttls):
    with socket.create_connection((smtp_starttls.host, smtp_starttls.port), 5) as raw:
        raw.recv(1000)
        raw.sendall(b"EHLO here\r\n")
        raw.recv(1000)
        raw.sendall(b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
        assert raw.recv(1000).startswith(b"220 ")
        context = ssl.create_default_context(cafile=smtp_starttls.ca)
        with context.wrap_socket(raw, server_hostname="localhost") as secure:
            secure.sendall(b"RSET\r\n")
            assert secure.recv(1000).startswith(b"250 ")
    assert not any("evil" in command for command in smtp_starttls.commands)


def test_order_and_syntax(smtp):
    with spoken(smtp) as say:
        for command, code in (
            ("MAIL FROM:<a@b.example>", 503),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("HELO here", 250),
            ("RCPT TO:<a@b.example>", 503),
            ("MAIL FROM:a@b.example", 501),
            ("MAIL TO:<a@b.example>", 501),
            ("MAIL FROM:<a@b.example> SIZE=9999999", 552),
            ("MAIL FROM:<ü@b.example>", 553),
            ("MAIL FROM:<ü@b.example> SMTPUTF8", 250),
            ("MAIL FROM:<a@b.example>", 503),
            ("DATA", 503),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<ü@b.example>", 250),
            ("RSET", 250),
            ("DATA", 503),
            ("VRFY a", 252),
            ("NOOP", 250),
            ("STARTTLS", 502),
            ("AUTH PLAIN", 504),
            ("MAKE COFFEE", 500),
            ("NOOP " + "x" * 600, 500),
            ("QUIT", 221),
        ):
            assert say(f"{command}\r\n".encode())[:3] == str(code).encode(), command


def test_bare_line_ends(smtp):
    for command in (b"EHLO here\n", b"EHLO here\rNOOP\r\n"):
        with spoken(smtp) as say:
            assert say(command).startswith(b"521 ")
            assert say(b"") == b""
    start = [b"EHLO here\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@b.example>\r\n", b"DATA\r\n"]
    smuggled = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\nx\r\n.\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r"):
        with spoken(smtp) as say:
            assert [say(line)[:3] for line in start] == [b"250", b"250", b"250", b"354"]
            assert say(b"x" + end + smuggled).startswith(b"550 5.6.0")
            assert say(b"NOOP\r\n").startswith(b"250 ")
    with spoken(smtp) as say:
        assert [say(line)[:3] for line in start] == [b"250", b"250", b"250", b"354"]
        assert say(b"x" * 999 + b"\r\n.\r\n").startswith(b"550 5.6.0")
        assert [say(line)[:3] for line in start[1:]] == [b"250", b"250", b"354"]
        assert say(b".\r\n").startswith(b"250 ")
    assert [message.data for message in smtp.messages] == [b""]


def test_refusals(smtp):
    smtp.unknown.add("bob@example.com")
    with client(smtp) as mail:
        refused = mail.sendmail("a@example.com", ["bob@example.com", "c@example.com"], BODY)
        assert refused["bob@example.com"][0] == 550
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            mail.sendmail("a@example.com", ["bob@example.com"], BODY)
        smtp.replies["END"] = "554 5.7.1 Looks like spam"
        with pytest.raises(smtplib.SMTPDataError, match="spam"):
            mail.sendmail("a@example.com", ["c@example.com"], BODY)
        smtp.replies["MAIL"] = "421 4.3.2 Shutting down"
        with pytest.raises(smtplib.SMTPSenderRefused, match="421"):
            mail.sendmail("a@example.com", ["c@example.com"], BODY)
    assert [message.recipients for message in smtp.messages] == [("c@example.com",)]
    smtp.replies["CONNECT"] = "554 No service"
    with pytest.raises(smtplib.SMTPConnectError, match="554"), client(smtp):
        pass


def test_faults(smtp):
    for command in ("CONNECT", "DATA", "END"):
        smtp.hangs = {command}
        started = time.monotonic()
        with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)), client(smtp, timeout=0.2) as mail:
            mail.sendmail("a@example.com", ["c@example.com"], BODY)
        assert time.monotonic() - started < SOON
    smtp.hangs, smtp.drops = set(), {"RCPT"}
    with pytest.raises(smtplib.SMTPServerDisconnected), client(smtp) as mail:
        mail.sendmail("a@example.com", ["c@example.com"], BODY)
    assert smtp.connections == 4
    smtp.stop()
    with pytest.raises(ConnectionRefusedError), client(smtp):
        pass
