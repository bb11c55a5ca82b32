"""The calls of a pretend Twilio: one for each call its recordings name, made up when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from callreel.rehearsal.twilio_shelf import TwilioRecording, TwilioShelf
from callreel.rehearsal.twilio_words import VERSION, moment

RINGS_S = 5  # a call begins so long before its recording
DIRECTIONS = ("inbound", "outbound-api", "outbound-dial")


def call_of(one: TwilioRecording, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The call of a recording, with these facts in place of made-up ones."""
    assert one.call_sid is not None
    dice = hashlib.blake2s(one.call_sid.encode()).digest()
    began, ended = one.start_time - timedelta(seconds=RINGS_S), one.date_created
    path = f"{VERSION}/Accounts/{one.account_sid}/Calls/{one.call_sid}"
    told: dict[str, Any] = {
        "sid": one.call_sid,
        "account_sid": one.account_sid,
        "date_created": moment(began),
        "date_updated": moment(ended),
        "start_time": moment(began),
        "end_time": moment(ended),
        "duration": str(RINGS_S + one.duration_s),
        "from": f"+1415555{int.from_bytes(dice[:2], 'big') % 10_000:04}",
        "to": f"+1628555{int.from_bytes(dice[2:4], 'big') % 10_000:04}",
        "direction": DIRECTIONS[dice[4] % len(DIRECTIONS)],
        "status": "completed",
        "parent_call_sid": None,
        "phone_number_sid": "",
        "price": one.price,
        "price_unit": "USD",
        "answered_by": None,
        "forwarded_from": None,
        "caller_name": "",
        "group_sid": None,
        "trunk_sid": "",
        "queue_time": "0",
        "api_version": "2010-04-01",
        "uri": f"{path}.json",
        "subresource_uris": {"recordings": f"{path}/Recordings.json"},
    }
    told.update(facts)
    return told | {"from_formatted": told["from"], "to_formatted": told["to"]}


def calls_of_day(shelf: TwilioShelf, day: str) -> Iterator[TwilioRecording]:
    """A recording of each call that began on a day (GMT), newest first."""
    first = datetime.fromisoformat(day).replace(tzinfo=UTC)
    seen: set[str] = set()
    # What was recorded in the night after may be of a call that began on the day; a call lasts a day at most.
    for one in shelf.after((-(first + timedelta(days=2)).timestamp(), "")):
        if one.date_created < first:
            return
        began = one.start_time - timedelta(seconds=RINGS_S)
        if one.call_sid is not None and one.call_sid not in seen and f"{began:%Y-%m-%d}" == day:
            seen.add(one.call_sid)
            yield one
