"""Where an account's recordings go: each destination once, opened, with the prefix that is ours there.

Below the steps and above `buckets`. For who looks at buckets as a whole: the sweep, and an examination.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.errors import CallreelError
from callreel.ledger.settings import SettingsBook
from callreel.model.destination import DEFAULT_KEY_TEMPLATE, Destination
from callreel.model.sid import AccountSid

_BEGIN = "{prefix}/{account_sid}/"


@dataclass(frozen=True, slots=True)
class Place:
    """One destination of an account. `prefix` is what the account's keys begin with.

    `names_account`: every key of ours names the account, so that a stranger's can be told from it.
    """

    account_sid: AccountSid
    bucket: S3Bucket
    destination: Destination
    prefix: str
    names_account: bool

    @property
    def name(self) -> str:
        return f"{self.account_sid} {self.destination.bucket}"


@dataclass(frozen=True, slots=True)
class Closed:
    """A destination that cannot be opened, and why."""

    account_sid: AccountSid
    text: str


async def places_of(
    account_sid: AccountSid, numbers: Iterable[int], *, settings: SettingsBook, buckets: Buckets
) -> AsyncIterator[Place | Closed]:
    """The places that these settings versions name, the newest version first. Opening one asks it nothing."""
    seen: set[Destination] = set()
    for number in sorted(set(numbers), reverse=True):
        chosen = await settings.version(number)
        try:
            destination = buckets.destination_of(chosen)
            if destination is None or destination in seen:
                continue
            seen.add(destination)
            bucket = await buckets.of_settings(account_sid, chosen)
        except CallreelError as why:
            yield Closed(account_sid, why.message)
            continue
        template = chosen.key_template or DEFAULT_KEY_TEMPLATE
        prefix = f"{destination.prefix}/" if destination.prefix else ""
        if template.startswith(_BEGIN):
            prefix += f"{account_sid}/"
        yield Place(account_sid, bucket, destination, prefix, "{account_sid}" in template)
