"""How many requests of one account are under way: Twilio limits those at once, not those in a time."""

from __future__ import annotations

from collections import Counter

from callreel.errors import TooManyRequests


class Concurrency:
    """Counts each account's requests under way, up to a limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    def turn(self) -> Turn:
        """The turn of one request, before it is known whose it is."""
        return Turn(self._under_way, self._most)


class Turn:
    """One request's place among its account's. Taken when the caller is known, left when the answer is out."""

    __slots__ = ("_account_sid", "_most", "_refused_at", "_under_way")

    def __init__(self, under_way: Counter[str], most: int) -> None:
        self._under_way, self._most = under_way, most
        self._account_sid: str | None = None
        self._refused_at = 0

    def take(self, account_sid: str) -> None:
        """Raises `TooManyRequests` when the account has its limit under way; this one was not processed."""
        if self._account_sid is not None:
            return
        if self._under_way[account_sid] >= self._most:
            self._refused_at = self._under_way[account_sid]
            raise TooManyRequests()
        self._account_sid = account_sid
        self._under_way[account_sid] += 1

    @property
    def count(self) -> int:
        """Requests of this account under way, this one included unless it was refused; 0 while nobody signed in."""
        return self._refused_at if self._account_sid is None else self._under_way[self._account_sid]

    def leave(self) -> None:
        """Give the place back."""
        if self._account_sid is None:
            return
        self._under_way[self._account_sid] -= 1
        if self._under_way[self._account_sid] <= 0:
            del self._under_way[self._account_sid]
        self._account_sid = None
