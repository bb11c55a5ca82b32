"""Remove the media a customer no longer wants, everywhere it is ours to remove."""

from __future__ import annotations

from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import Final, InvalidDestination, NotNow
from callreel.failpoints import reach
from callreel.ledger.ledger import Ledger
from callreel.media_keys import DESTROYED
from callreel.model.recording import Recording, State
from callreel.model.retention import Retention
from callreel.spool.spool import Spool


async def delete(
    recording: Recording, *, spool: Spool, ledger: Ledger, buckets: Buckets, retention: Retention, clock: Clock
) -> Recording:
    """Carry out a deletion that was asked for.

    1. spool 2. hosted copy 3. multipart upload in flight 4. `DELETED`, with the day its metadata goes,
    and without the key of its media: a copy that was forgotten somewhere cannot be opened

    The object in the customer's own bucket is the customer's and stays. Every removal may be repeated.
    """
    await spool.release(recording.sid, blob_sha256=recording.blob_sha256)
    if not recording.is_external and recording.object_key is not None:
        await buckets.storage.delete(recording.object_key)
    reach("C17")
    if recording.upload_id is not None and recording.object_key is not None:
        await _abort_upload(recording, buckets)
    now = clock.now()
    return await ledger.move(
        recording,
        State.DELETED,
        deleted_at=now,
        purge_after=retention.purge_after(now, kind=recording.kind),
        upload_id=None,
        **DESTROYED,
    )


async def _abort_upload(recording: Recording, buckets: Buckets) -> None:
    try:
        bucket = await buckets.of(recording)
        if isinstance(bucket, S3Bucket) and recording.object_key and recording.upload_id:
            await bucket.abort_upload(recording.object_key, recording.upload_id)
    except (NotNow, Final, InvalidDestination):
        # The bucket's owner may have closed it. The sweep aborts what is left behind; the deletion goes on.
        return
