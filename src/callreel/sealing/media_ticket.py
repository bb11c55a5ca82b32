"""Tickets for media URLs: who holds one may fetch one recording for a while, without signing in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from callreel.errors import NotAllowed
from callreel.model.sid import AccountSid, RecordingSid

MAC_BYTES = 32
LONGEST = 400


class Disposition(StrEnum):
    """Whether a browser saves the media or plays it."""

    ATTACHMENT = "attachment"
    INLINE = "inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket lets its holder do, and until which second."""

    account_sid: AccountSid
    recording_sid: RecordingSid
    expires_at: int
    disposition: Disposition


class TicketOffice:
    """Issues tickets under a key of the installation and knows its own again."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "TicketOffice(…)"

    def issue(
        self,
        account_sid: AccountSid,
        recording_sid: RecordingSid,
        *,
        ttl_s: int,
        disposition: Disposition,
        now: datetime,
    ) -> str:
        """A ticket that is good for `ttl_s` seconds from now; letters, digits, `-` and `_` only."""
        expires_at = int(now.timestamp()) + ttl_s
        words = f"{account_sid}.{recording_sid}.{expires_at}.{disposition}".encode()
        return base64.urlsafe_b64encode(self._mac(words) + words).rstrip(b"=").decode()

    def open(self, ticket: str, *, now: datetime) -> Ticket:
        """What the ticket says. Raises `NotAllowed` for one that is not ours, was altered, or has expired."""
        words = self._words(ticket)
        account_sid, recording_sid, expires_at, disposition = words.decode().split(".")
        if now.timestamp() >= int(expires_at):
            raise NotAllowed("The media URL has expired. Ask the recording's Media resource for a new one.")
        return Ticket(
            account_sid=AccountSid(account_sid),
            recording_sid=RecordingSid(recording_sid),
            expires_at=int(expires_at),
            disposition=Disposition(disposition),
        )

    def _words(self, ticket: str) -> bytes:
        if len(ticket) > LONGEST or not ticket.isascii():
            raise NotAllowed(_NOT_OURS)
        try:
            raw = base64.b64decode(ticket + "=" * (-len(ticket) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as why:
            raise NotAllowed(_NOT_OURS) from why
        mac, words = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(words)):
            raise NotAllowed(_NOT_OURS)
        return words

    def _mac(self, words: bytes) -> bytes:
        return hmac.new(self._key, b"media ticket\0" + words, hashlib.sha256).digest()


_NOT_OURS = "The media URL is not one that this installation made."
