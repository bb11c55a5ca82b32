"""Add, change and remove a source: checked, its secret sealed, and written down in the audit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from callreel.clock import Clock
from callreel.errors import ForbiddenAddress, InvalidFriendlyName, InvalidParameter, MissingParameter
from callreel.ledger.ledger import Ledger
from callreel.ledger.sources import Once
from callreel.model.deed import Action, Actor, changes
from callreel.model.sid import AccountSid, SourceSid, mint_sid
from callreel.model.source import POLL_SECONDS, TWILIO_URL, Ability, AbilityOutcome, Source
from callreel.outbound.guard import Guard, PlainHttp
from callreel.sources import Sources

NAME_LIMIT = 64
LONGEST_POLL_SECONDS = 86_400
_SECRET = re.compile(r"[\x21-\x7e]{8,512}", re.ASCII)
_TOLD = (
    "friendly_name",
    "api_key_sid",
    "poll_seconds",
    "include_subaccounts",
    "record_verb_is_voicemail",
    "include_calls",
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SourceWish:
    """What somebody wants a source to be; None is what was not said. Its repr shows no secret."""

    friendly_name: str | None = None
    auth_token: str | None = None
    api_key_sid: str | None = None
    api_key_secret: str | None = None
    poll_seconds: int | None = None
    include_subaccounts: bool | None = None
    record_verb_is_voicemail: bool | None = None
    include_calls: bool | None = None

    @property
    def secret(self) -> str | None:
        """The new secret. Raises `InvalidParameter` and `MissingParameter` for half a credential, or two."""
        if self.auth_token is not None and (self.api_key_sid is not None or self.api_key_secret is not None):
            raise InvalidParameter("Send AuthToken, or ApiKeySid and ApiKeySecret, not both", parameter="AuthToken")
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            raise MissingParameter("ApiKeySecret" if self.api_key_secret is None else "ApiKeySid")
        secret = self.auth_token if self.auth_token is not None else self.api_key_secret
        if secret is not None and not _SECRET.fullmatch(secret):
            raise InvalidParameter("The auth token or API key secret is not one: 8 to 512 printable characters")
        return secret


async def add_source(
    account_sid: AccountSid,
    twilio_account_sid: str,
    wish: SourceWish,
    *,
    base_url: str | None = None,
    once: Once | None = None,
    ledger: Ledger,
    sources: Sources,
    guard: Guard,
    clock: Clock,
    by: Actor,
) -> Source:
    """A new source. Nothing is asked of it yet; recordings made from now on are new ones.

    Raises `MissingParameter`, `InvalidParameter`, `InvalidFriendlyName`, `ForbiddenAddress`, `StateConflict` when
    there is a source of this Twilio account, and `IdempotencyConflict`; then nothing is stored.
    """
    secret = wish.secret
    if secret is None:
        raise MissingParameter("AuthToken")
    now = clock.now()
    source = _wished(
        Source(
            sid=SourceSid(mint_sid("SR")),
            account_sid=account_sid,
            friendly_name=twilio_account_sid,
            twilio_account_sid=twilio_account_sid,
            api_key_sid=wish.api_key_sid,
            base_url=check_base_url(base_url or TWILIO_URL, guard),
            poll_seconds=POLL_SECONDS,
            date_created=now,
            date_updated=now,
        ),
        wish,
    )
    told = {name: getattr(source, name) for name in ("twilio_account_sid", "base_url", *_TOLD)}
    deed = by.deed(Action.SOURCE_ADDED, account_sid, source.sid, **told)
    return await ledger.sources.keep(source, secret_sealed=sources.seal(source, secret), deed=deed, once=once)


async def change_source(
    source: Source, wish: SourceWish, *, ledger: Ledger, sources: Sources, clock: Clock, by: Actor
) -> Source:
    """Change what was said; a new credential takes the old one's place at once, and what failed is tried anew.

    Raises as `add_source`, and `NotFound` when it went meanwhile.
    """
    secret = wish.secret
    changed = _wished(source, wish)
    if secret is not None:
        changed = replace(changed, api_key_sid=wish.api_key_sid)
    changed = replace(changed, date_updated=clock.now())
    before, after = ({name: getattr(one, name) for name in _TOLD} for one in (source, changed))
    told = changes(before, after) | ({"credential": "replaced"} if secret is not None else {})
    deed = by.deed(Action.SOURCE_CHANGED, source.account_sid, source.sid, changes=told)
    sealed = None if secret is None else sources.seal(source, secret)
    return await ledger.sources.change(changed, secret_sealed=sealed, deed=deed)


async def remove_source(source: Source, *, ledger: Ledger, clock: Clock, by: Actor) -> None:
    """Forget a source and its secret. What was moved stays; what was not stays where it is.

    Raises `StateConflict` while a migration of it is running or paused, and `NotFound`.
    """
    deed = by.deed(Action.SOURCE_REMOVED, source.account_sid, source.sid, twilio_account_sid=source.twilio_account_sid)
    await ledger.sources.remove(source.account_sid, source.sid, deed=deed, now=clock.now())


async def check_source(source: Source, *, ledger: Ledger, sources: Sources) -> tuple[bool, Sequence[Ability]]:
    """What the credential may do at its source, and whether that is enough for what is asked of it.

    Nothing is changed over there. A deletion is needed while originals are deleted after their move, subaccounts
    where they are included.
    """
    found = await (await sources.open(source)).abilities()
    needed = {"list", "media"}
    if (await ledger.deletion_settings.of(source.account_sid)).delete_source_after_migration:
        needed.add("delete")
    if source.include_subaccounts:
        needed.add("subaccounts")
    return all(one.outcome is not AbilityOutcome.FAILED for one in found if one.name in needed), found


def check_base_url(url: str, guard: Guard) -> str:
    """The base URL as it is kept, without a slash behind it. Raises `ForbiddenAddress` and `InvalidParameter`."""
    try:
        guard.check_url(url, plain_http=PlainHttp.PRIVATE_ONLY)
    except ForbiddenAddress as why:
        raise ForbiddenAddress(f"BaseUrl: {why.message}") from why
    parts = urlsplit(url)
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise InvalidParameter("BaseUrl must have neither a query nor a fragment", parameter="BaseUrl")
    if re.search(r"(^|/)\.\.?(/|$)|//|%", parts.path):
        raise InvalidParameter("BaseUrl has a path that cannot be used", parameter="BaseUrl")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def _wished(source: Source, wish: SourceWish) -> Source:
    values: dict[str, Any] = {
        name: value
        for name in (
            "friendly_name",
            "poll_seconds",
            "include_subaccounts",
            "record_verb_is_voicemail",
            "include_calls",
        )
        if (value := getattr(wish, name)) is not None
    }
    if not 1 <= len(values.get("friendly_name", "x")) <= NAME_LIMIT:
        raise InvalidFriendlyName()
    if not 0 <= values.get("poll_seconds", 0) <= LONGEST_POLL_SECONDS:
        raise InvalidParameter(
            f"PollSeconds must be 0 (never) to {LONGEST_POLL_SECONDS}, a day", parameter="PollSeconds"
        )
    return replace(source, **values)
