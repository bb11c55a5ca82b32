"""Mail through the operator's own server.

The server is named by the operator in `SMTP_URL`, never by a tenant, so it may be anywhere; the guard is for what
tenants name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from callreel.errors import MailFailed, Misconfigured

TIMEOUT_S = 30.0
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail. `letter_id` makes its Message-ID: the same letter sent twice is seen to be one."""

    letter_id: str
    to: str
    subject: str
    text: str
    date: datetime


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """`smtp://`, `smtps://` or `smtp+starttls://[user:password@]host[:port][?from=address]`, read."""

    scheme: str
    host: str
    port: int
    username: str | None
    password: str | None
    sender: str


def read_smtp_url(url: str) -> SmtpServer:
    """The server of an `SMTP_URL`. Raises `Misconfigured`, without repeating what may be a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as why:
        raise Misconfigured("CALLREEL_SMTP_URL is not a URL") from why
    if parts.scheme not in _PORTS or not parts.hostname:
        raise Misconfigured(f"CALLREEL_SMTP_URL must be {' or '.join(f'{scheme}://host' for scheme in _PORTS)}")
    sender = parse_qs(parts.query).get("from", [f"callreel@{parts.hostname}"])[0]
    if any(sign in sender for sign in "\r\n") or "@" not in sender:
        raise Misconfigured("CALLREEL_SMTP_URL: from must be a mail address")
    return SmtpServer(
        parts.scheme,
        parts.hostname,
        port or _PORTS[parts.scheme],
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        sender,
    )


class Mailer:
    """Hands letters to the server."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def send(self, letter: Letter) -> None:
        """Hand one letter over; the server has taken it when this returns. Raises `MailFailed`."""
        server = self._server
        try:
            await aiosmtplib.send(
                self._message(letter),
                sender=server.sender,
                recipients=[letter.to],
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.scheme == "smtps",
                start_tls=server.scheme == "smtp+starttls",
                timeout=TIMEOUT_S,
            )
        except (aiosmtplib.SMTPException, OSError, ValueError) as why:
            raise MailFailed(f"The mail server did not take the receipt: {_told(why)}") from why

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()  # its policy refuses line breaks in headers
        message["From"], message["To"], message["Subject"] = self._server.sender, letter.to, letter.subject
        message["Date"] = format_datetime(letter.date)
        message["Message-ID"] = f"<{letter.letter_id}@{self._server.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        return message


def _told(why: Exception) -> str:
    """The server's code and words, or the kind of error; never what we sent."""
    if isinstance(why, aiosmtplib.SMTPResponseException):
        words = "".join(c for c in str(why.message) if c.isprintable())
        return f"{why.code} {words}"[:200]
    return type(why).__name__
