"""What a pretend Twilio account holds: recordings that were put there, and a million that are made when asked for.

Newest first, found again by SID, remembered after deletion as Twilio does for 40 days: a page token that names a
recording deleted meanwhile still says where the list goes on.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache

from callreel.rehearsal.speech import wav_of_size

BYTES_PER_S = 16_000  # 8 kHz, 16 bits, mono: the 128 kbps of Twilio's WAV
BODIES = 8  # different talks that a simulated inventory is made of
_UNIQUE_AT, _UNIQUE_BYTES = 44, 16  # the first samples tell one simulated recording from the others


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioRecording:
    """One recording. `media` is the WAV or its ciphertext; `ready_at` is when post-processing ends."""

    sid: str
    account_sid: str
    date_created: datetime
    duration_s: int
    media: bytes = field(repr=False)
    call_sid: str | None = None
    conference_sid: str | None = None
    channels: int = 1
    source: str = "DialVerb"
    track: str | None = None
    status: str = "completed"
    error_code: int | None = None
    ready_at: datetime | None = None
    encryption_details: Mapping[str, str] | None = None

    @property
    def start_time(self) -> datetime:
        return self.date_created - timedelta(seconds=self.duration_s)

    @property
    def price(self) -> str:
        return f"-{0.0025 * max(1, -(-self.duration_s // 60)):.5f}"

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands in a list that begins with the newest."""
        return -self.date_created.timestamp(), self.sid

    def status_at(self, now: datetime) -> str:
        """Its status at this moment."""
        if self.ready_at is not None and now < self.ready_at:
            return "processing"
        return self.status


class TwilioShelf:
    """The recordings of one account."""

    def __init__(self) -> None:
        self._kept: dict[str, TwilioRecording] = {}
        self._order: list[tuple[tuple[float, str], str]] = []
        self._simulated: _Simulated | None = None

    def put(self, one: TwilioRecording) -> None:
        """Add a recording, or replace the one of its SID."""
        if one.sid not in self._kept:
            insort(self._order, (one.place, one.sid))
        self._kept[one.sid] = one

    def simulate(self, account_sid: str, count: int, *, newest: datetime, size_bytes: int, seed: int) -> None:
        """Hold this many more, one a minute back from `newest`, without keeping any of them in memory."""
        self._simulated = _Simulated(account_sid, count, newest, size_bytes, seed)

    def find(self, sid: str) -> TwilioRecording | None:
        """A recording, also one that was deleted."""
        return self._kept.get(sid) or (self._simulated.find(sid) if self._simulated else None)

    def find_call(self, call_sid: str) -> TwilioRecording | None:
        """A recording of this call, also one that was deleted: the call is there still."""
        made = self.find("RE" + call_sid[2:])
        if made is not None and made.call_sid == call_sid:
            return made
        return next((one for one in self._kept.values() if one.call_sid == call_sid), None)

    def remove(self, one: TwilioRecording) -> None:
        """Delete its media; its metadata stays."""
        if one.sid in self._kept:
            self._kept[one.sid] = replace(one, status="deleted", media=b"")
        elif self._simulated is not None:
            self._simulated.remove(one.sid)

    def __len__(self) -> int:
        """How many are there and not deleted."""
        kept = sum(1 for one in self._kept.values() if one.status != "deleted")
        return kept + (self._simulated.left if self._simulated else 0)

    def after(self, place: tuple[float, str] | None) -> Iterator[TwilioRecording]:
        """Everything behind this place, newest first, deleted ones too."""
        start = 0 if place is None else bisect_left(self._order, (place, "\x7f"))
        kept = (self._kept[sid] for _, sid in self._order[start:])
        made = self._simulated.after(place) if self._simulated else iter(())
        return _merged(kept, made)


class Days:
    """The day filters of a list, as documented: a day, on or after a midnight, on or before one. All in GMT."""

    def __init__(self, day: str | None, first: str | None, last: str | None) -> None:
        self._day, self._first, self._last = day, first, last

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Days:
        found = [query.get(name) for name in ("DateCreated", "DateCreated>", "DateCreated<")]
        return cls(*(None if text is None else text[:10] for text in found))

    def holds(self, one: TwilioRecording) -> bool:
        day = f"{one.date_created:%Y-%m-%d}"
        midnight = f"{one.date_created:%H:%M:%S}" == "00:00:00"
        if self._day is not None and day != self._day:
            return False
        if self._last is not None and not (day < self._last or (day == self._last and midnight)):
            return False
        return self._first is None or day >= self._first

    def is_before(self, one: TwilioRecording) -> bool:
        """Whether this one and all that follow are older than what was asked for."""
        return self._first is not None and f"{one.date_created:%Y-%m-%d}" < self._first


def _merged(left: Iterator[TwilioRecording], right: Iterator[TwilioRecording]) -> Iterator[TwilioRecording]:
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.place < other.place):
            assert one is not None
            yield one
            one = next(left, None)
        else:
            yield other
            other = next(right, None)


class _Simulated:
    """Number n is a minute older than number n - 1. Its SID carries n, so that nothing has to be looked up."""

    def __init__(self, account_sid: str, count: int, newest: datetime, size_bytes: int, seed: int) -> None:
        self._account, self._count, self._newest = account_sid, count, newest.replace(microsecond=0)
        self._size, self._seed = size_bytes, seed
        self._deleted = bytearray(count)
        self.left = count

    def find(self, sid: str) -> TwilioRecording | None:
        number = int(sid[-8:], 16)
        if number >= self._count or sid != self._sid(number):
            return None
        return self._make(number, with_media=True)

    def remove(self, sid: str) -> None:
        number = int(sid[-8:], 16)
        self.left -= 1 - self._deleted[number]
        self._deleted[number] = 1

    def after(self, place: tuple[float, str] | None) -> Iterator[TwilioRecording]:
        first = 0
        if place is not None:
            first = max(0, int((self._newest.timestamp() + place[0]) // 60))
        for number in range(first, self._count):
            one = self._make(number, with_media=False)
            if place is None or one.place > place:
                yield one

    def _sid(self, number: int) -> str:
        digest = hashlib.blake2s(b"%d %d" % (self._seed, number), digest_size=12)
        return f"RE{digest.hexdigest()}{number:08x}"

    def _make(self, number: int, *, with_media: bool) -> TwilioRecording:
        is_deleted = bool(self._deleted[number])
        sid = self._sid(number)
        return TwilioRecording(
            sid=sid,
            account_sid=self._account,
            date_created=self._newest - timedelta(minutes=number),
            duration_s=round((self._size - 44) / BYTES_PER_S),
            media=self._media(number) if with_media and not is_deleted else b"",
            call_sid="CA" + sid[2:],
            status="deleted" if is_deleted else "completed",
        )

    def _media(self, number: int) -> bytes:
        body = _talk(self._size, number % BODIES)
        mark = hashlib.blake2s(b"%d media %d" % (self._seed, number), digest_size=_UNIQUE_BYTES).digest()
        room = min(_UNIQUE_BYTES, len(body) - _UNIQUE_AT)
        return b"".join([body[:_UNIQUE_AT], mark[:room], memoryview(body)[_UNIQUE_AT + room :]])


@lru_cache(maxsize=BODIES)
def _talk(size_bytes: int, seed: int) -> bytes:
    return wav_of_size(size_bytes, seed)
