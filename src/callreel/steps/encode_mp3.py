"""Make an MP3 of a recording that lies in its account's bucket, while somebody saves it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import BinaryIO, cast

from callreel.at_rest.file import LentFile
from callreel.bucket.object_reader import ObjectReader
from callreel.buckets import Buckets
from callreel.errors import NotFound, RecordingIsEncrypted
from callreel.media.mp3 import Mp3Rendition, serve_mp3
from callreel.media.wav import inspect_wav
from callreel.model.recording import COMPLETED, Recording


async def encode_mp3(recording: Recording, *, buckets: Buckets) -> Mp3Rendition:
    """The MP3 of a completed voice recording in a bucket: fetched, encoded and passed on, a few seconds at a time.

    Nothing of it is kept here. Its head is read before this returns, so the MP3's length is known; what happens to
    the object afterwards breaks the MP3 off. Raises `RecordingIsEncrypted` for what only the customer's key opens,
    `NotFound` unless it is there, `NotAudio` when the object is no WAV any more, and as the bucket's `read`.
    """
    if recording.state not in COMPLETED or not recording.is_external or recording.video is not None:
        raise NotFound()
    if recording.encryption_details is not None:
        raise RecordingIsEncrypted("It is encrypted with your key: an MP3 can be made only of what can be read here")
    assert recording.object_key is not None
    bucket = await buckets.of(recording)
    facts = await bucket.head(recording.object_key)
    if facts is None:
        raise NotFound("The bucket has no object of this name any more")
    lend = partial(ObjectReader, bucket, recording.object_key, facts.size_bytes, asyncio.get_running_loop())
    file = LentFile(recording.sid, lambda: cast(BinaryIO, lend()))
    return await asyncio.to_thread(_rendition, file, facts.size_bytes)


def _rendition(file: LentFile, size_bytes: int) -> Mp3Rendition:
    with file.open() as opened:
        return serve_mp3(file, inspect_wav(opened, size_bytes))
