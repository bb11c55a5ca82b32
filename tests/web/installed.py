"""One account with one of everything, so that a judge who makes up requests finds something behind them."""

from __future__ import annotations

from callreel.clock import SetClock
from tests.sealing.keys import public_pem, rsa_key
from tests.web.conftest import CALL, Caller, Carry
from tests.web.video_tracks import recorded_video

CONFERENCE = "CF" + "2" * 32
ACCESS = "AKIAIOSFODNN7EXAMPLE:" + "k" * 40


async def one_of_everything(caller: Caller, deliver: Carry, clock: SetClock) -> dict[str, list[str]]:
    """The SIDs there are, by the name of the collection in whose path they stand."""
    query = f"?CallSid={CALL}&ConferenceSid={CONFERENCE}&From=%2B15550100&To=%2B15550199"
    recordings = [(await caller.upload(query=query)).json()["sid"] for _ in range(3)]
    for sid in recordings[:2]:
        await deliver(sid)
    tracks = [await recorded_video(caller) for _ in range(2)]
    await deliver(tracks[0]["sid"])
    clock.advance(1)
    key = await caller.post(f"{caller.account_path}/Keys.json", {"FriendlyName": "k"})
    aws = await caller.post("/v1/Credentials/AWS", {"Credentials": ACCESS})
    public = await caller.post("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key())})
    campaign = await caller.post(f"{caller.own_path}/Campaigns", {"FriendlyName": f"Spring {key.json()['sid']}"})
    dry = await caller.post(f"{caller.own_path}/Recordings/BulkDelete", {"All": "true", "DryRun": "true"})
    sub = await caller.post("/2010-04-01/Accounts.json", {"FriendlyName": "Branch"})
    return {
        "Accounts": [caller.sid, caller.sid, caller.sid, sub.json()["sid"]],
        "Calls": [CALL],
        "Conferences": [CONFERENCE],
        "Recordings": recordings + [track["sid"] for track in tracks],
        "VideoRecordings": [track["sid"] for track in tracks],
        "Deliveries": recordings,
        "Campaigns": [campaign.json()["sid"]],
        "BulkDelete": [dry.json()["sid"]],
        "Rooms": [track["grouping_sids"]["room_sid"] for track in tracks],
        "Keys": [key.json()["sid"]],
        "AWS": [aws.json()["sid"]],
        "PublicKeys": [public.json()["sid"]],
        "Compositions": ["CJ" + "3" * 32],
    }
