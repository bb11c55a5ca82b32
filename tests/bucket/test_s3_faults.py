"""The embedded S3 told to misbehave: no fault passes for a delivery, and none hinders the next try."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest

from callreel.bucket.s3 import S3Bucket
from callreel.errors import BucketRefused, BucketStumbled, BucketUnreachable, EvidenceMismatch, NotNow
from callreel.model.evidence import Answer, Evidence, VerifyMethod, weigh
from callreel.rehearsal import embedded_s3
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.s3_faults import KINDS, Fault, RandomFaults, reset, stall_for, store_nothing
from tests.bucket.blobs import WAV, MemoryBlob, some_blob

TWICE = 2  # aiohttp itself tries once more when a kept connection breaks
ON_PUT = [name for name, (_, operations) in KINDS.items() if not operations or "PutObject" in operations]
ON_COMPLETE = [
    name
    for name, (_, operations) in KINDS.items()
    if (not operations or "CompleteMultipartUpload" in operations) and name != "wrong-etag"
]
"""But the wrong ETag: of an upload in parts it proves nothing, and the checksum beside it does."""


async def proof(answer: Awaitable[Answer], blob: MemoryBlob) -> Evidence:
    """What the answer proves. Raises what the delivery would stumble over."""
    return weigh(await answer, sha256=blob.sha256, md5=blob.md5, sse_asked=None, kms_key_asked=None)


def fault_of(name: str) -> Fault:
    return stall_for(0.05) if name == "stall" else KINDS[name][0]()


@pytest.mark.parametrize("name", ON_PUT)
async def test_a_fault_on_a_put_is_no_proof_and_the_next_try_is(s3: EmbeddedS3, bucket: S3Bucket, name: str) -> None:
    blob = some_blob(20_000)
    s3.faults.next(fault_of(name), TWICE)
    with pytest.raises((NotNow, BucketRefused)):
        await proof(bucket.put("RE1", blob, WAV), blob)
    s3.faults.clear()
    assert (await proof(bucket.put("RE1", blob, WAV), blob)).method is VerifyMethod.CHECKSUM
    assert s3.versions("recordings", "RE1") == [blob.sha256]


@pytest.mark.parametrize("name", ON_COMPLETE)
async def test_a_fault_on_a_completion_is_no_proof_and_the_next_try_is(
    s3: EmbeddedS3, bucket: S3Bucket, name: str
) -> None:
    blob = some_blob(17 << 20)
    upload = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(fault_of(name), TWICE, on="CompleteMultipartUpload")
    with pytest.raises((NotNow, BucketRefused)):
        await proof(bucket.finish_upload("RE1", upload, blob, WAV), blob)
    s3.faults.clear()
    if not s3.open_uploads("recordings"):  # it was completed, and we never heard of it
        upload = await bucket.begin_upload("RE1", WAV)
    await proof(bucket.resume_upload("RE1", upload, blob, WAV), blob)
    assert s3.versions("recordings", "RE1") == [blob.sha256]


async def test_a_denied_object_looks_gone(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    await bucket.put("RE1", some_blob(), WAV)
    s3.faults.next(fault_of("denied-object"))
    assert await bucket.head("RE1") is None
    assert await bucket.head("RE1") is not None


async def test_a_put_that_stores_nothing_shows_only_when_looked_at_again(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob()
    s3.faults.next(store_nothing())
    await proof(bucket.put("RE1", blob, WAV), blob)
    assert await bucket.head("RE1") is None
    assert s3.keys("recordings") == []


async def test_a_stall_is_left_after_the_idle_time(
    s3: EmbeddedS3, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callreel.bucket.wire.IDLE_S", 0.05)
    s3.faults.next(stall_for(60))
    with pytest.raises(BucketUnreachable):
        await bucket.put("RE1", some_blob(), WAV)


async def test_a_share_of_the_requests_meets_a_fault_and_all_get_there(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    s3.faults.at_random = RandomFaults(0.3, seed=7, stall_s=0.01)
    blob = some_blob(5_000)
    for number in range(60):
        key = f"RE{number}"
        for _ in range(50):
            try:
                await proof(bucket.put(key, blob, WAV), blob)
                break
            except (BucketRefused, BucketStumbled, BucketUnreachable, EvidenceMismatch):
                continue
    s3.faults.clear()
    assert [s3.versions("recordings", key) for key in s3.keys("recordings")] == [[blob.sha256]] * 60
    assert len(s3.faults.met) > 5


def test_the_same_seed_means_the_same_faults() -> None:
    def drawn(seed: int) -> list[str | None]:
        chance = RandomFaults(0.5, seed=seed)
        return [found[0] if (found := chance.draw(on)) else None for on in ["PutObject", "HeadObject"] * 50]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_a_fault_meets_only_what_it_makes_sense_on() -> None:
    chance = RandomFaults(1, seed=1, kinds=["lost-part", "denied-object"])
    assert chance.draw("PutObject") is None
    assert {chance.draw("HeadObject")[0], chance.draw("CompleteMultipartUpload")[0]} == {"denied-object", "lost-part"}  # type: ignore[index]


@pytest.mark.parametrize(("share", "kinds"), [(1.5, ["reset"]), (-0.1, ["reset"]), (0.5, ["reset", "flood"])])
def test_nonsense_is_refused(share: float, kinds: list[str]) -> None:
    with pytest.raises(ValueError):
        RandomFaults(share, seed=1, kinds=kinds)


@pytest.mark.parametrize("words", [["--faults", "2"], ["--faults", "many"], ["--kinds", "reset,flood"]])
def test_the_command_refuses_nonsense(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needed = ["--root", str(tmp_path), "--bucket", "b-1", "--key-id", "k", "--secret", "s"]
    monkeypatch.setattr(sys, "argv", ["embedded_s3", *needed, *words])
    with pytest.raises(SystemExit) as ended:
        embedded_s3.main()
    assert ended.value.code == 2


async def test_what_was_asked_for_comes_before_chance(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    s3.faults.at_random = RandomFaults(1, seed=1, kinds=["slow-down"])
    s3.faults.next(reset(), TWICE)
    with pytest.raises(BucketUnreachable):
        await bucket.put("RE1", some_blob(), WAV)
    with pytest.raises(BucketStumbled, match="SlowDown"):
        await bucket.put("RE1", some_blob(), WAV)
