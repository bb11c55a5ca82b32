"""The Console's video recordings: by room, with their words, and media by a URL that ends."""

from __future__ import annotations

from callreel.model.recording import State
from callreel.model.sid import mint_sid
from tests.console.conftest import Browser
from tests.video import MEDIA, Studio

PATH = "/console/video"


async def test_recordings_stand_under_their_room(studio: Studio, owner: Browser) -> None:
    assert "No video recordings yet" in (await owner.get(PATH)).text
    one, other = mint_sid("RM"), mint_sid("RM")
    first = await studio.carry_until_settled(await studio.spooled(room_sid=one))
    await studio.store_outside()
    studio.clock.advance(1)
    second = await studio.carry_until_settled(await studio.spooled(room_sid=other))
    studio.clock.advance(1)
    third = await studio.spooled(room_sid=other)
    page = (await owner.get(PATH)).text
    assert all(each.sid in page for each in (first, second, third))
    assert all(word in page for word in ("In your bucket", "Completed", "Uploading"))
    assert page.count('class="group"') == 2
    only = (await owner.get(f"{PATH}?room={one}")).text
    assert [each.sid in only for each in (first, second, third)] == [True, False, False]
    assert f"{PATH}/{first.sid}/media" in only
    assert f"{PATH}/{third.sid}/media" not in page
    nothing = (await owner.get(f"{PATH}?room=%3Cscript%3E")).text
    assert "No room is called &#39;&lt;script&gt;&#39;" in nothing
    assert "does not exist" in (await owner.get(f"{PATH}?after=1-RE1")).text


async def test_media_comes_by_a_url_that_ends(studio: Studio, owner: Browser, base: str) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    given = await owner.get(f"{PATH}/{recording.sid}/media")
    assert (given.status, given.where.startswith(f"{base}/callreel/media/")) == (303, True)
    async with owner.session.get(given.where) as answer:
        assert await answer.read() == MEDIA
    studio.clock.advance(601)
    async with owner.session.get(given.where) as answer:
        assert answer.status == 403
    assert (await owner.get(f"{PATH}/{(await studio.spooled()).sid}/media")).status == 404, "not done yet"
    assert "recording.downloaded" in (await owner.get("/console/audit")).text


async def test_media_in_the_bucket_comes_from_there(studio: Studio, owner: Browser) -> None:
    await studio.store_outside()
    recording = await studio.carry_until_settled(await studio.spooled())
    given = await owner.get(f"{PATH}/{recording.sid}/media")
    assert (given.status, given.where.startswith(studio.s3.url)) == (303, True)


async def test_another_accounts_sid_is_404(studio: Studio, owner: Browser, stranger: Browser) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    assert (await stranger.get(f"{PATH}/{recording.sid}/media")).status == 404
    assert recording.sid not in (await stranger.get(PATH)).text


async def test_a_listener_lists_and_downloads(studio: Studio, listener: Browser) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    assert recording.sid in (await listener.get(PATH)).text
    assert (await listener.get(f"{PATH}/{recording.sid}/media")).status == 303


async def test_one_recording_shows_its_facts_its_way_and_its_resource(studio: Studio, owner: Browser) -> None:
    await studio.store_outside()
    name = "<script>x</script> Lovelace"
    recording = await studio.carry_until_settled(await studio.spooled(participant_identity=name, track_name="camera"))
    here = f"{PATH}/{recording.sid}"
    assert f'href="{here}"' in (await owner.get(PATH)).text
    page = (await owner.get(here)).text
    assert "&lt;script&gt;x&lt;/script&gt; Lovelace in " in page
    assert "<script>x" not in page
    assert all(
        word in page for word in ("Video, VP8 in MKV", "1,500 ms", "Recording taken in", "Stored in your bucket")
    )
    assert f'<span class="s">&#34;{recording.sid}&#34;</span>' in page, "the API resource, coloured"
    assert f"/v1/Recordings/{recording.sid}/Media" in page
    assert f"{here}/media" in page
    assert "<b>stays</b>" in page


async def test_one_recording_is_deleted_after_the_typed_word(studio: Studio, owner: Browser) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    here = f"{PATH}/{recording.sid}"
    page = await owner.get(here)
    wrong = await owner.post(here, {"do": "delete", "confirm": "delete"}, token=page.token)
    assert (wrong.status, "Nothing was deleted" in wrong.text, 'value="delete"' in wrong.text) == (400, True, True)
    assert (await owner.post(here, {"do": "delete", "confirm": "delete 1"}, token="forged")).status == 403
    assert (await owner.post(here, {"do": "delete", "confirm": " Delete  1 "}, token=page.token)).status == 303
    gone = await owner.get(here)
    assert "The media was removed." in gone.text
    assert 'name="confirm"' not in gone.text
    again = await owner.post(here, {"do": "delete", "confirm": "delete 1"}, token=gone.token)
    assert again.status == 404, "a form sent twice deletes once"
    assert "recording.deleted" in (await owner.get("/console/audit")).text


async def test_one_that_is_parked_is_restarted_from_its_page(studio: Studio, owner: Browser) -> None:
    ledger = studio.parts.ledger
    recording = await studio.spooled()
    for state in (State.SEALED, State.UPLOADING, State.PARKED):
        recording = await ledger.move(recording, state)
    here = f"{PATH}/{recording.sid}"
    page = await owner.get(here)
    assert "This recording is parked." in page.text
    assert (await owner.post(here, {"do": "restart"}, token=page.token)).status == 303
    assert (await owner.post(here, {"do": "else"}, token=page.token)).status == 404
    assert (await ledger.recordings.fetch(studio.account_sid, recording.sid)).state is not State.PARKED


async def test_others_neither_see_nor_delete_one(studio: Studio, listener: Browser, stranger: Browser) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    here = f"{PATH}/{recording.sid}"
    seen = await listener.get(here)
    assert (seen.status, 'name="confirm"' in seen.text) == (200, False)
    form = {"do": "delete", "confirm": "delete 1"}
    assert (await listener.post(here, form, token=seen.token)).status == 403
    assert (await stranger.get(here)).status == 404
    assert (await stranger.post(here, form, token=(await stranger.get(PATH)).token)).status == 404
    assert (await stranger.get(f"{PATH}/{recording.sid[:-1]}")).status == 404
    assert f"/console/recordings/{recording.sid}" not in seen.text
    assert (await listener.get(f"/console/recordings/{recording.sid}")).status == 404
