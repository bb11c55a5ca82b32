from __future__ import annotations

import os
from pathlib import Path

import pytest

from callreel.bucket.bucket import Bucket, MultipartBucket
from callreel.bucket.disk import DiskBucket
from callreel.errors import BlobAltered, BlobMissing, BucketStumbled, InvalidDestination
from tests.bucket.blobs import WAV, FileBlob, some_blob, some_bytes
from tests.bucket.promises import BucketPromises, everything


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def bucket(root: Path) -> DiskBucket:
    return DiskBucket(root)


class TestDisk(BucketPromises):
    pass


def test_a_disk_takes_no_parts(bucket: Bucket) -> None:
    assert not isinstance(bucket, MultipartBucket)


@pytest.mark.parametrize(
    "key",
    ["", "/", "..", "../x", "a/../b", "a//b", "a/.", "/etc/passwd", "a/", "a\0b", "a\\b", "x" * 256, "a/" * 512 + "b"],
)
async def test_a_key_that_is_no_plain_path_is_refused(bucket: DiskBucket, key: str) -> None:
    with pytest.raises(InvalidDestination):
        bucket.path_of(key)
    with pytest.raises(InvalidDestination):
        await bucket.put(key, some_blob(10), WAV)


async def test_a_file_on_the_same_disk_is_linked(bucket: DiskBucket, tmp_path: Path) -> None:
    blob = FileBlob(tmp_path / "spooled", some_bytes(5000))
    await bucket.put("calls/RE1", blob, WAV)
    assert os.path.samefile(blob.path, bucket.path_of("calls/RE1"))
    blob.path.unlink()
    assert await everything(bucket, "calls/RE1") == blob.data


async def test_linking_twice_leaves_nothing_behind(bucket: DiskBucket, root: Path, tmp_path: Path) -> None:
    blob = FileBlob(tmp_path / "spooled", some_bytes(5000))
    await bucket.put("calls/RE1", blob, WAV)
    await bucket.put("calls/RE1", blob, WAV)
    assert list((root / "tmp").iterdir()) == []


async def test_an_altered_file_is_not_linked_in(bucket: DiskBucket, root: Path, tmp_path: Path) -> None:
    blob = FileBlob(tmp_path / "spooled", some_bytes(5000))
    blob.path.write_bytes(some_bytes(5000, seed=8))
    with pytest.raises(BlobAltered):
        await bucket.put("calls/RE1", blob, WAV)
    assert await bucket.head("calls/RE1") is None
    assert list((root / "tmp").iterdir()) == []


async def test_a_missing_blob_is_reported_in_the_spools_words(bucket: DiskBucket, tmp_path: Path) -> None:
    blob = FileBlob(tmp_path / "spooled", some_bytes(5000))
    blob.path.unlink()
    with pytest.raises(BlobMissing):
        await bucket.put("calls/RE1", blob, WAV)


async def test_delete_takes_empty_directories_along_and_no_others(bucket: DiskBucket, root: Path) -> None:
    await bucket.put("a/b/c/RE1", some_blob(10), WAV)
    await bucket.put("a/RE2", some_blob(10), WAV)
    await bucket.delete("a/b/c/RE1")
    assert [p.name for p in (root / "objects" / "a").iterdir()] == ["RE2"]
    await bucket.delete("a/RE2")
    assert list((root / "objects").iterdir()) == []


async def test_a_disk_that_refuses_is_a_bucket_that_stumbled(bucket: DiskBucket) -> None:
    await bucket.put("calls/RE1", some_blob(10), WAV)
    with pytest.raises(BucketStumbled) as caught:
        await bucket.put("calls/RE1/below-a-file", some_blob(10), WAV)
    assert caught.value.code == "EEXIST"
