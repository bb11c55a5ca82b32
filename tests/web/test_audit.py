"""Everything that is changed, deleted, restarted or listened to leaves a row that names who did it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from callreel.clock import SetClock
from callreel.parts import Parts
from tests.sealing.keys import public_pem, rsa_key
from tests.web.conftest import CALL, UNKNOWN, Caller, Carry, Record
from tests.web.installed import ACCESS
from tests.web.video_tracks import recorded_video

SOURCES = Path(inspect.getfile(Parts)).parent


async def audit_of(caller: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = await caller.get(f"{caller.own_path}/Audit{query}")
    assert answer.status == 200, answer.body
    rows: list[dict[str, Any]] = answer.json()["audit"]
    return rows


async def actions_of(caller: Caller, query: str = "") -> list[str]:
    """Oldest first, without the opening of the account itself."""
    return [row["action"] for row in await audit_of(caller, query) if row["action"] != "account.created"][::-1]


async def test_a_row_tells_who_did_what_from_where_in_which_request(acme: Caller) -> None:
    made = await acme.post(f"{acme.account_path}/Keys.json", {"FriendlyName": "dialer"})
    row = (await audit_of(acme))[0]
    assert (row["action"], row["actor"], row["subject"]) == ("key.created", acme.sid, made.json()["sid"])
    assert (row["address"], row["request_id"]) == ("127.0.0.1", made.headers["Twilio-Request-Id"])
    assert row["details"] == {"friendly_name": "dialer"}
    assert row["account_sid"] == acme.sid
    assert row["date_created"].endswith("Z")


async def test_what_an_api_key_does_bears_the_keys_name(acme: Caller) -> None:
    key = (await acme.post(f"{acme.account_path}/Keys.json", {})).json()
    auth = (key["sid"], key["secret"])
    await acme.post("/v1/Credentials/AWS", {"Credentials": ACCESS}, auth=auth)
    assert [row["actor"] for row in await audit_of(acme, "?Action=credential.created")] == [key["sid"]]


async def test_credentials_and_keys_leave_rows_for_making_changing_and_deleting(acme: Caller) -> None:
    for path, form in (
        ("/v1/Credentials/AWS", {"Credentials": ACCESS, "FriendlyName": "one"}),
        ("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key()), "FriendlyName": "one"}),
        (f"{acme.account_path}/Keys.json", {"FriendlyName": "one"}),
    ):
        sid = (await acme.post(path, form)).json()["sid"]
        one = f"{path}/{sid}" if ".json" not in path else path.replace(".json", f"/{sid}.json")
        await acme.post(one, {"FriendlyName": "two"})
        await acme.delete(one)
        rows = (await audit_of(acme, f"?Subject={sid}"))[::-1]
        thing = "key" if "Keys.json" in path else "credential"
        assert [row["action"] for row in rows] == [f"{thing}.created", f"{thing}.changed", f"{thing}.deleted"]
        assert rows[1]["details"]["changes"] == {"friendly_name": {"before": "one", "after": "two"}}


async def test_no_row_holds_a_secret(acme: Caller, parts: Parts) -> None:
    await acme.post("/v1/Credentials/AWS", {"Credentials": ACCESS})
    key = (await acme.post(f"{acme.account_path}/Keys.json", {})).json()
    sub = (await acme.post("/2010-04-01/Accounts.json", {"FriendlyName": "b"})).json()
    [created] = await audit_of(acme, "?Action=credential.created")
    assert re.fullmatch("[0-9a-f]{16}", created["details"]["fingerprint"])
    told = str([[row async for row in parts.ledger.audit.read_chain(chain)] for chain in (acme.sid, sub["sid"])])
    for secret in (*ACCESS.split(":"), key["secret"], sub["auth_token"], acme.token):
        assert secret not in told


async def test_a_request_that_was_refused_leaves_no_row(acme: Caller, stranger: Caller) -> None:
    await acme.post("/v1/Credentials/AWS", {"Credentials": "nothing"})
    await acme.delete(f"/v1/Credentials/AWS/CR{UNKNOWN}")
    await acme.delete(f"{acme.account_path}/Keys/SK{UNKNOWN}.json")
    await acme.delete(f"{acme.account_path}/Calls/{CALL}.json")
    await stranger.post(f"{acme.account_path}/Keys.json", {})
    assert await actions_of(acme) == []
    assert await actions_of(stranger) == []


async def test_settings_leave_what_was_before_and_what_is_after(acme: Caller) -> None:
    path = f"{acme.own_path}/RecordingSettings/Voice"
    await acme.post(path, {"FriendlyName": "one", "ExternalMedia": "not-found"})
    await acme.post(path, {"FriendlyName": "two"})
    await acme.post("/v1/RecordingSettings/Default", {"FriendlyName": "video"})
    await acme.post("/v1/CompositionSettings/Default", {"FriendlyName": "mix"})
    await acme.post(f"{acme.own_path}/DeletionSettings", {"DeleteObjectsWithCallLogs": "true"})
    rows = (await audit_of(acme))[::-1][1:]
    assert [row["details"].get("kind") for row in rows] == ["voice", "voice", "video", "composition", None]
    assert rows[1]["details"]["changes"] == {"friendly_name": {"before": "one", "after": "two"}}
    assert rows[4]["details"]["changes"] == {"delete_objects_with_call_logs": {"before": False, "after": True}}


async def test_an_account_that_is_opened_renamed_suspended_and_closed_leaves_rows(acme: Caller, parts: Parts) -> None:
    sid = (await acme.post("/2010-04-01/Accounts.json", {"FriendlyName": "Branch"})).json()["sid"]
    one = f"/2010-04-01/Accounts/{sid}.json"
    for form in ({"FriendlyName": "B"}, {"Status": "suspended"}, {"Status": "active"}, {"Status": "closed"}):
        assert (await acme.post(one, form)).status == 200
    rows = [row async for row in parts.ledger.audit.read_chain(sid)]
    assert [row.action for row in rows] == [
        "account.created",
        "account.changed",
        "account.suspended",
        "account.activated",
        "account.closed",
    ]
    assert {row.actor for row in rows} == {acme.sid}


async def test_deletions_leave_one_row_each(acme: Caller, recorded: Record, deliver: Carry) -> None:
    conference = "CF" + "5" * 32
    sids = [(await recorded(query=f"?CallSid={CALL}&ConferenceSid={conference}"))["sid"] for _ in range(3)]
    for path, sid in zip(("", f"/Calls/{CALL}", f"/Conferences/{conference}"), sids, strict=True):
        assert (await acme.delete(f"{acme.account_path}{path}/Recordings/{sid}.json")).status == 204
        assert (await acme.delete(f"{acme.account_path}{path}/Recordings/{sid}.json")).status == 404
    track = await recorded_video(acme)
    await deliver(track["sid"])
    assert (await acme.delete(f"/v1/Recordings/{track['sid']}")).status == 204
    assert (await acme.delete(f"{acme.account_path}/Calls/{CALL}.json")).status == 204
    rows = (await audit_of(acme))[::-1][1:]
    assert [row["subject"] for row in rows] == [*sids, track["sid"], CALL]
    assert [row["action"] for row in rows] == ["recording.deleted"] * 4 + ["call.deleted"]


async def test_a_play_leaves_one_row_however_many_ranges_and_a_head_leaves_none(
    acme: Caller, recorded: Record, clock: SetClock
) -> None:
    sid = (await recorded())["sid"]
    media = f"{acme.account_path}/Recordings/{sid}"
    assert (await acme.send("HEAD", media)).status == 200
    etag = (await acme.send("HEAD", media)).headers["ETag"]
    assert (await acme.get(media, headers={"If-None-Match": etag})).status == 304
    assert (await acme.get(media, headers={"Range": "bytes=99999999-"})).status == 416
    assert await actions_of(acme) == []
    for first in range(0, 5000, 500):
        assert (await acme.get(media, headers={"Range": f"bytes={first}-{first + 499}"})).status == 206
    assert (await acme.get(f"{media}.mp3")).status == 200
    assert await actions_of(acme) == ["recording.listened"]
    clock.advance(3600)
    await acme.get(media)
    assert await actions_of(acme, f"?Subject={sid}") == ["recording.listened"] * 2


async def test_a_signed_url_leaves_a_row_when_it_is_issued_and_another_when_it_is_used(
    acme: Caller, recorded: Record, deliver: Carry
) -> None:
    sid = (await recorded())["sid"]
    url = (await acme.get(f"{acme.own_path}/Recordings/{sid}/Playback")).json()["url"]
    assert (await acme.get(url.removeprefix(acme.base), auth=None)).status == 200
    track = (await recorded_video(acme))["sid"]
    await deliver(track)
    ticket = (await acme.get(f"/v1/Recordings/{track}/Media")).headers["Location"]
    assert (await acme.get(ticket.removeprefix(acme.base), auth=None)).status == 200
    rows = (await audit_of(acme))[::-1][1:]
    assert [(row["action"], row["actor"], row["subject"]) for row in rows] == [
        ("playback.issued", acme.sid, sid),
        ("recording.listened", "bearer", sid),
        ("playback.issued", acme.sid, track),
        ("recording.listened", "bearer", track),
    ]
    assert "Signature" not in str(rows)
    assert ticket.rpartition("/")[2] not in str(rows)


async def test_rows_are_paged_and_filtered(acme: Caller, clock: SetClock) -> None:
    for i in range(5):
        await acme.post(f"{acme.account_path}/Keys.json", {"FriendlyName": str(i)})
        clock.advance(60)
    page = (await acme.get(f"{acme.own_path}/Audit?Action=key.created&PageSize=2")).json()
    names = [row["details"]["friendly_name"] for row in page["audit"]]
    while page["meta"]["next_page_url"]:
        page = (await acme.get(page["meta"]["next_page_url"].removeprefix(acme.base))).json()
        names += [row["details"]["friendly_name"] for row in page["audit"]]
    assert names == ["4", "3", "2", "1", "0"]
    noon = f"{clock.now():%Y-%m-%dT}12:01:30Z"
    assert len(await actions_of(acme, f"?DateCreatedBefore={noon}")) == 2
    assert len(await actions_of(acme, f"?DateCreatedAfter={noon}")) == 3
    assert len(await actions_of(acme, "?Actor=operator")) == 0


@pytest.mark.parametrize("query", ["?Action=nothing", "?DateCreatedAfter=soon", "?PageSize=0", "?PageToken=x"])
async def test_a_filter_that_makes_no_sense_is_400(acme: Caller, query: str) -> None:
    answer = await acme.get(f"{acme.own_path}/Audit{query}")
    assert (answer.status, answer.json()["status"]) == (400, 400)


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, branch: Caller) -> None:
    await acme.post(f"{acme.account_path}/Keys.json", {})
    unknown = await stranger.get(f"/callreel/v1/Accounts/AC{UNKNOWN}/Audit")
    foreign = await stranger.get(f"{acme.own_path}/Audit")
    assert (unknown.status, foreign.status) == (404, 404)
    assert foreign.body.replace(acme.sid.encode(), b"") == unknown.body.replace(b"AC" + UNKNOWN.encode(), b"")
    assert (await branch.get(f"{acme.own_path}/Audit")).status == 404
    assert (await acme.get(f"{branch.own_path}/Audit")).json()["audit"][0]["action"] == "account.created"


def test_every_door_says_who_acts() -> None:
    """A step that takes `by` writes a deed; a door that does not pass it would lay the deed on the clockwork."""
    takes_by = set()
    for path in SOURCES.glob("steps/*.py"):
        for name, arguments in re.findall(r"^async def ([a-z]\w+)\(([^)]*)\)", path.read_text(), re.MULTILINE):
            if re.search(r"\bby: Actor\b", arguments):
                takes_by.add(name)
    assert {"restart", "request_deletion", "choose_storage", "keep_access_key", "open_account"} <= takes_by
    for folder in ("web", "console", "cli"):
        for path in SOURCES.glob(f"{folder}/**/*.py"):
            for call in re.finditer(rf"(?<!def )\b(?:{'|'.join(takes_by)})\(", path.read_text()):
                arguments = _arguments(path.read_text()[call.end() :])
                assert re.search(r"\bby\b|OPERATOR", arguments), f"{path.name}: {call[0]}{arguments})"


def test_every_door_that_writes_to_the_ledger_itself_leaves_a_row() -> None:
    """What changes rows without a step between names the deed, or who did it."""
    changes = "rename|rename_key|revoke_key|keep|keep_key|change|remove|start|pause|resume|cancel|confirm|set|lift"
    seen = 0
    for folder in ("web", "console", "cli"):
        for path in SOURCES.glob(f"{folder}/**/*.py"):
            for call in re.finditer(rf"\bledger\.[a-z_]+\.(?:{changes})\(", path.read_text()):
                arguments, seen = _arguments(path.read_text()[call.end() :]), seen + 1
                assert re.search(r"\b(?:deed|deeds|by)\b", arguments), f"{path.name}: {call[0]}{arguments})"
    assert seen >= 10


def _arguments(text: str) -> str:
    depth = 1
    for i, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:
            return text[:i]
    raise AssertionError(text[:80])
