"""Join the parts, once, in sight: a page of constructor calls, and the order in which things open and close."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import SystemRandom

from callreel.births import Births
from callreel.bucket.disk import DiskBucket
from callreel.bucket.own_identity import OwnIdentity
from callreel.bucket.roles import Roles
from callreel.bucket.sts import Sts
from callreel.buckets import Buckets
from callreel.clock import Clock, SystemClock
from callreel.errors import Misconfigured, SealBroken
from callreel.ledger.database import check_promises, migrate, open_engine
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.ledger.ledger import Ledger
from callreel.media.rendition_cache import RenditionCache
from callreel.media_keys import MediaKeys
from callreel.model.patience import Patience
from callreel.model.price_list import PriceList
from callreel.model.retention import Retention
from callreel.outbound.callback import CallbackSender
from callreel.outbound.guard import Guard, PlainHttp
from callreel.outbound.mail import Mailer, read_smtp_url
from callreel.outbound.metadata_guard import open_metadata_session
from callreel.parts import Chosen, Parts
from callreel.sealing.blind_index import BlindIndex
from callreel.sealing.key_file import KeyFile
from callreel.sealing.keyring import Keyring
from callreel.sealing.master_key import MasterKey, load_master_keys, parse_master_keys
from callreel.sealing.media_ticket import TicketOffice
from callreel.sealing.passwords import Passwords
from callreel.sealing.receipt_key import ReceiptKey
from callreel.sealing.tokens import TokenDigest
from callreel.settings import Settings
from callreel.sources import Sources
from callreel.spool.spool import Spool

PEPPER = "token-pepper"
INDEX_KEY = "blind-index-key"
TICKET_KEY = "media-ticket-key"
RECEIPT_KEY = "receipt-key"


class Database:
    """Where the ledger lies: a server of yours, or the embedded one, started here. Both methods block."""

    def __init__(self, settings: Settings) -> None:
        self._own = None if settings.database_url else EmbeddedPostgres(settings.data_dir)
        self._given = settings.database_url

    def start(self) -> str:
        """The URL, once the server answers. Raises `Misconfigured`."""
        if self._own is None:
            assert self._given is not None
            return self._given.get_secret_value()
        self._own.start()
        return self._own.url()

    def stop(self) -> None:
        """Stop the embedded server if nobody else of this installation uses it."""
        if self._own is not None:
            self._own.stop()


def open_keyring(settings: Settings) -> Keyring:
    """The master keys of the installation; those of its own file are looked at again when it changes.

    Raises `Misconfigured`.
    """
    given = _secret(settings)
    key_file = KeyFile(settings.data_dir)  # before it is read: a change from then on is seen
    current, *previous = load_master_keys(settings.data_dir, given)
    return Keyring(current, previous, changed=None if given else key_file.changed)


def current_keys(settings: Settings) -> list[MasterKey]:
    """The master keys that are there, the one that seals first. None is made. Raises `Misconfigured`."""
    given = _secret(settings)
    return parse_master_keys(given) if given else KeyFile(settings.data_dir).read()


@asynccontextmanager
async def open_ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger alone, over a database that may still be empty: nothing is migrated."""
    ledger = Ledger(open_engine(database_url), clock=SystemClock(), worker_id=_worker_id(), public_url=str)
    try:
        await check_promises(ledger.engine)
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def open_parts(
    settings: Settings, *, database_url: str, public_url: str, clock: Clock | None = None
) -> AsyncIterator[Parts]:
    """Open everything an installation needs, in order, and close it in reverse. Raises `Misconfigured`."""
    clock = clock or SystemClock()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    keyring = open_keyring(settings)
    engine = open_engine(database_url)
    holder: list[Parts] = []
    ledger = Ledger(
        engine, clock=clock, worker_id=_worker_id(), public_url=lambda: holder[0].public_url if holder else public_url
    )
    keys = MediaKeys(ledger=ledger, keyring=keyring, clock=clock)
    spool = Spool(settings.spool_dir)
    guard = Guard(settings.networks)
    try:
        await check_promises(engine)
        await migrate(engine)
        spool.open()
        async with AsyncExitStack() as stack:
            calls = await stack.enter_async_context(guard.open_session())
            uploads = await stack.enter_async_context(guard.open_session(plain_http=PlainHttp.PRIVATE_ONLY))
            metadata = await stack.enter_async_context(open_metadata_session()) if settings.instance_role else None
            sts = Sts(uploads, clock=clock, endpoint=settings.sts_url)
            fetches = await stack.enter_async_context(guard.open_session(plain_http=PlainHttp.PRIVATE_ONLY))
            rng = SystemRandom()
            parts = Parts(
                clock=clock,
                rng=rng,
                ledger=ledger,
                spool=spool,
                births=Births(spool=spool, ledger=ledger, keys=keys, keyring=keyring, clock=clock),
                keys=keys,
                buckets=Buckets(
                    ledger=ledger,
                    keyring=keyring,
                    keys=keys,
                    http=uploads,
                    storage=_open_storage(settings.storage_dir),
                    clock=clock,
                    private_networks=settings.networks,
                    roles=Roles(sts, OwnIdentity(os.environ, sts=sts, clock=clock, metadata=metadata), clock=clock),
                ),
                sources=Sources(ledger=ledger, keyring=keyring, http=fetches, clock=clock, rng=rng),
                keyring=keyring,
                digest=TokenDigest(await _installation_secret(PEPPER, ledger, keyring)),
                index=BlindIndex(await _installation_secret(INDEX_KEY, ledger, keyring)),
                tickets=TicketOffice(await _installation_secret(TICKET_KEY, ledger, keyring)),
                passwords=Passwords(),
                receipt_key=ReceiptKey(await _installation_secret(RECEIPT_KEY, ledger, keyring)),
                guard=guard,
                sender=CallbackSender(calls, clock),
                mailer=_mailer(settings),
                renditions=RenditionCache(settings.data_dir / "renditions", settings.rendition_cache_bytes),
                chosen=_chosen(settings),
                public_url=public_url,
            )
            holder.append(parts)
            yield parts
    finally:
        # Also when opening failed half-way: a connection left open would keep the event loop from closing.
        spool.close()
        await ledger.close()


def _chosen(settings: Settings) -> Chosen:
    return Chosen(
        max_upload_bytes=settings.max_upload_bytes,
        delivery_concurrency=settings.delivery_concurrency,
        account_concurrency=settings.account_concurrency,
        accepted_grace_s=settings.accepted_grace_seconds,
        patience=Patience(
            window_s=settings.retry_window_seconds,
            base_s=settings.retry_base_seconds,
            cap_s=settings.retry_cap_seconds,
        ),
        retention=Retention(voice_days=settings.retention_days, video_days=settings.video_retention_days),
        private_networks=settings.networks,
        prices=PriceList(
            source_free_minutes=settings.price_source_free_minutes,
            source_minute_month=settings.price_source_minute_month,
            bucket_gb_month=settings.price_bucket_gb_month,
            glacier_ir_gb_month=settings.price_glacier_ir_gb_month,
            deep_archive_gb_month=settings.price_deep_archive_gb_month,
        ),
    )


async def _installation_secret(name: str, ledger: Ledger, keyring: Keyring) -> bytes:
    """32 random bytes of the installation, made once and kept sealed.

    Raises `Misconfigured` when the master key is not the one they were sealed under.
    """
    bound = {"table": "installation", "row": name, "account": ""}
    sealed = await ledger.accounts.find_installation_value(name)
    if sealed is None:
        sealed = await ledger.accounts.keep_installation_value(name, keyring.seal(secrets.token_bytes(32), **bound))
    try:
        return keyring.open(sealed, **bound)
    except SealBroken as why:
        raise Misconfigured(
            "The master key is not the one this database was sealed under. Put the old master.key back into the data "
            "directory, or set CALLREEL_MASTER_KEY to it; without it the stored secrets cannot be read."
        ) from why


def _mailer(settings: Settings) -> Mailer | None:
    return Mailer(read_smtp_url(settings.smtp_url.get_secret_value())) if settings.smtp_url else None


def _open_storage(root: Path) -> DiskBucket:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DiskBucket(root)


def _secret(settings: Settings) -> str | None:
    return settings.master_key.get_secret_value() if settings.master_key else None


def _worker_id() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
