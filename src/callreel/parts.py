"""The opened parts of an installation, joined once by `app` and handed to the doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from callreel.births import Births
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.media.rendition_cache import RenditionCache
from callreel.media_keys import MediaKeys
from callreel.model.destination import Network
from callreel.model.patience import Patience
from callreel.model.price_list import PriceList
from callreel.model.retention import Retention
from callreel.outbound.callback import CallbackSender
from callreel.outbound.guard import Guard
from callreel.outbound.mail import Mailer
from callreel.sealing.blind_index import BlindIndex
from callreel.sealing.keyring import Keyring
from callreel.sealing.media_ticket import TicketOffice
from callreel.sealing.passwords import Passwords
from callreel.sealing.receipt_key import ReceiptKey
from callreel.sealing.tokens import TokenDigest
from callreel.sources import Sources
from callreel.spool.spool import Spool
from callreel.steps.read_calls import SealedLogs


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The settings doors and steps need, as plain values; sizes in bytes, times in seconds."""

    max_upload_bytes: int
    delivery_concurrency: int
    account_concurrency: int
    accepted_grace_s: float
    patience: Patience
    retention: Retention
    private_networks: Sequence[Network]
    prices: PriceList


@dataclass(slots=True, kw_only=True)
class Parts:
    """Everything that is open while the service runs. `public_url` is set once the port is known."""

    clock: Clock
    rng: Random
    ledger: Ledger
    spool: Spool
    births: Births
    keys: MediaKeys
    buckets: Buckets
    sources: Sources
    keyring: Keyring
    digest: TokenDigest
    index: BlindIndex
    tickets: TicketOffice
    passwords: Passwords
    receipt_key: ReceiptKey
    guard: Guard
    sender: CallbackSender
    mailer: Mailer | None
    renditions: RenditionCache
    chosen: Chosen
    public_url: str

    @property
    def logs(self) -> SealedLogs:
        """What reading sealed call logs needs."""
        return SealedLogs(calls=self.ledger.calls, keyring=self.keyring, index=self.index)
