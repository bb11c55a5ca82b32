"""Draw the peaks of a recording when somebody first looks at it, and keep them sealed for the next."""

from __future__ import annotations

import asyncio

from callreel.at_rest.file import KeptFile
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import NotFound
from callreel.ledger.ledger import Ledger
from callreel.media.peaks import PeakMeter, Peaks
from callreel.model.recording import COMPLETED, Recording
from callreel.sealing.keyring import Keyring

AT_ONCE_BYTES = 4 << 20  # are measured in one go: a thread for each small piece would cost more than the measuring


async def draw_peaks(
    recording: Recording, *, ledger: Ledger, buckets: Buckets, keyring: Keyring, clock: Clock
) -> Peaks:
    """The peaks of a completed voice recording whose media we can read.

    Made once: the media is read from where it lies, an hour of two channels 115 MB. Raises `NotFound` where there
    is nothing to measure: not completed, encrypted with the customer's key, or gone. Raises `NotAudio`, `Final` and
    `NotNow` as reading it does.
    """
    if recording.state not in COMPLETED or recording.video is not None or recording.encryption_details is not None:
        raise NotFound()
    place = {"table": "peaks", "row": recording.sid, "account": recording.account_sid}
    shelf = ledger.peaks
    kept = await shelf.find(recording.account_sid, recording.sid)
    if kept is None:
        async with shelf.turn:
            kept = await shelf.find(recording.account_sid, recording.sid)  # somebody else may just have drawn them
            if kept is None:
                drawn = await _measure(recording, buckets)
                await shelf.keep(recording.sid, keyring.seal(drawn.packed(), **place), now=clock.now())
                if (await ledger.recordings.fetch(recording.account_sid, recording.sid)).state not in COMPLETED:
                    await shelf.forget(recording.sid)  # deleted meanwhile
                return drawn
    return Peaks.unpacked(keyring.open(kept, **place))


def _measure_file(file: KeptFile, meter: PeakMeter) -> Peaks:
    try:
        with file.open() as opened:
            while piece := opened.read(AT_ONCE_BYTES):
                meter.take(piece)
    except FileNotFoundError as why:
        raise NotFound() from why  # deleted while we looked
    return meter.finish()


async def _measure(recording: Recording, buckets: Buckets) -> Peaks:
    meter = PeakMeter(recording.media_size_bytes)
    if not recording.is_external:
        return await asyncio.to_thread(_measure_file, await buckets.hosted(recording), meter)
    bucket = await buckets.of(recording)
    assert recording.object_key is not None
    held: list[bytes] = []
    size = 0
    async for piece in bucket.read(recording.object_key):
        held.append(piece)
        size += len(piece)
        if size >= AT_ONCE_BYTES:
            await asyncio.to_thread(meter.take, b"".join(held))
            held, size = [], 0
    await asyncio.to_thread(meter.take, b"".join(held))
    return await asyncio.to_thread(meter.finish)
