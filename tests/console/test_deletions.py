"""Deleting in the Console: selected, frozen, looked at, confirmed with a typed word, watched, done."""

from __future__ import annotations

import re

import pytest

from callreel.clock import SetClock
from callreel.model.deed import Actor
from callreel.model.deletion import DeletionStatus
from callreel.model.recording import State
from callreel.outbound.mail import Mailer, read_smtp_url
from callreel.parts import Parts
from callreel.rehearsal.smtp_receiver import SmtpReceiver
from callreel.steps.delete_many import delete_many
from callreel.steps.hold import set_hold
from callreel.steps.send_receipt import send_receipt
from tests.console.conftest import Browser, Shown, six_standings
from tests.stage import Stage, a_wav

LIST = "/console/recordings"
PATH = "/console/deletions"


async def ask(person: Browser, sids: list[str], query: str = "", **more: str) -> Shown:
    page = await person.get(LIST)
    return await person.post(f"{PATH}{query}", [("sid", sid) for sid in sids] + list(more.items()), token=page.token)


async def kept(stage: Stage, count: int) -> list[str]:
    return [(await stage.carry_until_settled(await stage.take_in(a_wav(seed=n)))).sid for n in range(count)]


async def test_nothing_is_deleted_until_the_word_is_typed(owner: Browser, stage: Stage, parts: Parts) -> None:
    sids = await kept(stage, 3)
    asked = await ask(owner, sids[:2])
    assert asked.status == 303
    page = await owner.get(asked.where)
    assert "Delete 2 recordings?" in page.text
    assert "2 files <b>stay</b> in calls" in page.text
    wrong = await owner.post(asked.where, {"confirm": "delete"}, token=page.token)
    assert (wrong.status, "delete 2" in wrong.text) == (400, True)
    assert (await owner.get(PATH)).text.count(asked.where) == 0, "a question is no deletion"
    assert (await owner.post(asked.where, {"confirm": " Delete  2 "}, token=page.token)).status == 303
    running = await owner.get(asked.where)
    assert "hx-trigger" in running.text
    sid = asked.where.rsplit("/", 1)[1]
    await delete_many(sid, ledger=parts.ledger, clock=parts.clock)
    done = await owner.get(asked.where)
    assert ">2</span>" in done.text
    assert "of 2 deleted" in done.text
    states = [(await parts.ledger.recordings.fetch(stage.account_sid, sid)).state for sid in sids]  # type: ignore[arg-type]
    assert states == [State.DELETING, State.DELETING, State.RELEASED]
    again = await owner.post(asked.where, {"confirm": "delete 2"}, token=page.token)
    assert again.status == 400
    assert "bulk.deleted" in (await owner.get("/console/audit")).text


async def test_all_that_match_are_frozen_at_that_moment(owner: Browser, stage: Stage, parts: Parts) -> None:
    call = {"call_sid": "CA" + "c" * 32}
    for seed in range(3):
        await stage.carry_until_settled(await stage.take_in(a_wav(seed=seed), **call))
    await kept(stage, 1)
    asked = await ask(owner, [], f"?call=CA{'c' * 32}", all="1")
    page = await owner.get(asked.where)
    assert "Delete 3 recordings?" in page.text
    await stage.carry_until_settled(await stage.take_in(a_wav(seed=9), **call))
    await owner.post(asked.where, {"confirm": "delete 3"}, token=page.token)
    await delete_many(asked.where.rsplit("/", 1)[1], ledger=parts.ledger, clock=parts.clock)
    assert "of 3 deleted" in (await owner.get(asked.where)).text
    assert (await owner.get(f"{LIST}?call=CA{'c' * 32}&status=bucket")).text.count('id="row-') == 1


async def test_what_cannot_be_deleted_cannot_be_chosen_and_is_left_alone(
    owner: Browser, stage: Stage, parts: Parts, clock: SetClock
) -> None:
    words = await six_standings(stage, clock)
    (held,) = await kept(stage, 1)
    await set_hold(
        stage.account_sid, held, reason="a case", ledger=parts.ledger, buckets=parts.buckets, clock=clock,
        by=Actor("operator"),
    )  # fmt: skip
    page = await owner.get(LIST)
    for sid in (words["Uploading"], held):
        box = re.search(rf'<input class="c"[^>]*value="{sid}"[^>]*>', page.text)
        assert box is not None
        assert "disabled" in box.group(0)
    asked = await owner.get((await ask(owner, [words["Uploading"], held, words["In your bucket"]])).where)
    assert "Delete 1 recording?" in asked.text
    assert "only completed ones can be deleted" in asked.text
    assert "hold must be lifted first" in asked.text
    none = await owner.get((await ask(owner, [held])).where)
    assert "None of these can be deleted" in none.text
    assert 'name="confirm"' not in none.text


async def test_a_receipt_is_mailed_where_mail_is_set_up(
    owner: Browser, stage: Stage, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = await kept(stage, 1)
    without = await owner.get((await ask(owner, sids)).where)
    assert "receipt" not in without.text
    async with SmtpReceiver() as smtp:
        monkeypatch.setattr(parts, "mailer", Mailer(read_smtp_url(smtp.url)))
        asked = await ask(owner, sids)
        page = await owner.get(asked.where)
        bad = await owner.post(asked.where, {"confirm": "delete 1", "receipt": "a@b.c\nBcc: x"}, token=page.token)
        assert bad.status == 400
        form = {"confirm": "delete 1", "receipt": "compliance@acme.example"}
        assert (await owner.post(asked.where, form, token=page.token)).status == 303
        sid = asked.where.rsplit("/", 1)[1]
        await delete_many(sid, ledger=parts.ledger, clock=parts.clock)
        await send_receipt(
            sid,
            ledger=parts.ledger,
            mailer=parts.mailer,
            patience=parts.chosen.patience,
            clock=parts.clock,
            rng=parts.rng,
        )
        assert len(smtp.mails) == 1
    assert "It was sent" in (await owner.get(asked.where)).text


async def test_selecting_nothing_or_nonsense_is_said(owner: Browser, stage: Stage) -> None:
    assert (await ask(owner, [])).status == 400
    assert (await ask(owner, ["RE<script>"])).status == 400
    assert (await ask(owner, ["RE" + "0" * 32])).status == 404


async def test_another_accounts_sid_is_404(owner: Browser, stranger: Browser, stage: Stage, parts: Parts) -> None:
    sids = await kept(stage, 1)
    assert (await ask(stranger, sids)).status == 404
    asked = await ask(owner, sids)
    assert (await stranger.get(asked.where)).status == 404
    own = await stranger.get(LIST)
    assert (await stranger.post(asked.where, {"confirm": "delete 1"}, token=own.token)).status == 404
    found = await parts.ledger.deletions.fetch(stage.account_sid, asked.where.rsplit("/", 1)[1])
    assert found.status is DeletionStatus.DRY_RUN


async def test_a_listener_may_neither_select_nor_delete(listener: Browser, stage: Stage) -> None:
    sids = await kept(stage, 1)
    assert 'form="selecting"' not in (await listener.get(LIST)).text
    assert (await ask(listener, sids)).status == 403
