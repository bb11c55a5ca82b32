"""The list of recordings: what is on it, what it can be asked, and who sees it."""

from __future__ import annotations

import csv
import io
import re

import pytest

from callreel.clock import SetClock
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import FatalErrorPolicy
from tests.console.conftest import Browser
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import Stage, a_wav

FROM, TO = "+442079460182", "+441614960733"
CALL = "CA" + "a" * 32


async def delivered(stage: Stage, **intake: object) -> Recording:
    recording = await stage.carry_until_settled(await stage.take_in(**intake))  # type: ignore[arg-type]
    stage.clock.advance(60)
    return recording


async def put(stage: Stage, state: State, **facts: object) -> Recording:
    """A recording that got stuck on its way."""
    uploading = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)
    if state is State.UPLOADING:
        return uploading
    return await stage.parts.ledger.move(uploading, state, **facts)


async def test_each_recording_stands_there_with_its_word(stage: Stage, owner: Browser) -> None:
    words = {(await delivered(stage)).sid: "In your bucket", (await put(stage, State.UPLOADING)).sid: "Uploading"}
    words[(await put(stage, State.PARKED)).sid] = "Parked"
    words[(await put(stage, State.FATAL, last_error_code="AccessDenied")).sid] = "Held"
    gone = await stage.parts.ledger.move(await delivered(stage), State.DELETING)
    words[(await stage.carry(gone)).sid] = "Deleted"
    await stage.choose(aws_storage_enabled=False)
    words[(await delivered(stage)).sid] = "Completed"
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    words[(await stage.carry(await put(stage, State.FATAL))).sid] = "Failed"
    page = (await owner.get("/console/recordings")).text
    for sid, word in words.items():
        badge = page.partition(f'id="status-{sid}"')[2].partition("</span></span>")[0]
        assert badge.endswith(f">{word}"), (word, badge)


async def test_filters_are_in_the_address_and_stand_above_the_list(stage: Stage, owner: Browser) -> None:
    parked, fine = await put(stage, State.PARKED), await delivered(stage)
    page = (await owner.get("/console/recordings?status=parked")).text
    assert parked.sid in page
    assert fine.sid not in page
    assert "Status is Parked" in page
    assert fine.sid in (await owner.get("/console/recordings?from=2026-11-21&to=2026-11-21&length=short")).text
    assert fine.sid not in (await owner.get("/console/recordings?from=2026-11-22")).text
    assert fine.sid not in (await owner.get("/console/recordings?length=long")).text


@pytest.mark.parametrize("asked", ["RE", "CA", "number", "spaced"])
async def test_a_recording_is_found_by_its_sid_its_call_and_its_number(
    stage: Stage, owner: Browser, asked: str
) -> None:
    found = await delivered(stage, call_sid=CALL, from_number=FROM, to_number=TO)
    other = await delivered(stage)
    text = {"RE": found.sid, "CA": CALL, "number": "%2B441614960733", "spaced": "%2B44%2020%207946%200182"}[asked]
    page = (await owner.get(f"/console/recordings?q={text}")).text
    assert found.sid in page
    assert other.sid not in page


async def test_pages_go_by_key_and_back(stage: Stage, owner: Browser) -> None:
    made = [await put(stage, State.PARKED) for _ in range(27)]
    first = (await owner.get("/console/recordings?rows=25")).text
    assert first.count("<tr id=") == 25
    older = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    second = (await owner.get(older)).text
    assert second.count("<tr id=") == 2
    newer = second.partition('rel="prev"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await owner.get(newer)).text.count("<tr id=") == 25
    assert {sid for sid in (r.sid for r in made) if sid in first + second} == {r.sid for r in made}


@pytest.mark.parametrize(
    "query", ["from=yesterday", "to=2026-13-01", "after=1-RE", "after=9999999999999999999-RE", "rows=9999999",
              "status=%3Cscript%3E", "source=x", "q=%27%3B--", "q=%00", "before=%F0%9F%98%80"],
)  # fmt: skip
async def test_what_cannot_be_read_is_said_and_nothing_breaks(owner: Browser, stage: Stage, query: str) -> None:
    answer = await owner.get(f"/console/recordings?{query}")
    assert answer.status in (200, 400)
    assert "<script>" not in answer.text


async def test_another_accounts_sid_is_404(stage: Stage, stranger: Browser) -> None:
    recording = await delivered(stage)
    assert recording.sid not in (await stranger.get("/console/recordings")).text
    assert recording.sid not in (await stranger.get(f"/console/recordings/live?sid={recording.sid}")).text
    assert (await stranger.get(f"/console/recordings/{recording.sid}")).status == 404
    assert recording.sid not in (await stranger.get("/console/recordings.csv")).text


async def test_the_status_of_moving_rows_comes_by_itself(stage: Stage, owner: Browser) -> None:
    moving = await put(stage, State.UPLOADING)
    page = (await owner.get("/console/recordings")).text
    assert f"/console/recordings/live?sid={moving.sid}" in page
    await stage.parts.ledger.move(moving, State.PARKED)
    part = (await owner.get(f"/console/recordings/live?sid={moving.sid}", HX_Request="true")).text
    assert "Parked" in part
    assert "hx-get" not in part  # nothing moves any more, and nothing asks any more


async def test_an_ended_session_sends_the_poller_to_the_sign_in(stage: Stage, owner: Browser, clock: SetClock) -> None:
    clock.advance(3 * 3600)
    answer = await owner.get(
        "/console/recordings/live", HX_Request="true", HX_Current_URL=f"{owner.base}/console/recordings?status=held"
    )
    assert answer.headers["HX-Redirect"] == "/console/?next=/console/recordings%3Fstatus%3Dheld"


async def test_a_view_is_kept_and_removed(stage: Stage, owner: Browser, listener: Browser) -> None:
    await put(stage, State.PARKED)
    page = await owner.get("/console/recordings?status=parked")
    form = {"do": "save-view", "name": '"><script>alert(1)</script>'}
    assert (await owner.post("/console/recordings?status=parked", form, token=page.token)).status == 303
    page = await owner.get("/console/recordings")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert "alert(1)" not in (await listener.get("/console/recordings")).text
    view = page.text.partition('name="view" value="')[2].partition('"')[0]
    theirs = await listener.get("/console/recordings")
    await listener.post("/console/recordings", {"do": "remove-view", "view": view}, token=theirs.token)
    assert "alert(1)" in (await owner.get("/console/recordings")).text
    await owner.post("/console/recordings", {"do": "remove-view", "view": view}, token=page.token)
    assert "alert(1)" not in (await owner.get("/console/recordings")).text


async def test_a_view_needs_a_name_and_a_filter(owner: Browser, stage: Stage) -> None:
    token = (await owner.get("/console/recordings?status=parked")).token
    for path, name in (("?status=parked", ""), ("?status=parked", "x" * 41), ("", "fine")):
        answer = await owner.post(f"/console/recordings{path}", {"do": "save-view", "name": name}, token=token)
        assert answer.status == 400


async def test_the_export_has_every_match_and_no_formula(stage: Stage, owner: Browser) -> None:
    await delivered(stage, call_sid=CALL, from_number="=HYPERLINK(1)", to_number=TO)
    for cell in ("@x", "-1", "\tx"):
        await delivered(stage, call_sid=f"CA{len(cell):032x}", from_number=cell)
    await put(stage, State.PARKED)
    answer = await owner.get("/console/recordings.csv?status=bucket")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 4
    assert {row["status"] for row in rows} == {"In your bucket"}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert "'=HYPERLINK(1)" in answer.text


async def test_markup_in_what_others_named_is_shown_as_text(stage: Stage, owner: Browser) -> None:
    await delivered(stage, call_sid=CALL, from_number="<img src=x onerror=alert(1)>", to_number=TO)
    await put(stage, State.FATAL, last_error_code="<script>x</script>", last_error="<script>y</script>")
    page = (await owner.get("/console/recordings")).text
    assert "&lt;img src=x" in page
    assert "<img" not in page
    assert "<script>x" not in page


async def test_an_empty_list_says_what_next(owner: Browser) -> None:
    assert "No recordings yet" in (await owner.get("/console/recordings")).text
    assert "No recording matches" in (await owner.get("/console/recordings?q=%2B1555")).text
    assert "Nothing needs you" in (await owner.get("/console/recordings?status=held")).text
    assert "40 days" in (await owner.get("/console/recordings?status=deleted")).text


async def test_how_many_match_is_counted_apart(stage: Stage, owner: Browser) -> None:
    await put(stage, State.PARKED)
    await delivered(stage, body=a_wav(seconds=1))
    assert "1 recording matches" in (await owner.get("/console/recordings/count?status=parked")).text
    assert "2 recordings match" in (await owner.get("/console/recordings/count")).text


async def test_what_came_since_the_list_was_made_is_told_and_moves_nothing(stage: Stage, owner: Browser) -> None:
    asked = re.compile(r'hx-get="(/console/recordings/arrivals[^"]*)"')

    def poll(text: str) -> str:
        found = asked.search(text)
        assert found is not None, text[:2000]
        return found.group(1).replace("&amp;", "&")

    empty = await owner.get("/console/recordings")
    nothing = await owner.get(poll(empty.text), HX_Request="true")
    assert 'hx-select="#list"' not in nothing.text
    await delivered(stage)
    assert 'hx-trigger="load"' in (await owner.get(poll(empty.text), HX_Request="true")).text
    page = await owner.get("/console/recordings")
    assert "new recording" not in (await owner.get(poll(page.text), HX_Request="true")).text
    await delivered(stage)
    await delivered(stage)
    told = await owner.get(poll(page.text), HX_Request="true")
    assert "2 new recordings" in told.text
    assert poll(told.text) == poll(page.text), "it goes on asking from the same place"
    filtered = await owner.get("/console/recordings?status=parked")
    assert "new recording" not in (await owner.get(poll(filtered.text), HX_Request="true")).text
    assert (await owner.get("/console/recordings/arrivals?before=1-RE", HX_Request="true")).status == 400


async def test_another_accounts_arrivals_are_not_told(stage: Stage, stranger: Browser) -> None:
    await delivered(stage)
    told = await stranger.get("/console/recordings/arrivals", HX_Request="true")
    assert 'hx-trigger="load"' not in told.text


async def test_what_lies_in_the_bucket_is_saved_as_mp3_and_the_audit_knows(stage: Stage, owner: Browser) -> None:
    recording = await stage.carry_until_settled(await stage.take_in())
    here = f"/console/recordings/{recording.sid}"
    assert f"{here}/download?as=mp3" in (await owner.get(here)).text
    async with owner.session.get(f"{owner.base}{here}/download?as=mp3") as answer:
        body = await answer.read()
        assert (answer.status, answer.content_type, int(answer.headers["Content-Length"])) == (
            200,
            "audio/mpeg",
            len(body),
        )
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{recording.sid}.mp3"'
    assert body[:1] == b"\xff"
    assert "recording.downloaded" in (await owner.get("/console/audit")).text


async def test_what_is_encrypted_is_offered_as_it_is_and_not_as_mp3(stage: Stage, owner: Browser) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    recording = await stage.carry_until_settled(await stage.take_in())
    here = f"/console/recordings/{recording.sid}"
    page = await owner.get(here)
    assert ">Ciphertext</a>" in page.text
    assert "as=mp3" not in page.text
    assert (await owner.get(f"{here}/download?as=mp3")).status == 404
