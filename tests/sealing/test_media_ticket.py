"""Media tickets: good for one recording, for a while, and only as they were issued."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from callreel.errors import NotAllowed
from callreel.model.sid import AccountSid, RecordingSid
from callreel.sealing.media_ticket import Disposition, TicketOffice

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OFFICE = TicketOffice(b"k" * 32)
ACCOUNT, RECORDING = AccountSid("AC" + "a" * 32), RecordingSid("RT" + "b" * 32)


def issue(office: TicketOffice = OFFICE, ttl_s: int = 60) -> str:
    return office.issue(ACCOUNT, RECORDING, ttl_s=ttl_s, disposition=Disposition.INLINE, now=NOW)


def test_a_ticket_says_what_it_was_issued_for() -> None:
    ticket = OFFICE.open(issue(), now=NOW + timedelta(seconds=59))
    assert (ticket.account_sid, ticket.recording_sid, ticket.disposition) == (ACCOUNT, RECORDING, Disposition.INLINE)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", issue())


def test_a_ticket_expires_on_the_second() -> None:
    with pytest.raises(NotAllowed, match="expired"):
        OFFICE.open(issue(), now=NOW + timedelta(seconds=60))


def test_every_change_of_a_character_is_noticed() -> None:
    ticket = issue()
    for i, old in enumerate(ticket):
        new = "A" if old != "A" else "B"
        with pytest.raises(NotAllowed):
            OFFICE.open(ticket[:i] + new + ticket[i + 1 :], now=NOW)


@pytest.mark.parametrize("ticket", ["", "A", "AAAA", "ä", "A" * 10_000, "..", "%00"])
def test_what_is_no_ticket_is_not_allowed(ticket: str) -> None:
    with pytest.raises(NotAllowed):
        OFFICE.open(ticket, now=NOW)


def test_another_installations_ticket_is_not_allowed() -> None:
    with pytest.raises(NotAllowed):
        OFFICE.open(issue(TicketOffice(b"other" * 8)), now=NOW)
