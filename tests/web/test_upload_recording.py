"""POST /callreel/v1/Accounts/{AC}/Recordings: what is kept, and what is refused with nothing kept."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.rehearsal.wav_file import wav_head
from tests.web.conftest import CALL, STEREO, UNKNOWN, WAV, Caller

CALLBACK = "RecordingStatusCallback="


def kept(parts: Parts) -> list[str]:
    """Everything that lies in the spool."""
    return [path.name for folder in (parts.spool.tmp, parts.spool.ready) for path in folder.iterdir()]


async def media(parts: Parts, made: dict[str, Any]) -> bytes:
    """What the spool holds of a recording, opened."""
    recording = await parts.ledger.recordings.find_for_work(RecordingSid(made["sid"]))
    assert recording is not None
    return b"".join(parts.spool.read_media(recording, await parts.keys.of_media(recording)))


async def test_an_upload_is_durable_when_it_is_answered(acme: Caller, parts: Parts) -> None:
    answer = await acme.upload(
        STEREO, f"?CallSid={CALL}&From=%2B15550001&To=%2B15550002&StartTime=2026-11-20T10:00:00Z&Source=Voicemail"
    )
    made = answer.json()
    assert answer.status == 201
    assert (made["status"], made["channels"], made["source"]) == ("processing", 2, "Voicemail")
    assert (made["call_sid"], made["start_time"]) == (CALL, "Fri, 20 Nov 2026 10:00:00 +0000")
    assert await media(parts, made) == STEREO
    assert (await acme.get(made["uri"])).json()["sid"] == made["sid"]


async def test_a_chunked_body_is_taken_whole(acme: Caller, parts: Parts) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(WAV), 999):
            yield WAV[start : start + 999]

    made = (await acme.upload(chunks())).json()
    assert await media(parts, made) == WAV


async def test_the_same_key_and_body_give_the_same_recording(acme: Caller, parts: Parts) -> None:
    first, again = [(await acme.upload(Idempotency_Key="one")) for _ in range(2)]
    assert (first.status, again.status) == (201, 201)
    assert first.json()["sid"] == again.json()["sid"]
    assert len(kept(parts)) == 1
    for other in (
        await acme.upload(STEREO, Idempotency_Key="one"),
        await acme.upload(WAV, "?Track=both", Idempotency_Key="one"),
    ):
        assert (other.status, other.json()["code"]) == (409, 20409)
    assert len(kept(parts)) == 1


async def test_two_at_once_under_one_key_make_one_recording(acme: Caller, parts: Parts) -> None:
    answers = await asyncio.gather(*(acme.upload(Idempotency_Key="race") for _ in range(5)))
    assert len({answer.json()["sid"] for answer in answers}) == 1
    assert len(kept(parts)) == 1


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"<html><script>alert(1)</script>", "HTML"),
        (b"hello, this is not audio at all", "RIFF"),
        (WAV[:30], "cut short"),
        (WAV[:10], "inside its head"),
        (WAV[:-1000], "cut short"),
        (wav_head(10_000_000, rate=8000, channels=1) + bytes(100), "cut short"),
        (b"ID3" + bytes(100), "MP3"),
    ],
)
async def test_what_is_no_whole_audio_is_400_with_the_reason(
    acme: Caller, parts: Parts, body: bytes, word: str
) -> None:
    answer = await acme.upload(body)
    assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert word in answer.json()["message"]
    assert kept(parts) == []


@pytest.mark.parametrize(
    "query",
    [
        "CallSid=CA1",
        f"CallSid={CALL}%00",
        "Source=Gramophone",
        "Track=left",
        "Direction=sideways",
        "StartTime=noon",
        "RecordingStatusCallbackMethod=PUT",
        "RecordingStatusCallbackEvent=finished",
        "Trim=short",
        "From=" + "1" * 300,
        "From=%ff",
    ],
)
async def test_a_parameter_that_cannot_be_used_is_400_before_the_body(acme: Caller, parts: Parts, query: str) -> None:
    answer = await acme.upload(WAV, f"?{query}")
    assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert kept(parts) == []


async def test_silence_is_trimmed_where_that_is_asked_for(acme: Caller) -> None:
    frames = WAV[44:]
    size = 2 * 16_000 + len(frames)
    sent = wav_head(size, rate=8000, channels=1) + bytes(16_000) + frames + bytes(16_000)
    assert (await acme.upload(sent)).json()["duration"] == "4"
    assert (await acme.upload(sent, "?Trim=do-not-trim")).json()["duration"] == "4"
    assert (await acme.upload(sent, "?Trim=trim-silence")).json()["duration"] == "2"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://10.1.2.3/cb",
        "ftp://example.com/",
        "not a url",
        "https://user:word@example.com/",
        "https://[::ffff:10.0.0.1]/",
    ],
)
async def test_a_callback_that_cannot_be_called_does_not_cost_the_recording(
    acme: Caller, parts: Parts, url: str
) -> None:
    answer = await acme.upload(WAV, f"?{CALLBACK}{quote(url, safe='')}")
    assert answer.status == 201
    recording = await parts.ledger.recordings.find(acme.account.sid, RecordingSid(answer.json()["sid"]))
    assert recording is not None
    assert recording.callback is None
    (alert,) = await parts.ledger.alerts.list(acme.account.sid)
    assert (alert.code, alert.level, alert.recording_sid) == (13256, "warning", recording.sid)


async def test_a_callback_and_its_events_are_kept_with_the_recording(acme: Caller, parts: Parts) -> None:
    query = f"?{CALLBACK}https%3A%2F%2Fexample.com%2Fcb&RecordingStatusCallbackEvent=completed%20absent"
    query += "&RecordingStatusCallbackEvent=failed&RecordingStatusCallbackMethod=GET"
    sid = (await acme.upload(WAV, query)).json()["sid"]
    recording = await parts.ledger.recordings.find(acme.account.sid, sid)
    assert recording is not None
    assert recording.callback is not None
    assert (recording.callback.url, recording.callback.method) == ("https://example.com/cb", "GET")
    assert recording.callback.events == ("completed", "absent", "failed")


async def test_trunking_recordings_have_no_callbacks(acme: Caller, parts: Parts) -> None:
    sid = (await acme.upload(WAV, f"?Source=Trunking&{CALLBACK}https%3A%2F%2Fexample.com%2Fcb")).json()["sid"]
    recording = await parts.ledger.recordings.find(acme.account.sid, sid)
    assert recording is not None
    assert recording.callback is None


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/html"])
async def test_a_body_of_another_type_is_415(acme: Caller, parts: Parts, kind: str) -> None:
    answer = await acme.upload(WAV, Content_Type=kind)
    assert (answer.status, answer.json()["code"]) == (415, 20001)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity"])
async def test_a_compressed_body_is_415(acme: Caller, parts: Parts, encoding: str) -> None:
    answer = await acme.upload(BytesIO(WAV), Content_Encoding=encoding)
    assert answer.status == 415
    assert kept(parts) == []


class Wire:
    """A connection on which a test says exactly which bytes are sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head


async def dial(acme: Caller, *headers: str) -> Wire:
    """Send the head of an upload and nothing of its body."""
    at = urlsplit(acme.base)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    basic = base64.b64encode(f"{acme.sid}:{acme.token}".encode()).decode()
    lines = [
        f"POST {acme.own_path}/Recordings HTTP/1.1",
        f"Host: {at.netloc}",
        f"Authorization: Basic {basic}",
        "Content-Type: audio/wav",
        *headers,
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    return Wire(reader, writer)


async def test_a_body_shorter_than_its_length_is_never_acknowledged(acme: Caller, parts: Parts) -> None:
    wire = await dial(acme, f"Content-Length: {len(WAV)}")
    wire.writer.write(WAV[:-10])
    wire.writer.write_eof()
    answer = await wire.reader.read()
    assert b" 201 " not in answer
    wire.writer.close()
    assert (await acme.get(f"{acme.account_path}/Recordings.json")).json()["recordings"] == []
    await parts.ledger.answers()
    assert kept(parts) == []


async def test_a_chunked_body_without_its_last_chunk_is_never_acknowledged(acme: Caller, parts: Parts) -> None:
    wire = await dial(acme, "Transfer-Encoding: chunked")
    wire.writer.write(b"%x\r\n" % len(WAV) + WAV + b"\r\n")
    wire.writer.write_eof()
    assert b" 201 " not in await wire.reader.read()
    wire.writer.close()
    assert (await acme.get(f"{acme.account_path}/Recordings.json")).json()["recordings"] == []


@pytest.mark.parametrize("headers", [("Content-Length: 10", "Transfer-Encoding: chunked"), ("Content-Length: ten",)])
async def test_lengths_that_contradict_themselves_are_400(acme: Caller, headers: tuple[str, ...]) -> None:
    wire = await dial(acme, *headers)
    assert (await wire.answer())[0] == 400
    wire.writer.close()


async def test_a_body_above_the_limit_is_413_before_it_is_read(acme: Caller, parts: Parts) -> None:
    wire = await dial(acme, f"Content-Length: {parts.chosen.max_upload_bytes + 1}")
    status, head = await wire.answer()
    assert status == 413
    assert b"connection: close" in head.lower()
    wire.writer.close()


async def test_a_chunked_body_is_stopped_at_the_limit(acme: Caller, parts: Parts) -> None:
    parts.chosen = replace(parts.chosen, max_upload_bytes=len(WAV) - 1)

    async def chunks() -> AsyncIterator[bytes]:
        yield WAV[:1000]
        yield WAV[1000:]

    answer = await acme.upload(chunks())
    assert (answer.status, answer.json()["code"]) == (413, 20001)
    assert kept(parts) == []


async def test_a_full_disk_is_507_before_the_body_is_read(acme: Caller, parts: Parts) -> None:
    """The body announces as many bytes as no disk has: what is left would be less than the reserve."""
    parts.chosen = replace(parts.chosen, max_upload_bytes=1 << 60)
    wire = await dial(acme, f"Content-Length: {1 << 59}")
    status, head = await wire.answer()
    assert status == 507
    assert b"retry-after: 60" in head.lower()
    wire.writer.close()
    assert kept(parts) == []


async def test_a_database_that_is_away_is_503_and_never_201(acme: Caller, parts: Parts, no_database: None) -> None:
    answer = await acme.upload()
    assert (answer.status, answer.json()["code"]) == (503, 20503)
    assert answer.headers["Retry-After"]
    assert kept(parts) == []


@pytest.mark.parametrize("path", [".json", "/Recordings.json", "/Keys.json"])
async def test_reads_are_503_too_while_the_database_is_away(acme: Caller, no_database: None, path: str) -> None:
    answer = await acme.get(acme.account_path + path)
    assert (answer.status, answer.json()["code"]) == (503, 20503)


async def test_a_wrong_token_is_401_before_the_body_is_read(acme: Caller, parts: Parts) -> None:
    acme.token = "wrong"
    wire = await dial(acme, "Content-Length: 1000000")
    assert (await wire.answer())[0] == 401
    wire.writer.close()


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, branch: Caller, parts: Parts) -> None:
    assert (await stranger.upload_for(acme)).status == 404
    assert (await branch.upload_for(acme)).status == 404
    unknown = await stranger.post(
        f"/callreel/v1/Accounts/AC{UNKNOWN}/Recordings", BytesIO(WAV), headers={"Content-Type": "audio/wav"}
    )
    assert unknown.status == 404
    assert kept(parts) == []
    assert (await acme.upload_for(branch)).json()["account_sid"] == branch.sid
