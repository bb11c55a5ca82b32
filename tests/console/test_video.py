"""The Console's video recordings: by room, with their words, and media by a URL that ends."""

from __future__ import annotations

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
