"""What every bucket promises. A test module gives the fixture `bucket` and inherits the classes it claims."""

from __future__ import annotations

import asyncio
import hashlib

import aiohttp
import pytest
from yarl import URL

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES, Bucket
from callreel.bucket.s3 import S3Bucket
from callreel.errors import BlobAltered, BucketStumbled, NotFound, RangeNotSatisfiable
from callreel.model.evidence import weigh
from tests.bucket.blobs import WAV, some_blob

ODD_KEYS = ["calls/AC1/RE1", "calls/with space/RE2", "calls/für/RE3", "calls/a+b/RE4", "calls/(1)'&=,;@!$*/RE5.wav"]


async def everything(bucket: Bucket, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in bucket.read(key, start, stop)])


class BucketPromises:
    async def test_what_was_put_is_read_back(self, bucket: Bucket) -> None:
        blob = some_blob()
        await bucket.put("calls/AC1/RE1", blob, WAV)
        assert await everything(bucket, "calls/AC1/RE1") == blob.data

    async def test_the_answer_to_a_put_is_proof(self, bucket: Bucket) -> None:
        blob = some_blob()
        answer = await bucket.put("calls/AC1/RE1", blob, WAV)
        assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method.is_proof

    async def test_a_put_repeated_is_harmless(self, bucket: Bucket) -> None:
        blob = some_blob()
        await bucket.put("calls/AC1/RE1", blob, WAV)
        await bucket.put("calls/AC1/RE1", blob, WAV)
        assert await everything(bucket, "calls/AC1/RE1") == blob.data

    async def test_two_puts_at_once_leave_one_whole_object(self, bucket: Bucket) -> None:
        blob = some_blob(300_000)
        await asyncio.gather(*(bucket.put("calls/AC1/RE1", blob, WAV) for _ in range(4)))
        assert await everything(bucket, "calls/AC1/RE1") == blob.data

    async def test_an_empty_blob_is_an_object(self, bucket: Bucket) -> None:
        await bucket.put("calls/empty", some_blob(0), WAV)
        assert await everything(bucket, "calls/empty") == b""

    @pytest.mark.parametrize("key", ODD_KEYS)
    async def test_keys_come_back_as_they_were(self, bucket: Bucket, key: str) -> None:
        blob = some_blob(1000)
        await bucket.put(key, blob, WAV)
        facts = await bucket.head(key)
        assert facts is not None
        assert facts.size_bytes == 1000
        assert await everything(bucket, key) == blob.data

    async def test_an_altered_blob_is_never_stored(self, bucket: Bucket) -> None:
        with pytest.raises(BlobAltered):
            await bucket.put("calls/altered", some_blob().altered_at(50_000), WAV)
        assert await bucket.head("calls/altered") is None

    async def test_head_of_nothing_is_none(self, bucket: Bucket) -> None:
        assert await bucket.head("calls/nothing") is None

    async def test_reading_nothing_is_not_found(self, bucket: Bucket) -> None:
        with pytest.raises(NotFound):
            await everything(bucket, "calls/nothing")

    @pytest.mark.parametrize(("start", "stop"), [(0, 10), (10, 20), (99_990, None), (0, 100_000), (5, 500_000)])
    async def test_a_range_is_exactly_those_bytes(self, bucket: Bucket, start: int, stop: int | None) -> None:
        blob = some_blob()
        await bucket.put("calls/AC1/RE1", blob, WAV)
        assert await everything(bucket, "calls/AC1/RE1", start, stop) == blob.data[start:stop]

    async def test_a_range_behind_the_end_names_the_size(self, bucket: Bucket) -> None:
        await bucket.put("calls/AC1/RE1", some_blob(1000), WAV)
        with pytest.raises(RangeNotSatisfiable) as caught:
            await everything(bucket, "calls/AC1/RE1", 1000)
        assert caught.value.size_bytes == 1000

    async def test_delete_removes_and_may_be_repeated(self, bucket: Bucket) -> None:
        await bucket.put("calls/AC1/RE1", some_blob(), WAV)
        await bucket.delete("calls/AC1/RE1")
        await bucket.delete("calls/AC1/RE1")
        assert await bucket.head("calls/AC1/RE1") is None


class MultipartPromises:
    async def test_twenty_mebibytes_arrive_in_parts(self, bucket: S3Bucket) -> None:
        blob = some_blob(20 << 20)
        upload_id = await bucket.begin_upload("calls/ü +/large", WAV)
        answer = await bucket.finish_upload("calls/ü +/large", upload_id, blob, WAV)
        assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method.is_proof
        assert hashlib.sha256(await everything(bucket, "calls/ü +/large")).hexdigest() == blob.sha256

    async def test_an_altered_large_blob_is_never_completed(self, bucket: S3Bucket) -> None:
        upload_id = await bucket.begin_upload("calls/altered", WAV)
        blob = some_blob(MULTIPART_ABOVE_BYTES + 1000).altered_at(100)
        with pytest.raises(BlobAltered):
            await bucket.finish_upload("calls/altered", upload_id, blob, WAV)
        assert await bucket.head("calls/altered") is None
        assert [u async for u in bucket.list_uploads("calls/altered")] == []

    async def test_an_open_upload_is_listed_until_it_is_aborted(self, bucket: S3Bucket) -> None:
        upload_id = await bucket.begin_upload("open/RE1", WAV)
        [found] = [u async for u in bucket.list_uploads("open/")]
        assert (found.key, found.upload_id) == ("open/RE1", upload_id)
        assert found.initiated.tzinfo is not None
        assert [u async for u in bucket.list_uploads("elsewhere/")] == []
        await bucket.abort_upload("open/RE1", upload_id)
        await bucket.abort_upload("open/RE1", upload_id)
        assert [u async for u in bucket.list_uploads("open/")] == []

    async def test_resuming_a_finished_upload_says_it_is_gone(self, bucket: S3Bucket) -> None:
        blob = some_blob(1000)
        upload_id = await bucket.begin_upload("calls/once", WAV)
        await bucket.abort_upload("calls/once", upload_id)
        with pytest.raises(BucketStumbled) as caught:
            await bucket.resume_upload("calls/once", upload_id, blob, WAV)
        assert caught.value.code == "NoSuchUpload"

    async def test_a_resumed_upload_gives_the_same_object(self, bucket: S3Bucket) -> None:
        blob = some_blob(MULTIPART_ABOVE_BYTES + 1000)
        upload_id = await bucket.begin_upload("calls/resumed", WAV)
        answer = await bucket.resume_upload("calls/resumed", upload_id, blob, WAV)
        assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method.is_proof


class PresignPromises:
    async def test_a_presigned_url_gives_the_object(self, bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
        blob = some_blob()
        await bucket.put("calls/ü +/RE1", blob, WAV)
        url = bucket.presign_get("calls/ü +/RE1", expires_s=60, response_content_type="audio/mpeg", filename='RE1".mp3')
        async with http.get(_raw(url)) as response:
            assert response.status == 200
            assert await response.read() == blob.data
            assert response.headers["Content-Type"] == "audio/mpeg"
            assert response.headers["Content-Disposition"] == 'attachment; filename="RE1_.mp3"'

    async def test_a_tampered_url_gives_nothing(self, bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
        await bucket.put("calls/RE1", some_blob(), WAV)
        await bucket.put("calls/RE2", some_blob(), WAV)
        url = bucket.presign_get("calls/RE1", expires_s=60)
        async with http.get(_raw(url.replace("RE1", "RE2"))) as response:
            assert response.status == 403


def _raw(url: str) -> URL:
    return URL(url, encoded=True)
