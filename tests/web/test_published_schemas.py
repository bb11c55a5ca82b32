"""Every 2xx body of an operation Twilio has, judged by the schema Twilio publishes for it."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.sealing.keys import public_pem, rsa_key
from tests.web.conftest import CALL, Answer, Caller, Carry, Record
from tests.web.video_tracks import CAMERA, MICROPHONE, NOTHING, recorded_video

FOLDER = Path(__file__).parent.parent / "schemas"
CONFERENCE = "CF" + "2" * 32
ACCESS = "AKIAIOSFODNN7EXAMPLE:" + "k" * 40
FILES = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("twilio_*.json")}
ANSWERS = {name: (answer, book) for book in FILES.values() for name, answer in book["answers"].items()}

# Its own description says `null`, and so do the published examples; only `nullable` is missing.
NULL_TOO = "conference_enum_reason_conference_ended"

formats = FormatChecker()


@formats.checks("date-time-rfc-2822", raises=(ValueError, TypeError))
def is_rfc_2822(text: object) -> bool:
    return not isinstance(text, str) or (parsedate_to_datetime(text) is not None and text.endswith(" +0000"))


def as_json_schema(schema: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema says null; and here every field is there, and no other."""
    if isinstance(schema, list):
        return [as_json_schema(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: as_json_schema(inner) for name, inner in schema.items() if name != "nullable"}
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    if made.get("properties"):
        made["required"] = list(made["properties"])
        made["additionalProperties"] = False
    return made


def judge(operation: str, answer: Answer) -> Any:
    """The body, if Twilio's schema of this operation accepts it."""
    schema, book = ANSWERS[operation]
    assert answer.status == int(operation.rpartition(" ")[2]), answer.body
    components = json.loads(json.dumps(book["components"]))
    if NULL_TOO in components["schemas"]:
        components["schemas"][NULL_TOO]["nullable"] = True
    whole = as_json_schema(schema) | {"components": as_json_schema(components)}
    Draft202012Validator(whole, format_checker=formats).validate(answer.json())
    return answer.json()


async def test_accounts_and_keys(acme: Caller, branch: Caller) -> None:
    one = "/2010-04-01/Accounts/{Sid}.json"
    judge("GET /2010-04-01/Accounts.json 200", await acme.get("/2010-04-01/Accounts.json"))
    judge("POST /2010-04-01/Accounts.json 201", await acme.post("/2010-04-01/Accounts.json", {"FriendlyName": "x"}))
    judge(f"GET {one} 200", await acme.get(f"{acme.account_path}.json"))
    judge(f"POST {one} 200", await acme.post(f"{branch.account_path}.json", {"Status": "suspended"}))
    keys = "/2010-04-01/Accounts/{AccountSid}/Keys"
    key = judge(f"POST {keys}.json 201", await acme.post(f"{acme.account_path}/Keys.json", {"FriendlyName": "k"}))
    judge(f"GET {keys}.json 200", await acme.get(f"{acme.account_path}/Keys.json"))
    judge(f"GET {keys}/{{Sid}}.json 200", await acme.get(f"{acme.account_path}/Keys/{key['sid']}.json"))
    judge(f"POST {keys}/{{Sid}}.json 200", await acme.post(f"{acme.account_path}/Keys/{key['sid']}.json", {}))


@pytest.mark.parametrize("encrypted", [False, True])
async def test_recordings_at_every_level(acme: Caller, recorded: Record, encrypted: bool) -> None:
    if encrypted:
        key = (await acme.post("/v1/Credentials/PublicKeys", {"PublicKey": public_pem(rsa_key())})).json()["sid"]
        settings = {"EncryptionEnabled": "true", "EncryptionKeySid": key}
        assert (await acme.post(f"{acme.own_path}/RecordingSettings/Voice", settings)).status == 200
    sid = (await recorded(query=f"?CallSid={CALL}&ConferenceSid={CONFERENCE}&Track=both"))["sid"]
    base = "/2010-04-01/Accounts/{AccountSid}"
    for shape, path in (
        ("", ""),
        ("/Calls/{CallSid}", f"/Calls/{CALL}"),
        ("/Conferences/{ConferenceSid}", f"/Conferences/{CONFERENCE}"),
    ):
        judge(f"GET {base}{shape}/Recordings.json 200", await acme.get(f"{acme.account_path}{path}/Recordings.json"))
        judge(
            f"GET {base}{shape}/Recordings/{{Sid}}.json 200",
            await acme.get(f"{acme.account_path}{path}/Recordings/{sid}.json"),
        )


@pytest.mark.parametrize(
    ("path", "form"), [("AWS", {"Credentials": ACCESS}), ("PublicKeys", {"PublicKey": public_pem(rsa_key())})]
)
async def test_credentials(acme: Caller, path: str, form: dict[str, str]) -> None:
    base = f"/v1/Credentials/{path}"
    made = judge(f"POST {base} 201", await acme.post(base, form | {"FriendlyName": "x"}))
    judge(f"GET {base} 200", await acme.get(base))
    judge(f"GET {base}/{{Sid}} 200", await acme.get(f"{base}/{made['sid']}"))
    judge(f"POST {base}/{{Sid}} 200", await acme.post(f"{base}/{made['sid']}", {"FriendlyName": "y"}))


async def test_calls_and_conferences(acme: Caller, recorded: Record) -> None:
    await recorded(query=f"?CallSid={CALL}&From=%2B15550100&To=%2B15550199&Direction=inbound")
    await recorded(query=f"?CallSid={CALL[:-1]}2&ConferenceSid={CONFERENCE}")  # nobody said who called whom
    base = "/2010-04-01/Accounts/{AccountSid}"
    for name, key, sid in (("Calls", "calls", CALL), ("Conferences", "conferences", CONFERENCE)):
        page = judge(f"GET {base}/{name}.json 200", await acme.get(f"{acme.account_path}/{name}.json"))
        assert sid in [row["sid"] for row in page[key]]
        judge(f"GET {base}/{name}/{{Sid}}.json 200", await acme.get(f"{acme.account_path}/{name}/{sid}.json"))


async def test_video_recording_settings(acme: Caller) -> None:
    path = "/v1/RecordingSettings/Default"
    judge(f"GET {path} 200", await acme.get(path))
    judge(f"POST {path} 200", await acme.post(path, {"FriendlyName": "x"}))


async def test_video(acme: Caller, deliver: Carry) -> None:
    settings = "/v1/CompositionSettings/Default"
    judge(f"GET {settings} 200", await acme.get(settings))
    judge(f"POST {settings} 200", await acme.post(settings, {"FriendlyName": "x"}))
    judge("GET /v1/Compositions 200", await acme.get("/v1/Compositions"))
    room = judge("POST /v1/Rooms 201", await acme.post("/v1/Rooms", {"UniqueName": "x"}))["sid"]
    made = [await recorded_video(acme, body, RoomSid=room) for body in (CAMERA, MICROPHONE, NOTHING)]
    await deliver(made[0]["sid"])
    judge("GET /v1/Rooms 200", await acme.get("/v1/Rooms"))
    judge("GET /v1/Rooms/{Sid} 200", await acme.get(f"/v1/Rooms/{room}"))
    judge("POST /v1/Rooms/{Sid} 202", await acme.post(f"/v1/Rooms/{room}", {"Status": "completed"}))
    of_account, of_room = "/v1/Recordings", "/v1/Rooms/{RoomSid}/Recordings"
    for shape, path in ((of_account, of_account), (of_room, f"/v1/Rooms/{room}/Recordings")):
        rows = judge(f"GET {shape} 200", await acme.get(path))["recordings"]
        assert {row["status"] for row in rows} == {"completed", "processing", "failed"}
        for row in rows:
            judge(f"GET {shape}/{{Sid}} 200", await acme.get(f"{path}/{row['sid']}"))
