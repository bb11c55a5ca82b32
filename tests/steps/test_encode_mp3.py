"""An MP3 of what lies in a bucket: the same as of what lies here, and none of what cannot be read."""

from __future__ import annotations

import asyncio
import gc

import pytest

from callreel.bucket.object_reader import ObjectReader
from callreel.errors import BlobAltered, NotAudio, NotFound, RecordingIsEncrypted
from callreel.media.mp3 import serve_mp3
from callreel.media.wav import inspect_wav_file
from callreel.model.recording import Recording
from callreel.rehearsal.speech import speech
from callreel.steps.encode_mp3 import encode_mp3
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import BUCKET, Stage

BODY = speech(12, seed=3, channels=2)


async def delivered(stage: Stage) -> Recording:
    return await stage.carry_until_settled(await stage.take_in(BODY))


async def made(stage: Stage, recording: Recording) -> bytes:
    mp3 = await encode_mp3(recording, buckets=stage.parts.buckets)
    whole = await asyncio.to_thread(lambda: b"".join(mp3.chunks()))
    assert len(whole) == mp3.size_bytes
    return whole


def replace(stage: Stage, recording: Recording, body: bytes) -> None:
    shelf = stage.s3._shelf.bucket(BUCKET)
    shelf.path_of(shelf.current[str(recording.object_key)].content_id).write_bytes(body)


async def test_it_is_the_same_as_of_media_that_lies_here(stage: Stage) -> None:
    from_bucket = await made(stage, await delivered(stage))
    await stage.choose(aws_storage_enabled=False)
    file = await stage.parts.buckets.hosted(await delivered(stage))
    here = serve_mp3(file, await asyncio.to_thread(inspect_wav_file, file))
    assert from_bucket == await asyncio.to_thread(lambda: b"".join(here.chunks()))


async def test_what_the_customers_key_encrypted_is_refused(stage: Stage) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    with pytest.raises(RecordingIsEncrypted, match="your key"):
        await encode_mp3(await delivered(stage), buckets=stage.parts.buckets)


async def test_an_object_that_was_removed_is_not_found(stage: Stage) -> None:
    recording = await delivered(stage)
    stage.s3._shelf.bucket(BUCKET).current.pop(str(recording.object_key))
    with pytest.raises(NotFound, match="no object"):
        await encode_mp3(recording, buckets=stage.parts.buckets)


async def test_what_lies_here_and_what_is_not_done_is_none_of_it(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await encode_mp3(await stage.sealed(), buckets=stage.parts.buckets)
    await stage.choose(aws_storage_enabled=False)
    with pytest.raises(NotFound):
        await encode_mp3(await delivered(stage), buckets=stage.parts.buckets)


async def test_an_object_that_somebody_replaced_by_something_else_is_no_audio(stage: Stage) -> None:
    recording = await delivered(stage)
    replace(stage, recording, b"<html>" * (len(BODY) // 6) + b"x" * (len(BODY) % 6))
    with pytest.raises(NotAudio):
        await encode_mp3(recording, buckets=stage.parts.buckets)


async def test_an_object_that_grows_shorter_while_it_is_read_breaks_it_off(stage: Stage) -> None:
    recording = await delivered(stage)
    mp3 = await encode_mp3(recording, buckets=stage.parts.buckets)
    assert recording.object_key is not None
    stage.s3._shelf.bucket(BUCKET).current.pop(recording.object_key)
    with pytest.raises((BlobAltered, NotFound)):
        await asyncio.to_thread(lambda: b"".join(mp3.chunks()))


async def test_a_reader_goes_to_and_fro_and_may_be_left_anywhere(stage: Stage) -> None:
    recording = await delivered(stage)
    bucket, loop = await stage.parts.buckets.of(recording), asyncio.get_running_loop()

    def go() -> None:
        with ObjectReader(bucket, str(recording.object_key), len(BODY), loop) as reader:
            assert reader.seek(0, 2) == len(BODY)
            assert reader.read() == b""
            assert (reader.seek(10), reader.read(20), reader.tell()) == (10, BODY[10:30], 30)
            assert (reader.seek(5, 1), reader.read(5)) == (35, BODY[35:40])
            assert (reader.seek(-7, 2), reader.read()) == (len(BODY) - 7, BODY[-7:])
            assert (reader.seek(0), reader.read(4)) == (0, b"RIFF")

    await asyncio.to_thread(go)
    mp3 = await encode_mp3(recording, buckets=stage.parts.buckets)
    left = mp3.chunks()
    await asyncio.to_thread(next, left)
    del left  # on the loop, as when somebody closes the browser
    gc.collect()
    await asyncio.sleep(0)
