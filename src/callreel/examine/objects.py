"""I4, I5: what lies in the buckets under our prefix. Asks for a listing, which a write-only key may not give."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from callreel.bucket.bucket import Listed, OpenUpload
from callreel.errors import CallreelError
from callreel.examine.copies import sha256_of_pieces
from callreel.examine.finding import Finding, Note, Violation
from callreel.examine.scene import Scene
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind
from callreel.places import Closed, Place, places_of

UPLOAD_AGE = timedelta(hours=25)  # the sweep aborts what is older than 24 hours, once an hour
AT_ONCE = 500
_RECORDING = re.compile(r"(?<![0-9A-Za-z])R[ET][0-9a-f]{32}(?![0-9a-f])", re.ASCII)
_MD5_ETAG = re.compile(r'"?[0-9a-f]{32}"?', re.ASCII)


async def no_strangers(scene: Scene) -> AsyncIterator[Finding]:
    """I5: every object of ours has a row or a tombstone, every old upload a recording that needs it.

    I4: and no key has two contents.
    """
    async for account_sid in accounts_of(scene):
        async for finding in _hosted(account_sid, scene):
            yield finding
        async for place in _places(account_sid, scene):
            if isinstance(place, Note):
                yield place
                continue
            async for finding in _within_reach(_objects(place, scene), place, "objects"):
                yield finding
            async for finding in _within_reach(_uploads(place, scene), place, "multipart uploads"):
                yield finding


async def accounts_of(scene: Scene) -> AsyncIterator[AccountSid]:
    """The accounts that are examined."""
    if scene.account_sid is not None:
        yield scene.account_sid
        return
    for account in await scene.ledger.accounts.list_all():
        yield account.sid


async def _places(account_sid: AccountSid, scene: Scene) -> AsyncIterator[Place | Note]:
    """Where an account's recordings were ever sent, or would be sent now."""
    numbers = set(await scene.ledger.examination.settings_with_objects(account_sid))
    for kind in RecordingKind:
        numbers.add((await scene.ledger.settings.current(account_sid, kind))[0] or 0)
    async for place in places_of(account_sid, numbers - {0}, settings=scene.ledger.settings, buckets=scene.buckets):
        if isinstance(place, Closed):
            yield Note(invariant="I5", subject=account_sid, text=f"a bucket could not be opened: {place.text}")
        elif not place.names_account:
            text = "object keys do not name the account, so strangers under the prefix cannot be told"
            yield Note(invariant="I5", subject=place.name, text=text)
        else:
            yield place


async def _within_reach(findings: AsyncIterator[Finding], place: Place, what: str) -> AsyncIterator[Finding]:
    try:
        async for finding in findings:
            yield finding
    except CallreelError as why:
        yield Note(invariant="I5", subject=place.name, text=f"its {what} could not be listed: {why.message}")


async def _objects(place: Place, scene: Scene) -> AsyncIterator[Finding]:
    batch: list[Listed] = []
    versions: list[Listed] = []
    async for listed in place.bucket.list_contents(place.prefix):
        if place.account_sid not in listed.key:
            continue  # the prefix is not the account's alone
        if versions and versions[0].key != listed.key:
            async for finding in _contents(versions, place):
                yield finding
            versions = []
        if not versions:
            batch.append(listed)
        versions.append(listed)
        if len(batch) >= AT_ONCE:
            for violation in await _unknown(batch, scene):
                yield violation
            batch = []
    async for finding in _contents(versions, place):
        yield finding
    for violation in await _unknown(batch, scene):
        yield violation


async def _hosted(account_sid: AccountSid, scene: Scene) -> AsyncIterator[Finding]:
    """The same of service storage, where no key has versions."""
    batch: list[Listed] = []
    async for listed in scene.buckets.storage.list_contents(f"{account_sid}/"):
        batch.append(listed)
        if len(batch) >= AT_ONCE:
            for violation in await _unknown(batch, scene):
                yield violation
            batch = []
    for violation in await _unknown(batch, scene):
        yield violation


async def _unknown(batch: Sequence[Listed], scene: Scene) -> list[Violation]:
    """Objects whose key names a recording that never was here. What names none is somebody else's."""
    named = {listed.key: match.group() for listed in batch if (match := _RECORDING.search(listed.key))}
    known = await scene.ledger.examination.known(list(named.values())) if named else set()
    return [
        Violation(invariant="I5", subject=key, text="is an object with neither a row nor a tombstone")
        for key, sid in named.items()
        if sid not in known
    ]


async def _contents(versions: Sequence[Listed], place: Place) -> AsyncIterator[Finding]:
    """I4 of one key. ETags that are no MD5 differ for equal contents too: then the versions are read."""
    if len({(v.size_bytes, v.etag) for v in versions}) < 2:
        return
    contents: set[str] = {str(v.size_bytes) for v in versions}
    if len(contents) == 1:
        if all(_MD5_ETAG.fullmatch(v.etag) for v in versions) and not place.bucket.may_hide_md5:
            contents = {v.etag for v in versions}
        else:
            contents = {await sha256_of_pieces(place.bucket.read(v.key, version_id=v.version_id)) for v in versions}
    if len(contents) > 1:
        text = f"has had {len(contents)} contents in {place.destination.bucket}"
        yield Violation(invariant="I4", subject=versions[0].key, text=text)


async def _uploads(place: Place, scene: Scene) -> AsyncIterator[Finding]:
    oldest = scene.clock.now() - UPLOAD_AGE
    async for batch in _batches(place.bucket.list_uploads(place.prefix)):
        old = [u for u in batch if u.initiated < oldest and place.account_sid in u.key]
        live = await scene.ledger.examination.live_uploads([u.upload_id for u in old]) if old else set()
        for upload in old:
            if upload.upload_id not in live:
                text = f"is a multipart upload begun on {upload.initiated:%Y-%m-%d %H:%M} that no recording needs"
                yield Violation(invariant="I5", subject=upload.key, text=text)


async def _batches(uploads: AsyncIterator[OpenUpload]) -> AsyncIterator[list[OpenUpload]]:
    batch: list[OpenUpload] = []
    async for upload in uploads:
        batch.append(upload)
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
