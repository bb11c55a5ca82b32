"""Media by URL."""

from __future__ import annotations

import hashlib

import pytest

from callreel.media.wav import inspect_wav_file
from callreel.parts import Parts
from tests.web.conftest import STEREO, WAV, Caller, Carry, Record


@pytest.fixture
async def path(acme: Caller, recorded: Record) -> str:
    return f"{acme.account_path}/Recordings/{(await recorded())['sid']}"


@pytest.fixture
async def stereo(acme: Caller, recorded: Record) -> str:
    return f"{acme.account_path}/Recordings/{(await recorded(STEREO))['sid']}"


@pytest.mark.parametrize("extension", ["", ".wav"])
async def test_the_wav_is_byte_for_byte_what_was_uploaded(acme: Caller, path: str, extension: str) -> None:
    answer = await acme.get(path + extension)
    assert (answer.status, answer.body == WAV) == (200, True)
    sid = path.rpartition("/")[2]
    assert answer.headers["Content-Type"] == "audio/x-wav"
    assert answer.headers["Content-Length"] == str(len(WAV))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{sid}.wav"'
    assert answer.headers["ETag"] == f'"{hashlib.sha256(WAV).hexdigest()[:40]}"'


async def test_the_mp3_has_the_length_it_announces(acme: Caller, path: str) -> None:
    answer = await acme.get(path + ".mp3")
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.body[:1] == b"\xff"
    assert answer.body == (await acme.get(path + ".mp3")).body


@pytest.mark.parametrize("extension", ["", ".wav", ".mp3"])
async def test_head_tells_what_get_would(acme: Caller, path: str, extension: str) -> None:
    head, get = await acme.send("HEAD", path + extension), await acme.get(path + extension)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Content-Disposition"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("extension", [".wav", ".mp3"])
@pytest.mark.parametrize(
    ("asked", "window"),
    [("bytes=0-0", (0, 1)), ("bytes=100-299", (100, 300)), ("bytes=500-", (500, None)), ("bytes=-10", (-10, None))],
)
async def test_a_range_is_exactly_that_part_of_the_whole(
    acme: Caller, path: str, extension: str, asked: str, window: tuple[int, int | None]
) -> None:
    whole = (await acme.get(path + extension)).body
    part = await acme.get(path + extension, headers={"Range": asked})
    assert part.status == 206
    assert part.body == whole[slice(*window)]
    start = window[0] % len(whole)
    assert part.headers["Content-Range"] == f"bytes {start}-{start + len(part.body) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0"])
async def test_a_range_behind_the_end_is_416(acme: Caller, path: str, asked: str) -> None:
    answer = await acme.get(path + ".wav", headers={"Range": asked})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(WAV)}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "bytes=-", "lines=1-2", "bytes=0-1,5-6", "bytes=a-b", "bytes=0-" + "9" * 30]
)
async def test_a_range_that_is_none_gets_the_whole(acme: Caller, path: str, asked: str) -> None:
    answer = await acme.get(path + ".wav", headers={"Range": asked})
    assert (answer.status, answer.body == WAV) == (200, True)


async def test_a_cache_that_has_it_is_told_304(acme: Caller, path: str) -> None:
    etag = (await acme.get(path)).headers["ETag"]
    for known in (etag, f'"x", W/{etag}', "*"):
        answer = await acme.get(path, headers={"If-None-Match": known})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)
    assert (await acme.get(path, headers={"If-None-Match": '"other"'})).status == 200
    other = await acme.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert other.status == 200


async def test_channels_are_mixed_down_and_never_invented(acme: Caller, path: str, stereo: str, parts: Parts) -> None:
    mono = await acme.get(stereo + ".wav?RequestedChannels=1")
    assert mono.status == 200
    target = parts.spool.tmp / "mono.wav"
    target.write_bytes(mono.body)
    assert inspect_wav_file(target).channels == 1
    assert (await acme.get(stereo + ".wav?RequestedChannels=2")).body == STEREO
    assert mono.headers["ETag"] != (await acme.get(stereo)).headers["ETag"]
    refused = await acme.get(path + ".wav?RequestedChannels=2")
    assert (refused.status, b"<Code>16113</Code>" in refused.body) == (400, True)
    assert (await acme.get(path + ".wav?RequestedChannels=3")).status == 400


async def test_media_that_is_not_ready_unknown_or_of_another_kind_is_404(acme: Caller, path: str) -> None:
    waiting = (await acme.upload()).json()["sid"]
    for missing in (f"{acme.account_path}/Recordings/{waiting}.wav", path + ".ogg", path + ".wav.mp3", path + "x"):
        answer = await acme.get(missing)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/xml")


async def test_media_needs_a_credential(acme: Caller, path: str) -> None:
    answer = await acme.get(path + ".wav", auth=None)
    assert (answer.status, b"<Code>20003</Code>" in answer.body) == (401, True)


async def test_media_that_vanished_is_a_500_that_wakes_someone(acme: Caller, path: str, parts: Parts) -> None:
    parts.buckets.storage.path_of(f"{acme.sid}/{path.rpartition('/')[2]}").unlink()
    assert (await acme.get(path + ".wav")).status == 500


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, path: str) -> None:
    sid = path.rpartition("/")[2]
    for own in (acme.account_path, stranger.account_path):
        for extension in ("", ".wav", ".mp3"):
            assert (await stranger.get(f"{own}/Recordings/{sid}{extension}")).status == 404


async def test_an_encrypted_recording_is_served_as_ciphertext_and_never_as_mp3(
    acme: Caller, deliver: Carry, parts: Parts
) -> None:
    from tests.sealing.keys import public_pem, rsa_key

    key = (await acme.post("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key())})).json()["sid"]
    settings = {"EncryptionEnabled": "true", "EncryptionKeySid": key}
    assert (await acme.post(f"{acme.own_path}/RecordingSettings/Voice", settings)).status == 200
    sid = (await acme.upload()).json()["sid"]
    await deliver(sid)
    path = f"{acme.account_path}/Recordings/{sid}"
    told = (await acme.get(f"{path}.json")).json()["encryption_details"]
    assert told["encryption_public_key_sid"] == told["public_key_sid"] == key
    assert told["encryption_cek"] == told["encrypted_cek"]
    media = await acme.get(path + ".wav")
    assert len(media.body) == len(WAV) + 16
    assert WAV[:200] not in media.body
    assert media.headers["Content-Type"] == "application/octet-stream"
    refused = await acme.get(path + ".mp3")
    assert (refused.status, b"<Code>16109</Code>" in refused.body) == (400, True)


async def test_a_file_shorter_than_its_row_is_never_served(acme: Caller, path: str, parts: Parts) -> None:
    file = parts.buckets.storage.path_of(f"{acme.sid}/{path.rpartition('/')[2]}")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-100])
    answer = await acme.get(path + ".wav")
    assert answer.status == 500
