"""What is examined, and how thoroughly."""

from __future__ import annotations

from dataclasses import dataclass, field

from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.model.patience import Patience
from callreel.model.sid import AccountSid
from callreel.sealing.keyring import Keyring
from callreel.sources import Sources
from callreel.spool.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The opened shelves of an installation. `deep` reads and hashes every byte there is, here and in buckets.

    `account_sid` narrows everything to one account. `out_of_reach` remembers buckets that said they may not be
    looked at, so that a million objects are not asked for one by one.
    """

    ledger: Ledger
    spool: Spool
    buckets: Buckets
    keyring: Keyring
    clock: Clock
    patience: Patience
    account_sid: AccountSid | None = None
    sources: Sources | None = None
    deep: bool = False
    out_of_reach: set[tuple[str, str]] = field(default_factory=set)
