"""The format of media at rest, judged by Google's Tink, and every way in which a file may be other than it was."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tink
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from callreel.at_rest.file import KeptFile, SealedReader
from callreel.at_rest.segments import (
    FIRST_PLAIN_BYTES,
    HEAD_BYTES,
    PLAIN_BYTES,
    SEGMENT_BYTES,
    FileKey,
    Sealing,
    content_bytes,
    sealed,
    sealed_bytes_of,
)
from callreel.errors import BlobAltered

KEY = FileKey(bytes(range(32)), b"RE" + b"1" * 32)
BORDERS = sorted(
    {
        max(0, border + step)
        for border in (0, FIRST_PLAIN_BYTES, FIRST_PLAIN_BYTES + PLAIN_BYTES, FIRST_PLAIN_BYTES + 2 * PLAIN_BYTES)
        for step in (-1, 0, 1)
    }
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def judge() -> Any:
    """Tink's own primitive, with the same key and the parameters our docs promise."""
    streaming_aead.register()
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=KEY.secret,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=SEGMENT_BYTES, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
        ),
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add()
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = key.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    entry.status, entry.key_id, entry.output_prefix_type = tink_pb2.ENABLED, 1, tink_pb2.RAW
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """A target that can still be looked at once Tink has closed it."""

    def close(self) -> None:
        pass


@contextmanager
def on_disk(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("sealed")
    try:
        os.write(descriptor, content)
        yield descriptor
    finally:
        os.close(descriptor)


def opened(content: bytes, key: FileKey = KEY) -> bytes:
    with on_disk(content) as descriptor:
        return SealedReader(descriptor, key).read()


def some(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(997)) * (size // 997 + 1) if size else b""


@pytest.mark.parametrize("size", BORDERS)
def test_tink_opens_what_we_seal(judge: Any, size: int) -> None:
    plain = some(size)[:size]
    with judge.new_decrypting_stream(io.BytesIO(b"".join(sealed(KEY, plain))), KEY.bound_to) as stream:
        assert stream.read() == plain


@pytest.mark.parametrize("size", BORDERS)
def test_we_open_what_tink_seals(judge: Any, size: int) -> None:
    plain, target = some(size)[:size], Kept()
    with judge.new_encrypting_stream(target, KEY.bound_to) as stream:
        stream.write(plain)
    assert opened(target.getvalue()) == plain
    assert len(target.getvalue()) == sealed_bytes_of(size)


@MANY
@given(st.sampled_from(BORDERS), st.lists(st.integers(1, 80_000), max_size=5))
def test_however_it_comes_in_pieces_it_is_one_file(size: int, cuts: list[int]) -> None:
    plain, sealing = some(size)[:size], Sealing(KEY)
    made, at = [sealing.head], 0
    for cut in [*cuts, size]:
        made += sealing.update(plain[at : at + cut])
        at += cut
    content = b"".join([*made, sealing.finish()])
    assert opened(content) == plain
    assert content_bytes(len(content)) == size


@MANY
@given(st.data())
def test_every_range_opens_alone(tmp_path: Path, data: st.DataObject) -> None:
    size = data.draw(st.sampled_from(BORDERS))
    start, length = data.draw(st.integers(0, size + 1)), data.draw(st.integers(0, 2 * SEGMENT_BYTES))
    path = tmp_path / "x"
    path.write_bytes(b"".join(sealed(KEY, some(size)[:size])))
    kept = KeptFile(path, KEY)
    assert kept.read(start, length) == some(size)[:size][start : start + length]
    assert kept.size_bytes() == size


@MANY
@given(st.data())
def test_one_flipped_bit_is_found_wherever_it_is(data: st.DataObject) -> None:
    content = bytearray(b"".join(sealed(KEY, some(2 * SEGMENT_BYTES)[: 2 * SEGMENT_BYTES])))
    borders = [0, 1, HEAD_BYTES - 1, HEAD_BYTES, SEGMENT_BYTES - 1, SEGMENT_BYTES, len(content) - 1]
    at = data.draw(st.sampled_from(borders) | st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BlobAltered):
        opened(bytes(content))


@pytest.mark.parametrize("left", [0, 1, HEAD_BYTES, HEAD_BYTES + 15, HEAD_BYTES + 16, SEGMENT_BYTES, 2 * SEGMENT_BYTES])
def test_a_file_cut_short_is_found(left: int) -> None:
    with pytest.raises(BlobAltered):
        opened(b"".join(sealed(KEY, some(300_000)[:300_000]))[:left])


@pytest.mark.parametrize("more", [b"\0", bytes(16), bytes(SEGMENT_BYTES)])
@pytest.mark.parametrize("size", [0, 100, FIRST_PLAIN_BYTES, 2 * SEGMENT_BYTES])
def test_bytes_added_at_the_end_are_found(size: int, more: bytes) -> None:
    with pytest.raises(BlobAltered):
        opened(b"".join(sealed(KEY, some(size)[:size])) + more)


def test_segments_in_another_order_or_doubled_are_found() -> None:
    head, *segments = sealed(KEY, some(5 * SEGMENT_BYTES)[: 5 * SEGMENT_BYTES])
    first, second, third, *rest = segments
    for other in ([first, third, second, *rest], [first, second, second, *rest], [first, third, *rest]):
        with pytest.raises(BlobAltered):
            opened(b"".join([head, *other]))


def test_another_recordings_key_or_name_opens_nothing() -> None:
    content = b"".join(sealed(KEY, b"hello"))
    for other in (FileKey(bytes(32), KEY.bound_to), FileKey(KEY.secret, b"RE" + b"2" * 32)):
        with pytest.raises(BlobAltered):
            opened(content, other)


def test_no_two_files_are_alike_and_no_key_is_shown() -> None:
    assert b"".join(sealed(KEY, b"same")) != b"".join(sealed(KEY, b"same"))
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KeptFile(Path("x"), KEY))


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        FileKey(b"short", b"")


def test_reading_behaves_as_of_any_file() -> None:
    plain = some(200_000)[:200_000]
    with on_disk(b"".join(sealed(KEY, plain))) as descriptor:
        reader = SealedReader(descriptor, KEY)
        assert reader.seek(-10, os.SEEK_END) == 199_990
        assert reader.read(99) == plain[-10:]
        assert reader.read() == b""
        reader.seek(5)
        assert (reader.read(10), reader.tell()) == (plain[5:15], 15)
        assert reader.seek(85, os.SEEK_CUR) == 100
        assert reader.read(1) == plain[100:101]
