"""The Console's deliveries: what waits and why, and what a restart does."""

from __future__ import annotations

import pytest

from callreel.model.recording import Recording, State
from tests.console.conftest import Browser, browsing
from tests.stage import Stage

PATH = "/console/deliveries"
WORDS = "AccessDenied: <script>alert(1)</script> says the bucket"


async def stuck(stage: Stage, state: State, **facts: object) -> Recording:
    uploading = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)
    stage.clock.advance(60)
    return await stage.parts.ledger.move(uploading, state, **facts)


async def held(stage: Stage) -> Recording:
    return await stuck(
        stage, State.FATAL, last_error_code="AccessDenied", last_error=WORDS, error_code=16112, attempts=2
    )


async def test_what_waits_stands_there_with_the_words_of_its_bucket(stage: Stage, owner: Browser) -> None:
    delivered = await stage.carry_until_settled(await stage.take_in())
    refused, parked = await held(stage), await stuck(stage, State.PARKED)
    waiting = await stuck(
        stage, State.WAITING, last_error_code="SlowDown", attempts=3, next_attempt_at=stage.clock.now()
    )
    page = (await owner.get(PATH)).text
    assert delivered.sid not in page
    assert all(each.sid in page for each in (refused, parked, waiting))
    assert "AccessDenied · 16112" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert f"next {waiting.next_attempt_at:%H:%M:%S}" in page
    assert f"deliveries/live?sid={waiting.sid}" in page
    for name, shown in (("held", refused), ("parked", parked), ("waiting", waiting)):
        tab = (await owner.get(f"{PATH}?status={name}")).text
        assert [each.sid in tab for each in (refused, parked, waiting)] == [
            each is shown for each in (refused, parked, waiting)
        ]
    assert "Everything is delivered" in (await owner.get(f"{PATH}?kind=video")).text


async def test_rows_change_where_they_stand(stage: Stage, owner: Browser) -> None:
    parked = await stuck(stage, State.PARKED)
    part = (await owner.get(f"{PATH}/live?sid={parked.sid}&sid=nonsense", hx_request="true")).text
    assert f'id="status-{parked.sid}" hx-swap-oob="true"' in part
    assert "<html" not in part


async def test_one_is_restarted_under_the_settings_as_they_are_now(stage: Stage, owner: Browser) -> None:
    refused, other = await held(stage), await held(stage)
    page = await owner.get(f"{PATH}?status=held")
    done = await owner.post(f"{PATH}?status=held", {"do": "restart", "sid": refused.sid}, token=page.token)
    assert (done.status, done.where) == (303, f"{PATH}?restarted=1&status=held")
    assert (await stage.look(refused)).state is State.SEALED
    assert (await stage.look(other)).state is State.FATAL
    assert "1 recording begins again" in (await owner.get(done.where)).text
    again = await owner.post(f"{PATH}?status=held", {"do": "restart", "sid": refused.sid}, token=page.token)
    assert "There was nothing to restart" in (await owner.get(again.where)).text
    assert "deliveries.restarted" in (await owner.get("/console/audit")).text


async def test_selected_ones_and_all_of_a_state_are_restarted(stage: Stage, owner: Browser) -> None:
    parked = [await stuck(stage, State.PARKED) for _ in range(4)]
    refused = await held(stage)
    page = await owner.get(f"{PATH}?status=parked")
    assert "Restart all parked (4)" in page.text
    chosen = [("do", "restart")] + [("sid", each.sid) for each in parked[:2]]
    assert (await owner.post(PATH, chosen, token=page.token)).where == f"{PATH}?restarted=2"
    done = await owner.post(f"{PATH}?status=parked", {"do": "restart-all"}, token=page.token)
    assert done.where == f"{PATH}?restarted=2&status=parked"
    assert {(await stage.look(each)).state for each in parked} == {State.SEALED}
    assert (await stage.look(refused)).state is State.FATAL


@pytest.mark.parametrize(
    "form", [{"do": "restart-all"}, {"do": "restart"}, {"do": "else"}, {"do": "restart", "sid": "RE1"}]
)
async def test_a_form_that_names_nothing_is_refused(stage: Stage, owner: Browser, form: dict[str, str]) -> None:
    await held(stage)
    page = await owner.get(PATH)
    assert (await owner.post(PATH, form, token=page.token)).status == 400


async def test_another_accounts_sid_is_404(stage: Stage, owner: Browser, stranger: Browser) -> None:
    refused = await held(stage)
    page = await stranger.get(PATH)
    assert refused.sid not in page.text
    assert refused.sid not in (await stranger.get(f"{PATH}/live?sid={refused.sid}")).text
    done = await stranger.post(PATH, {"do": "restart", "sid": refused.sid}, token=page.token)
    assert done.status == 404
    assert (await stage.look(refused)).state is State.FATAL


async def test_a_listener_sees_and_restarts_nothing(stage: Stage, base: str, listener: Browser) -> None:
    refused = await held(stage)
    page = await listener.get(f"{PATH}?status=held")
    assert page.status == 200
    assert refused.sid in page.text
    assert "restart-all" not in page.text
    assert (await listener.post(PATH, {"do": "restart", "sid": refused.sid}, token=page.token)).status == 403
    async with browsing(base) as nobody:
        assert (await nobody.get(PATH)).status == 303


async def test_a_forged_form_restarts_nothing(stage: Stage, owner: Browser) -> None:
    refused = await held(stage)
    assert (await owner.post(PATH, {"do": "restart", "sid": refused.sid}, token="forged")).status == 403
    assert (await stage.look(refused)).state is State.FATAL


async def test_a_page_that_is_none_is_said(stage: Stage, owner: Browser) -> None:
    await held(stage)
    assert "does not exist" in (await owner.get(f"{PATH}?after=9-RE1")).text
