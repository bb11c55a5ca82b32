"""BulkDelete: what matched when it was asked for is deleted, that and nothing else, whatever dies in between."""

from __future__ import annotations

from typing import Any

import pytest

from callreel.clock import SetClock
from callreel.outbound.mail import Mailer, read_smtp_url
from callreel.parts import Parts
from callreel.rehearsal.smtp_receiver import SmtpReceiver
from callreel.steps import delete_many as step
from callreel.steps.delete_many import delete_many
from callreel.steps.send_receipt import send_receipt
from tests.web.conftest import CALL, UNKNOWN, WAV, Caller, Record


async def bulk(caller: Caller, form: Any, **headers: str) -> dict[str, Any]:
    answer = await caller.post(f"{caller.own_path}/Recordings/BulkDelete", form, headers=headers)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json()
    return made


async def worked_off(caller: Caller, sid: str, parts: Parts) -> dict[str, Any]:
    await delete_many(sid, ledger=parts.ledger, clock=parts.clock)
    found: dict[str, Any] = (await caller.get(f"{caller.own_path}/Recordings/BulkDelete/{sid}")).json()
    return found


async def listed(caller: Caller) -> set[str]:
    rows = (await caller.get(f"{caller.account_path}/Recordings.json")).json()["recordings"]
    return {row["sid"] for row in rows}


async def test_a_list_of_sids_is_deleted_and_nothing_else(acme: Caller, recorded: Record, parts: Parts) -> None:
    sids = [(await recorded())["sid"] for _ in range(3)]
    made = await bulk(acme, [("RecordingSid", sids[0]), ("RecordingSid", sids[1]), ("RecordingSid", sids[0])])
    assert (made["status"], made["matched"], made["deleted"], made["failed"]) == ("running", 2, 0, 0)
    done = await worked_off(acme, made["sid"], parts)
    assert (done["status"], done["matched"], done["deleted"], done["failed"]) == ("completed", 2, 2, 0)
    assert done["date_completed"]
    assert await listed(acme) == {sids[2]}
    rows = (await acme.get(f"{acme.own_path}/Recordings/BulkDelete")).json()["deletions"]
    assert [row["sid"] for row in rows] == [made["sid"]]


async def test_what_matches_later_is_not_deleted(acme: Caller, recorded: Record, parts: Parts) -> None:
    await recorded(query=f"?CallSid={CALL}")
    made = await bulk(acme, {"CallSid": CALL})
    later = (await recorded(query=f"?CallSid={CALL}"))["sid"]
    assert (await worked_off(acme, made["sid"], parts))["deleted"] == 1
    assert await listed(acme) == {later}


async def test_a_dry_run_deletes_nothing_until_it_is_confirmed_and_then_what_it_counted(
    acme: Caller, recorded: Record, parts: Parts
) -> None:
    sid = (await recorded())["sid"]
    made = await bulk(acme, {"All": "true", "DryRun": "true"})
    assert (made["status"], made["matched"]) == ("dry-run", 1)
    assert (await worked_off(acme, made["sid"], parts))["status"] == "dry-run"
    later = (await recorded())["sid"]
    assert await listed(acme) == {sid, later}
    path = f"{acme.own_path}/Recordings/BulkDelete/{made['sid']}"
    for _ in range(2):
        assert (await acme.post(path, {"Status": "running"})).json()["status"] == "running"
    assert (await worked_off(acme, made["sid"], parts))["deleted"] == 1
    assert await listed(acme) == {later}
    assert (await acme.post(path, {"Status": "running"})).status == 409


async def test_a_dry_run_is_forgotten_after_a_day(
    acme: Caller, recorded: Record, parts: Parts, clock: SetClock
) -> None:
    await recorded()
    made = await bulk(acme, {"All": "true", "DryRun": "true"})
    clock.advance(86_401)
    assert await parts.ledger.deletions.drop_drafts(clock.now()) == 1
    assert (await acme.get(f"{acme.own_path}/Recordings/BulkDelete/{made['sid']}")).status == 404


async def test_each_one_that_stays_has_its_reason(acme: Caller, recorded: Record, parts: Parts) -> None:
    held, gone, whole = [(await recorded())["sid"] for _ in range(3)]
    late = (await acme.upload()).json()["sid"]
    form = {"Status": "on", "Reason": "case 7"}
    assert (await acme.post(f"{acme.own_path}/Recordings/{held}/LegalHold", form)).status == 200
    made = await bulk(acme, [("RecordingSid", sid) for sid in (held, gone, whole, late)])
    assert (await acme.delete(f"{acme.account_path}/Recordings/{gone}.json")).status == 204
    done = await worked_off(acme, made["sid"], parts)
    assert (done["deleted"], done["failed"]) == (1, 3)
    reasons = {failure["sid"]: failure["reason"] for failure in done["failures"]}
    assert set(reasons) == {held, gone, late}
    assert "legal hold" in reasons[held]
    assert "case 7" in reasons[held]
    assert "before" in reasons[gone]
    assert "before it is complete" in reasons[late]
    assert whole not in await listed(acme)


async def test_killed_at_any_point_it_goes_on_and_counts_each_once(
    acme: Caller, recorded: Record, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = {(await recorded())["sid"] for _ in range(5)}
    made = await bulk(acme, {"All": "true"})
    monkeypatch.setattr(step, "BATCH", 2)
    record = parts.ledger.deletions.record

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    for survives in range(4):
        left = survives % 2

        async def recording_some(sid: str, outcomes: dict[int, str | None], left: int = left) -> None:
            if left:
                await record(sid, outcomes)
            await die()

        monkeypatch.setattr(parts.ledger.deletions, "record", recording_some)
        with pytest.raises(KeyboardInterrupt):
            await delete_many(made["sid"], ledger=parts.ledger, clock=parts.clock)
    monkeypatch.setattr(parts.ledger.deletions, "record", record)
    done = await worked_off(acme, made["sid"], parts)
    assert (done["status"], done["matched"], done["deleted"], done["failed"]) == ("completed", 5, 5, 0)
    assert not sids & await listed(acme)


async def test_a_long_one_takes_turns(acme: Caller, recorded: Record, parts: Parts, monkeypatch: Any) -> None:
    for _ in range(3):
        await recorded()
    made = await bulk(acme, {"All": "true"})
    monkeypatch.setattr(step, "BATCH", 1)
    monkeypatch.setattr(step, "TURN_S", -1.0)
    turns = [await delete_many(made["sid"], ledger=parts.ledger, clock=parts.clock) for _ in range(4)]
    assert turns == [False, False, False, True]


async def test_an_idempotency_key_asks_once(acme: Caller, recorded: Record) -> None:
    await recorded()
    first = await bulk(acme, {"All": "true"}, **{"Idempotency-Key": "k"})
    assert (await bulk(acme, {"All": "true"}, **{"Idempotency-Key": "k"}))["sid"] == first["sid"]
    path = f"{acme.own_path}/Recordings/BulkDelete"
    answer = await acme.post(path, {"CallSid": CALL}, headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.json()["code"]) == (409, 20409)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"All": "false"},
        {"All": "maybe"},
        {"RecordingSid": "RE1"},
        {"CallSid": "RE" + "0" * 32},
        {"DateCreated": "yesterday"},
        {"All": "true", "DryRun": "perhaps"},
        {"All": "true", "ReceiptEmail": "somebody"},
        {"All": "true", "ReceiptEmail": "a@example.org\r\nBcc: b@example.org"},
        {"All": "true", "ReceiptEmail": "a@example.org, b@example.org"},
        {"All": "true", "ReceiptEmail": "fine@example.org"},  # no mail server is set
        [("RecordingSid", f"RE{number:032x}") for number in range(901)],
    ],
)
async def test_what_cannot_be_meant_is_400_and_deletes_nothing(acme: Caller, recorded: Record, form: Any) -> None:
    sid = (await recorded())["sid"]
    answer = await acme.post(f"{acme.own_path}/Recordings/BulkDelete", form)
    assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert await listed(acme) == {sid}


async def test_a_receipt_is_sent_once_and_the_address_forgotten(acme: Caller, recorded: Record, parts: Parts) -> None:
    await recorded()
    async with SmtpReceiver() as post:
        parts.mailer = Mailer(read_smtp_url(post.url))
        made = await bulk(acme, {"All": "true", "ReceiptEmail": "compliance@example.org"})
        assert (await worked_off(acme, made["sid"], parts))["receipt"] == "due"
        for _ in range(2):
            await send(made["sid"], parts)
        (mail,) = post.mails
    assert mail.recipients == ["<compliance@example.org>"]
    assert mail.message["Message-ID"] == f"<receipt.{made['sid']}@example.org>"
    assert mail.message["To"] == "compliance@example.org"
    assert "Deleted: 1\n" in mail.message.get_content().replace("\r\n", "\n")  # type: ignore[attr-defined]
    path = f"{acme.own_path}/Recordings/BulkDelete/{made['sid']}"
    assert (await acme.get(path)).json()["receipt"] == "sent"
    kept = await parts.ledger.deletions.find_for_work(made["sid"])
    assert kept is not None
    assert kept.receipt_email is None


async def test_a_receipt_that_is_refused_is_tried_again_and_given_up_after_the_window(
    acme: Caller, recorded: Record, parts: Parts, clock: SetClock
) -> None:
    await recorded()
    async with SmtpReceiver(refusals=["451 later"] * 1000) as post:
        parts.mailer = Mailer(read_smtp_url(post.url))
        made = await bulk(acme, {"All": "true", "ReceiptEmail": "compliance@example.org"})
        await worked_off(acme, made["sid"], parts)
        await send(made["sid"], parts)
        path = f"{acme.own_path}/Recordings/BulkDelete/{made['sid']}"
        told = (await acme.get(path)).json()
        assert (told["receipt"], "451 later" in told["receipt_error"]) == ("due", True)
        clock.advance(7300)
        await send(made["sid"], parts)
    assert (await acme.get(path)).json()["receipt"] == "failed"
    assert post.mails == []


async def send(sid: str, parts: Parts) -> None:
    await send_receipt(
        sid,
        ledger=parts.ledger,
        mailer=parts.mailer,
        patience=parts.chosen.patience,
        clock=parts.clock,
        rng=parts.rng,
    )


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller, recorded: Record) -> None:
    sid = (await recorded())["sid"]
    made = await bulk(acme, {"All": "true", "DryRun": "true"})
    path = f"{stranger.own_path}/Recordings/BulkDelete"
    for foreign in (sid, f"RE{UNKNOWN}"):
        answer = await stranger.post(path, {"RecordingSid": foreign})
        assert (answer.status, answer.json()["code"]) == (404, 20404)
    for own in (acme.own_path, stranger.own_path):
        for method, form in (("GET", None), ("POST", {"Status": "running"})):
            foreign = await stranger.send(method, f"{own}/Recordings/BulkDelete/{made['sid']}", data=form)
            missing = await stranger.send(method, f"{own}/Recordings/BulkDelete/BD{UNKNOWN}", data=form)
            assert foreign.status == missing.status == 404
        assert (await stranger.get(f"{acme.own_path}/Recordings/BulkDelete")).status == 404
    assert (await stranger.get(path)).json()["deletions"] == []
    assert await listed(acme) == {sid}


# --- Legal hold ------------------------------------------------------------------------------------------------------


async def test_a_held_recording_is_not_deleted_until_the_hold_is_lifted(acme: Caller, recorded: Record) -> None:
    sid = (await recorded())["sid"]
    path = f"{acme.own_path}/Recordings/{sid}"
    held = (await acme.post(f"{path}/LegalHold", {"Status": "on", "Reason": "case 7"})).json()
    assert (held["legal_hold"], held["legal_hold_reason"], held["legal_hold_by"]) == (True, "case 7", acme.sid)
    assert (await acme.get(path)).json() == held
    refused = await acme.delete(f"{acme.account_path}/Recordings/{sid}.json")
    assert (refused.status, refused.json()["code"]) == (409, 20409)
    assert "case 7" in refused.json()["message"]
    assert [
        row["sid"] for row in (await acme.get(f"{acme.own_path}/Recordings?LegalHold=true")).json()["recordings"]
    ] == [sid]
    assert (await acme.get(f"{acme.own_path}/Recordings?LegalHold=false")).json()["recordings"] == []
    free = (await acme.post(f"{path}/LegalHold", {"Status": "off", "Reason": "settled"})).json()
    assert (free["legal_hold"], free["legal_hold_reason"]) == (False, None)
    assert (await acme.delete(f"{acme.account_path}/Recordings/{sid}.json")).status == 204
    assert (await acme.post(f"{path}/LegalHold", {"Status": "on", "Reason": "late"})).status == 409


@pytest.mark.parametrize(
    "form", [{}, {"Status": "on"}, {"Reason": "x"}, {"Status": "up", "Reason": "x"}, {"Status": "on", "Reason": "a\nb"}]
)
async def test_a_hold_without_a_reason_is_400(acme: Caller, recorded: Record, form: dict[str, str]) -> None:
    sid = (await recorded())["sid"]
    answer = await acme.post(f"{acme.own_path}/Recordings/{sid}/LegalHold", form)
    assert (answer.status, answer.json()["code"]) == (400, 20001)
    assert (await acme.get(f"{acme.own_path}/Recordings/{sid}")).json()["legal_hold"] is False


async def test_another_accounts_recording_cannot_be_held_or_seen(
    acme: Caller, stranger: Caller, recorded: Record
) -> None:
    sid = (await recorded())["sid"]
    for own in (acme.own_path, stranger.own_path):
        assert (await stranger.get(f"{own}/Recordings/{sid}")).status == 404
        form = {"Status": "on", "Reason": "mine"}
        assert (await stranger.post(f"{own}/Recordings/{sid}/LegalHold", form)).status == 404
    assert (await stranger.get(f"{acme.own_path}/Recordings")).status == 404
    assert (await stranger.get(f"{stranger.own_path}/Recordings")).json()["recordings"] == []


async def test_the_own_view_says_where_the_object_is_and_that_the_call_log_is_gone(
    acme: Caller, recorded: Record
) -> None:
    sid = (await recorded(WAV, f"?CallSid={CALL}"))["sid"]
    seen = (await acme.get(f"{acme.own_path}/Recordings/{sid}")).json()
    assert (seen["state"], seen["is_external"], seen["call_log_deleted"]) == ("released", False, False)
    await acme.delete(f"{acme.account_path}/Calls/{CALL}.json")
    assert (await acme.get(f"{acme.own_path}/Recordings/{sid}")).json()["call_log_deleted"] is True
