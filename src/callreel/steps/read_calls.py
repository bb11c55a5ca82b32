"""Open call logs and conferences for somebody who may read them: numbers and names are sealed at rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from callreel.ledger.calls import CallFilter, CallRow, Calls, ConferenceFilter, ConferenceRow
from callreel.ledger.paging import Page, Place
from callreel.model.call import Call, Conference
from callreel.model.sid import AccountSid
from callreel.sealing.blind_index import BlindIndex
from callreel.sealing.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLogs:
    """What reading and writing sealed call logs needs."""

    calls: Calls
    keyring: Keyring
    index: BlindIndex


async def fetch_call(account_sid: AccountSid, sid: str, *, logs: SealedLogs) -> Call:
    """One call log. Raises `NotFound`."""
    return _open_call(await logs.calls.fetch(account_sid, sid), logs.keyring)


async def find_calls(account_sid: AccountSid, sids: Sequence[str], *, logs: SealedLogs) -> dict[str, Call]:
    """Those call logs that there are of these SIDs."""
    rows = await logs.calls.find_many(account_sid, sorted(set(sids)))
    return {row.sid: _open_call(row, logs.keyring) for row in rows}


async def find_calls_of_number(account_sid: AccountSid, number: str, *, most: int, logs: SealedLogs) -> Sequence[str]:
    """The SIDs of the newest calls from or to exactly this number."""
    return await logs.calls.list_sids_of(
        account_sid,
        from_mark=logs.index.mark(number, account=account_sid, column="from"),
        to_mark=logs.index.mark(number, account=account_sid, column="to"),
        most=most,
    )


async def list_calls(
    account_sid: AccountSid,
    wanted: CallFilter,
    *,
    from_number: str | None,
    to_number: str | None,
    place: Place | None,
    size: int,
    logs: SealedLogs,
) -> Page[Call]:
    """One page of call logs; numbers are matched exactly."""
    if from_number is not None:
        wanted = replace(wanted, from_mark=logs.index.mark(from_number, account=account_sid, column="from"))
    if to_number is not None:
        wanted = replace(wanted, to_mark=logs.index.mark(to_number, account=account_sid, column="to"))
    page = await logs.calls.list(account_sid, wanted, place=place, size=size)
    return Page([_open_call(row, logs.keyring) for row in page.rows], page.has_next, page.has_previous)


async def fetch_conference(account_sid: AccountSid, sid: str, *, logs: SealedLogs) -> Conference:
    """One conference. Raises `NotFound`."""
    return _open_conference(await logs.calls.fetch_conference(account_sid, sid), logs.keyring)


async def list_conferences(
    account_sid: AccountSid,
    wanted: ConferenceFilter,
    *,
    friendly_name: str | None,
    place: Place | None,
    size: int,
    logs: SealedLogs,
) -> Page[Conference]:
    """One page of conferences; a name is matched exactly."""
    if friendly_name is not None:
        wanted = replace(wanted, name_mark=logs.index.mark(friendly_name, account=account_sid, column="name"))
    page = await logs.calls.list_conferences(account_sid, wanted, place=place, size=size)
    return Page([_open_conference(row, logs.keyring) for row in page.rows], page.has_next, page.has_previous)


def _open_call(row: CallRow, keyring: Keyring) -> Call:
    parties: dict[str, Any] = {}
    if row.parties_sealed is not None:
        opened = keyring.open(row.parties_sealed, table="calls", row=row.sid, account=row.account_sid)
        parties = json.loads(opened)
    return Call(
        sid=row.sid,
        account_sid=row.account_sid,
        from_number=parties.get("from"),
        to_number=parties.get("to"),
        direction=row.direction,
        campaign=row.campaign,
        campaign_sid=row.campaign_sid,
        status=row.status,
        start_time=row.start_time,
        end_time=row.end_time,
        duration_ms=row.duration_ms,
        date_created=row.date_created,
        date_updated=row.date_updated,
    )


def _open_conference(row: ConferenceRow, keyring: Keyring) -> Conference:
    name = None
    if row.name_sealed is not None:
        name = keyring.open(row.name_sealed, table="conferences", row=row.sid, account=row.account_sid).decode()
    return Conference(
        sid=row.sid,
        account_sid=row.account_sid,
        friendly_name=name,
        status=row.status,
        date_created=row.date_created,
        date_updated=row.date_updated,
    )
