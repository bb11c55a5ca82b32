"""Usage: minutes and bytes here and outside, and what they cost."""

from __future__ import annotations

from callreel.clock import SetClock
from callreel.model.price_list import GIB, PriceList
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from tests.stage import BUCKET, MANAGER
from tests.web.conftest import WAV, Caller, Carry, Record


async def test_nothing_is_nothing(acme: Caller) -> None:
    told = (await acme.get(f"{acme.own_path}/Usage")).json()
    assert told["here"] == told["outside"] == {"recordings": 0, "minutes": 0, "bytes": 0}
    assert told["monthly_cost_source"] == told["monthly_cost_bucket"] == 0
    assert [row["name"] for row in told["storage_classes"]] == ["STANDARD", "GLACIER_IR", "DEEP_ARCHIVE"]


async def test_what_lies_here_and_outside_is_told_apart_by_age(
    acme: Caller, recorded: Record, deliver: Carry, clock: SetClock, s3: EmbeddedS3
) -> None:
    await recorded()
    clock.advance(100 * 86_400)
    credential = (await acme.post("/v1/Credentials/AWS", {"Credentials": ":".join(MANAGER)})).json()["sid"]
    form = {"AwsS3Url": f"{s3.url}/{BUCKET}", "AwsCredentialsSid": credential, "AwsStorageEnabled": "true"}
    assert (await acme.post(f"{acme.own_path}/RecordingSettings/Voice", form)).status == 200
    for _ in range(2):
        await deliver((await acme.upload()).json()["sid"])
    unfinished = await acme.upload()
    told = (await acme.get(f"{acme.own_path}/Usage")).json()
    assert told["here"] == {"recordings": 1, "minutes": 0.03, "bytes": len(WAV)}
    assert told["outside"] == {"recordings": 2, "minutes": 0.05, "bytes": 2 * len(WAV)}
    assert [step["bytes"] for step in told["lifecycle"]["steps"]] == [2 * len(WAV), len(WAV), 0]
    assert told["storage_classes"][0]["bytes_now"] == 2 * len(WAV)
    await deliver(unfinished.json()["sid"])
    assert (await acme.get(f"{acme.own_path}/Usage")).json() == told  # remembered for a minute
    clock.advance(61)
    assert (await acme.get(f"{acme.own_path}/Usage")).json()["outside"]["recordings"] == 3


def test_prices_are_those_of_the_list() -> None:
    prices = PriceList()
    assert prices.at_source(10_000) == 0
    assert prices.at_source(110_000) == 50.0
    assert [prices.in_class(name, 1000 * GIB) for name in ("STANDARD", "GLACIER_IR", "DEEP_ARCHIVE")] == [
        23.0,
        4.0,
        0.99,
    ]
    assert prices.in_class("INTELLIGENT_TIERING", 1000 * GIB) == 23.0


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, recorded: Record) -> None:
    await recorded()
    assert (await stranger.get(f"{acme.own_path}/Usage")).status == 404
    assert (await stranger.get(f"{stranger.own_path}/Usage")).json()["here"]["recordings"] == 0
