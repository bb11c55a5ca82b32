"""The filters of the recordings list: from the address to what the ledger is asked, and to words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from datetime import date as Day

from callreel.console import words
from callreel.console.fields import Fields
from callreel.errors import InvalidParameter
from callreel.ledger.paging import Place, from_microseconds, microseconds
from callreel.ledger.recordings import RecordingFilter
from callreel.model.recording import COMPLETED, State
from callreel.model.sid import AccountSid, is_sid
from callreel.steps.read_calls import SealedLogs, find_calls_of_number

SIZES = (25, 50, 100, 250)
USUAL_SIZE = 50
MOST_CALLS = 1000  # of one number are looked through, newest first

_UPLOADING = frozenset({State.RECEIVING, State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING})
STATUSES: dict[str, tuple[str, frozenset[State], bool | None]] = {
    "completed": ("Completed", COMPLETED, False),
    "bucket": ("In your bucket", COMPLETED, True),
    "uploading": ("Uploading", _UPLOADING, None),
    "parked": ("Parked", frozenset({State.PARKED}), None),
    "held": ("Held", frozenset({State.FATAL}), None),
    "attention": ("Needs attention", frozenset({State.PARKED, State.FATAL}), None),
    "failed": ("Failed", frozenset({State.ERASED, State.ABSENT}), None),
    "deleted": ("Deleted", frozenset({State.DELETING, State.DELETED}), None),
}
"""A status of the address: its word, the states it means, and whether the media lies in the account's bucket."""

LENGTHS = {"short": ("Under 1 min", None, 60_000), "medium": ("1–10 min", 60_000, 600_000),
           "long": ("Over 10 min", 600_000, None)}  # fmt: skip
NAMES = ("q", "from", "to", "status", "source", "length", "call")


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter in words, and the field it came from."""

    name: str
    words: str


def wanted_by(fields: Fields) -> tuple[RecordingFilter, list[Chip], list[str]]:
    """What the ledger is asked without the search, the filters in words, and what could not be read."""
    wanted, chips, faults = RecordingFilter(include_deleted=True), [], []
    status, source, length, call = (fields.text(name) for name in ("status", "source", "length", "call"))
    if status in STATUSES:
        word, states, is_external = STATUSES[status]
        wanted = replace(wanted, states=states, is_external=is_external)
        chips.append(Chip("status", f"Status is {word}"))
    if source in words.SOURCES:
        wanted = replace(wanted, source=source)
        chips.append(Chip("source", f"Source is {words.source(source)}"))
    if length in LENGTHS:
        word, least, below = LENGTHS[length]
        wanted = replace(wanted, least_ms=least, below_ms=below)
        chips.append(Chip("length", word))
    if is_sid("CA", call):
        wanted = replace(wanted, call_sid=call)
        chips.append(Chip("call", f"Call is {words.short(call)}"))
    for name, word in (("from", "From"), ("to", "To")):
        try:
            day = _day(fields.text(name))
        except ValueError:
            faults.append(f"{word}: '{fields.text(name)[:40]}' is not a date like 2026-11-21")
            continue
        if day is None:
            continue
        chips.append(Chip(name, f"{word} {words.date(day)}"))
        wanted = replace(wanted, created_from=day) if name == "from" else replace(wanted, created_before=_after(day))
    return wanted, chips, faults


async def searched(wanted: RecordingFilter, text: str, account_sid: AccountSid, logs: SealedLogs) -> RecordingFilter:
    """The filter with what was searched for: a recording's SID, a call's, or a number exactly as it was dialled."""
    if not text:
        return wanted
    sid = text[:2].upper() + text[2:].lower()
    if is_sid("RE", sid):
        return replace(wanted, sid=sid)
    if is_sid("CA", sid):
        return replace(wanted, call_sid=sid)
    number = text if text.startswith(("sip:", "client:")) else "".join(c for c in text if c not in " -().\u00a0")
    found = await find_calls_of_number(account_sid, number, most=MOST_CALLS, logs=logs)
    return replace(wanted, call_sids=tuple(found))


def place_of(fields: Fields, prefix: str = "RE") -> Place | None:
    """Where in the list the page begins, in SIDs of this prefix. Raises `InvalidParameter` for a place no list has."""
    text = fields.text("after") or fields.text("before")
    if not text:
        return None
    count, _, sid = text.partition("-")
    if not count.isdigit() or not is_sid(prefix, sid) or len(count) > 18:
        raise InvalidParameter("This page of the list does not exist")
    try:
        return Place(from_microseconds(int(count)), sid, backward=not fields.text("after"))
    except OverflowError as why:
        raise InvalidParameter("This page of the list does not exist") from why


def place_text(created: datetime, sid: str) -> str:
    """A place as it stands in an address."""
    return f"{microseconds(created)}-{sid}"


def size_of(fields: Fields) -> int:
    """Rows a page."""
    text = fields.text("rows")
    return int(text) if text.isdigit() and len(text) < 5 and int(text) in SIZES else USUAL_SIZE


def _day(text: str) -> datetime | None:
    if not text:
        return None
    day = Day.fromisoformat(text)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _after(day: datetime) -> datetime:
    return day + timedelta(days=1)
