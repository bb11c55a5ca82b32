"""The numbers above the list and in the side bar: what they say, that no page waits for them, whose they are."""

from __future__ import annotations

import pytest

from callreel.clock import SetClock
from callreel.console.glances import NOTHING_SEEN, curve, look_of, percent
from callreel.model.recording import Recording, State
from tests.console.conftest import Browser
from tests.stage import Stage

LIST = "/console/recordings"
GLANCE = "/console/glance?on=recordings"


async def stuck(stage: Stage, state: State) -> Recording:
    uploading = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)
    return await stage.parts.ledger.move(
        uploading, state, last_error_code="SlowDown", **({"error_code": 16111} if state is State.FATAL else {})
    )


async def test_each_number_is_told_and_stands_on_the_pages_afterwards(
    stage: Stage, owner: Browser, clock: SetClock
) -> None:
    first = await owner.get(LIST)
    assert 'id="glance" hidden hx-get="/console/glance?on=recordings" hx-trigger="load, every 30s"' in first.text
    for _ in range(2):
        taken = await stage.take_in()
        clock.advance(3)
        await stage.carry_until_settled(taken)
    await stack_up(stage)
    clock.advance(7)
    told = (await owner.get(GLANCE, hx_request="true")).text
    assert '<span class="n" id="n-recordings" hx-swap-oob="true">5</span>' in told
    assert '<span class="n" id="n-credentials" hx-swap-oob="true">1</span>' in told
    assert '<span class="n alert" id="n-deliveries" hx-swap-oob="true">2</span>' in told
    assert "median 3.0 s after it came in" in told
    assert '<div class="v">40.00 <small>%</small></div>' in told, "two of five are stored"
    assert "Review and restart" in told
    assert '<span id="tab-held" hx-swap-oob="true" class="n">1</span>' in told
    assert 'id="t0"' not in (await owner.get("/console/glance?on=calls", hx_request="true")).text
    calls = (await owner.get("/console/calls")).text
    assert '<span class="n alert" id="n-deliveries">2</span>' in calls
    assert 'hx-trigger="every 30s"' in calls


async def stack_up(stage: Stage) -> None:
    await stuck(stage, State.PARKED)
    await stuck(stage, State.FATAL)
    await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)


async def test_the_buckets_box_follows_what_the_bucket_did_last(stage: Stage, owner: Browser, clock: SetClock) -> None:
    assert 'id="health" hx-swap-oob="true" hidden' in (await owner.get(GLANCE)).text, "nothing was written yet"
    await stage.carry_until_settled(await stage.take_in())
    clock.advance(12)
    told = (await owner.get(GLANCE)).text
    assert "Bucket reachable" in told
    assert "Last write 12 s ago" in told
    await stuck(stage, State.PARKED)
    clock.advance(30)
    told = (await owner.get(GLANCE)).text
    assert "Your bucket does not take it" in told
    assert "SlowDown, 30 s ago" in told


async def test_what_a_bucket_said_is_shown_as_text(stage: Stage, owner: Browser) -> None:
    uploading = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)
    await stage.parts.ledger.move(uploading, State.PARKED, last_error_code="<script>x</script>")
    told = (await owner.get(GLANCE)).text
    assert "&lt;script&gt;x&lt;/script&gt;" in told
    assert "<script>" not in told


async def test_another_accounts_numbers_are_not_told(stage: Stage, stranger: Browser) -> None:
    await stage.carry_until_settled(await stage.take_in())
    await stack_up(stage)
    told = (await stranger.get(GLANCE)).text
    assert '<span class="n" id="n-recordings" hx-swap-oob="true">0</span>' in told
    assert "Bucket reachable" not in told
    assert "Nothing waits for you" in told


async def test_a_listener_is_told_of_the_pages_they_may_open(stage: Stage, listener: Browser) -> None:
    told = (await listener.get(GLANCE)).text
    assert "n-recordings" in told
    assert "n-credentials" not in told
    assert "n-migration" not in told


async def test_what_was_seen_is_remembered_for_a_minute_and_no_longer(
    stage: Stage, owner: Browser, clock: SetClock
) -> None:
    glances = stage.parts.ledger.glances
    seen = await glances.of(stage.account_sid)
    clock.advance(9)
    assert await glances.of(stage.account_sid) is seen
    clock.advance(2)
    again = await glances.of(stage.account_sid)
    assert again is not seen
    clock.advance(61)
    assert glances.known(stage.account_sid) is None
    assert "load, every 30s" in (await owner.get(LIST)).text


@pytest.mark.parametrize(
    ("share", "words"), [(100.0, "100"), (99.9999, "99.99"), (0.0, "0.00"), (2 / 3 * 100, "66.66")]
)
def test_a_share_is_never_rounded_up_to_all(share: float, words: str) -> None:
    assert percent(share) == words


def test_a_curve_needs_something_to_show() -> None:
    assert (curve([]), curve([5]), curve([0, 0])) == ("", "", "")
    assert curve([0, 2, 1]) == "M0.0 28.0L42.0 2.0L84.0 15.0"
    assert look_of(None) is NOTHING_SEEN
    assert not NOTHING_SEEN.is_known
