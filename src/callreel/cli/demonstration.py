"""The main job once, over real HTTP: take in, deliver, verify, call back, play, delete. `demo` shows what it saw."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from callreel.cli.child import Child, service
from callreel.cli.demonstrated_move import move_out
from callreel.outbound.signature import is_signed_by
from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.speech import speech, wav_of_size

BUCKET, PREFIX = "recordings", "calls"
KEY_ID, SECRET = "AKDEMO00000000000000", "demo" * 10  # of the embedded S3 alone, which lives as long as the demo
PATIENCE_S = 150.0  # seconds in a hurry, and still done on a machine with ten other things to do
MULTIPART_SIZE_BYTES = 9 << 20  # above 8 MiB a delivery goes in parts


class Unexpected(Exception):
    """Something was not as it must be; the demo ends here."""


@dataclass(slots=True)
class Specimen:
    """One recording of the demo, and what became of it."""

    name: str
    media: bytes
    sid: str = ""
    is_external: bool = True
    called_back: bool = False
    verified: bool = False
    played: str = ""


@dataclass(slots=True)
class Seen:
    """What the demo saw, and whether it was all right."""

    specimens: list[Specimen] = field(default_factory=list)
    deleted: int = 0
    moved: int = 0
    faults: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    def expect(self, held: bool, otherwise: str) -> bool:
        """Note a fault unless it held."""
        if not held:
            self.faults.append(otherwise)
        return held

    @property
    def document(self) -> dict[str, Any]:
        """The JSON of contract section 2."""
        delivered = sum(1 for one in self.specimens if one.called_back)
        return {
            "ok": not self.faults,
            "recordings": len(self.specimens),
            "delivered": delivered,
            "verified": sum(1 for one in self.specimens if one.verified),
            "callbacks": delivered,
            "played": sum(1 for one in self.specimens if one.played),
            "deleted": self.deleted,
            "moved": self.moved,
            "mismatches": len(self.faults),
            "elapsed_s": round(self.elapsed_s, 2),
        }


async def demonstrate(home: Path, seen: Seen) -> None:
    """Run the demo below `home` and write down what is seen. Raises `Misconfigured` when the service does not start."""
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            EmbeddedS3(home / "s3") as s3,
            CallbackReceiver() as receiver,
            service(home, {"ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}) as child,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        ):
            s3.create_bucket(BUCKET)
            s3.add_user(KEY_ID, SECRET, may="manage")
            await _Demonstration(seen, s3, receiver, child, http).run()
    except TimeoutError:
        seen.faults.append(f"it was not done in {PATIENCE_S:.0f} s")
    except (Unexpected, aiohttp.ClientError) as why:
        seen.faults.append(str(why) or type(why).__name__)
    finally:
        seen.elapsed_s = time.monotonic() - began


class _Demonstration:
    """The steps, in order, against one running service."""

    def __init__(
        self, seen: Seen, s3: EmbeddedS3, receiver: CallbackReceiver, child: Child, http: aiohttp.ClientSession
    ) -> None:
        self._seen, self._s3, self._receiver, self._url, self._http = seen, s3, receiver, child.url, http
        self._sign_in = _sign_in(child.account_sid, child.auth_token)
        self._account, self._token = child.account_sid, child.auth_token

    async def run(self) -> None:
        """Everything. Faults are written down; what cannot go on raises `Unexpected`."""
        await self._open_account()
        await self._point_at_bucket()
        first = await asyncio.to_thread(_specimens)
        self._seen.specimens += first
        await asyncio.gather(*(self._take_in(one) for one in first))
        await self._take_in_again(first[-1])
        await self._told(first)
        await asyncio.gather(*(self._check_in_bucket(one) for one in first))
        await self._host_one()
        await self._after_switching_on()
        await self._move()

    async def _open_account(self) -> None:
        """A subaccount, as for one customer of many; from here on everything is its own."""
        made = await self._post("/2010-04-01/Accounts.json", {"FriendlyName": "Demo"}, 201)
        self._account, self._token = made["sid"], made["auth_token"]
        self._sign_in = _sign_in(self._account, self._token)

    async def _point_at_bucket(self) -> None:
        credential = await self._post("/v1/Credentials/AWS", {"Credentials": f"{KEY_ID}:{SECRET}"}, 201)
        where = {"AwsCredentialsSid": credential["sid"], "AwsS3Url": f"{self._s3.url}/{BUCKET}/{PREFIX}"}
        await self._store_outside(True, **where)

    async def _store_outside(self, on: bool, **more: str) -> None:
        path = f"/callreel/v1/Accounts/{self._account}/RecordingSettings/Voice"
        saved = await self._post(path, {"AwsStorageEnabled": str(on).lower(), **more}, 200)
        self._seen.expect(saved["aws_storage_enabled"] is on, "the settings were not saved")

    async def _take_in(self, one: Specimen, *, key: str = "") -> None:
        one.sid = one.sid or (await self._upload(one, key or f"demo-{one.name}"))

    async def _take_in_again(self, one: Specimen) -> None:
        again = await self._upload(one, f"demo-{one.name}")
        self._seen.expect(again == one.sid, f"{one.name}: the same Idempotency-Key made a second recording")

    async def _upload(self, one: Specimen, key: str) -> str:
        answer = await self._http.post(
            f"{self._url}/callreel/v1/Accounts/{self._account}/Recordings",
            params={"RecordingStatusCallback": self._receiver.url + "/done"},
            data=one.media,
            headers={"Content-Type": "audio/x-wav", "Idempotency-Key": key, **self._sign_in},
        )
        sid: str = (await _json_of(answer, 201))["sid"]
        return sid

    async def _told(self, specimens: list[Specimen]) -> None:
        """Wait for the signed `completed` of each."""
        wanted = {one.sid: one for one in specimens}
        await self._receiver.until(lambda came: wanted.keys() <= {callback["RecordingSid"] for callback in came})
        for callback in self._receiver.received:
            one = wanted.get(callback["RecordingSid"])
            if one is None:
                continue
            signed = is_signed_by(self._token, callback.url, callback.parameters, callback.signature)
            once = self._seen.expect(not one.called_back, f"{one.name}: it was called back more than once")
            right = self._seen.expect(signed, f"{one.name}: the callback's signature is wrong")
            ended = self._seen.expect(
                callback["RecordingStatus"] == "completed",
                f"{one.name}: the callback says {callback['RecordingStatus']}",
            )
            one.called_back = once and right and ended

    async def _check_in_bucket(self, one: Specimen) -> None:
        """The object is there once, and what the media URL redirects to is it, byte for byte."""
        key = f"{PREFIX}/{self._account}/{one.sid}"
        sha256 = hashlib.sha256(one.media).hexdigest()
        stored = self._s3.keys(BUCKET)
        once = self._seen.expect(key in stored, f"{one.name}: {key} is not in the bucket") and self._seen.expect(
            self._s3.versions(BUCKET, key) == [sha256], f"{one.name}: the object is not the recording"
        )
        redirect = await self._media(one.sid)
        self._seen.expect(redirect.status == 302, f"{one.name}: the media URL answered {redirect.status}")
        played = await self._http.get(redirect.headers.get("Location", self._url))
        same = self._seen.expect(
            played.status == 200 and await played.read() == one.media,
            f"{one.name}: the signed URL plays something else",
        )
        one.verified = once and same
        one.played = "signed URL" if same else ""

    async def _host_one(self) -> None:
        """With external storage off: kept here, played as .wav and .mp3, deleted, gone."""
        await self._store_outside(False)
        one = Specimen("kept here", speech(10, seed=90, channels=2), is_external=False)
        self._seen.specimens.append(one)
        await self._take_in(one)
        await self._told([one])
        wav, mp3 = await self._media(one.sid, ".wav"), await self._media(one.sid, ".mp3")
        one.verified = self._seen.expect(
            wav.status == 200 and await wav.read() == one.media, f"{one.name}: .wav is not what was sent"
        )
        sound = await mp3.read()
        is_mp3 = mp3.status == 200 and mp3.content_type == "audio/mpeg" and sound[:1] == b"\xff" and len(sound) > 10_000
        one.played = ".wav, .mp3" if self._seen.expect(is_mp3, f"{one.name}: .mp3 is not an MP3") else ""
        await self._delete(one)

    async def _delete(self, one: Specimen) -> None:
        path = f"{self._url}/2010-04-01/Accounts/{self._account}/Recordings/{one.sid}.json"
        gone = await self._http.delete(path, headers=self._sign_in)
        after = [await self._http.get(path, headers=self._sign_in), await self._media(one.sid)]
        statuses = [gone.status, *(answer.status for answer in after)]
        self._seen.deleted += self._seen.expect(
            statuses == [204, 404, 404], f"{one.name}: deleting and asking again answered {statuses}"
        )

    async def _after_switching_on(self) -> None:
        await self._store_outside(True)
        one = Specimen("outside again", speech(5, seed=91))
        self._seen.specimens.append(one)
        await self._take_in(one)
        await self._told([one])
        await self._check_in_bucket(one)
        self._seen.expect(not self._s3.open_uploads(BUCKET), "an unfinished multipart upload was left in the bucket")

    async def _move(self) -> None:
        self._seen.moved = await move_out(
            f"/callreel/v1/Accounts/{self._account}",
            f"{PREFIX}/{self._account}",
            self._s3,
            BUCKET,
            post=self._post,
            get=self._get,
            expect=self._seen.expect,
        )

    async def _media(self, sid: str, extension: str = "") -> aiohttp.ClientResponse:
        url = f"{self._url}/2010-04-01/Accounts/{self._account}/Recordings/{sid}{extension}"
        return await self._http.get(url, headers=self._sign_in, allow_redirects=False)

    async def _get(self, path: str) -> dict[str, Any]:
        return await _json_of(await self._http.get(self._url + path, headers=self._sign_in), 200)

    async def _post(self, path: str, form: dict[str, str], status: int) -> dict[str, Any]:
        return await _json_of(await self._http.post(self._url + path, data=form, headers=self._sign_in), status)


def _sign_in(account_sid: str, auth_token: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(account_sid, auth_token)}


async def _json_of(answer: aiohttp.ClientResponse, status: int) -> dict[str, Any]:
    if answer.status != status:
        raise Unexpected(f"{answer.method} {answer.url.path} answered {answer.status}: {(await answer.text())[:300]}")
    body: dict[str, Any] = await answer.json(content_type=None)
    return body


def _specimens() -> list[Specimen]:
    """Lengths, channels and codecs as phone platforms make them; one is large enough to go in parts."""
    return [
        Specimen("mono, PCM", speech(30, seed=1)),
        Specimen("dual, PCM", speech(20, seed=2, channels=2)),
        Specimen("mono, mu-law", speech(12, seed=3, codec="pcm_mulaw")),
        Specimen("dual, mu-law", speech(7, seed=4, channels=2, codec="pcm_mulaw")),
        Specimen("mono, A-law", speech(15, seed=5, codec="pcm_alaw")),
        Specimen("one second, 8 bits", speech(1, seed=6, codec="pcm_u8")),
        Specimen("ten minutes, in parts", wav_of_size(MULTIPART_SIZE_BYTES, seed=7)),
        Specimen("sent twice, kept once", speech(5, seed=8)),
    ]
