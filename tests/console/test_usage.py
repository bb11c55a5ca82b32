"""The Console's usage page: what is kept, what it costs, what a lifecycle rule would save."""

from __future__ import annotations

from tests.console.conftest import Browser
from tests.stage import Stage

PATH = "/console/usage"


async def test_what_is_kept_here_and_outside_is_told_apart(stage: Stage, owner: Browser) -> None:
    empty = (await owner.get(PATH)).text
    assert "$0.00" in empty
    for _ in range(2):
        await stage.carry_until_settled(await stage.take_in())
    await stage.choose(aws_storage_enabled=False)
    await stage.carry_until_settled(await stage.take_in())
    stage.clock.advance(61)
    page = (await owner.get(PATH)).text
    for place, count in (("Kept here", 1), ("In your bucket", 2)):
        assert f'<dt>{place}</dt><dd class="num">{count}</dd>' in page
    assert all(word in page for word in ("Glacier Deep Archive", "12 to 48 hours", "Up to 90 days", "Older"))


async def test_another_accounts_recordings_are_not_counted(stage: Stage, owner: Browser, stranger: Browser) -> None:
    await stage.carry_until_settled(await stage.take_in())
    assert '<dt>In your bucket</dt><dd class="num">0</dd>' in (await stranger.get(PATH)).text


async def test_a_listener_is_refused(listener: Browser) -> None:
    assert (await listener.get(PATH)).status == 403
