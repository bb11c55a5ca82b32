"""From a source to its Twilio account, opened with its own credential.

Below the steps and above the shelves: it joins the ledger's sources, the key ring and the source shelf, and keeps one
pace for each Twilio account, whoever works on it.
"""

from __future__ import annotations

from random import Random

import aiohttp

from callreel.clock import Clock
from callreel.errors import SourceUnauthorized
from callreel.ledger.ledger import Ledger
from callreel.model.source import Source, SourceCredential
from callreel.sealing.keyring import Keyring
from callreel.source.pace import Pace
from callreel.source.twilio_account import TwilioAccount

TABLE = "sources"
MOST_PACES = 1000


class Sources:
    """Opens sources over one guarded session."""

    def __init__(
        self, *, ledger: Ledger, keyring: Keyring, http: aiohttp.ClientSession, clock: Clock, rng: Random
    ) -> None:
        self._ledger, self._keyring, self._http, self._clock, self._rng = ledger, keyring, http, clock, rng
        self._paces: dict[tuple[str, str], Pace] = {}

    async def open(self, source: Source) -> TwilioAccount:
        """The account over there. No request is made. Raises `SourceUnauthorized` when the source was removed."""
        secret = await self.secret(source)
        credential = SourceCredential(source.api_key_sid or source.twilio_account_sid, secret)
        return TwilioAccount(
            source.base_url,
            source.twilio_account_sid,
            credential,
            self._http,
            pace=self._pace(source),
            clock=self._clock,
        )

    async def secret(self, source: Source) -> str:
        """The auth token, or the API key's secret. Raises `SourceUnauthorized` and `SealBroken`."""
        sealed = await self._ledger.sources.find_sealed(source.account_sid, source.sid)
        if sealed is None:
            raise SourceUnauthorized(f"The source {source.sid} was removed")
        return self._keyring.open(sealed, table=TABLE, row=source.sid, account=source.account_sid).decode()

    def seal(self, source: Source, secret: str) -> bytes:
        """The secret as its row keeps it."""
        return self._keyring.seal(secret.encode(), table=TABLE, row=source.sid, account=source.account_sid)

    def _pace(self, source: Source) -> Pace:
        """Twilio counts by account, so sources that share one share its pace."""
        place = (source.base_url, source.twilio_account_sid)
        if place not in self._paces:
            if len(self._paces) >= MOST_PACES:
                self._paces.pop(next(iter(self._paces)))
            self._paces[place] = Pace(clock=self._clock, rng=self._rng)
        return self._paces[place]
