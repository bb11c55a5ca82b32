"""POST /callreel/v1/Accounts/{AC}/Recordings."""

from tests.web.conftest import WAV, Caller


async def test_an_upload_is_answered_201_with_twilios_recording(acme: Caller) -> None:
    answer = await acme.upload(WAV, "?CallSid=CA" + "1" * 32)
    assert answer.status == 201, answer.body
    assert answer.json()["status"] == "processing"
    assert answer.json()["duration"] == "2"
