"""The audit: append-only, in chains that show every row altered, dropped, moved or cut off."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from callreel.clock import SetClock
from callreel.errors import DatabaseAway
from callreel.ledger.audit import INSTALLATION, AuditFilter, AuditRow, write_deeds
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.ledger.paging import Place
from callreel.model.account import Account
from callreel.model.deed import CALLREEL, OPERATOR, Action, Actor, Deed, changes
from callreel.model.recording import State
from callreel.model.sid import AccountSid, mint_sid
from callreel.parts import Parts
from tests.conftest import psql
from tests.stage import Stage

ALL = AuditFilter()
ANN = Actor("US" + "a" * 32, "192.0.2.7", "RQ" + "1" * 32)


@pytest.fixture
def sid() -> AccountSid:
    return AccountSid(mint_sid("AC"))


async def rows_of(parts: Parts, account_sid: AccountSid | None, wanted: AuditFilter = ALL) -> list[AuditRow]:
    return list((await parts.ledger.audit.page(account_sid, wanted, place=None, size=1000)).rows)


async def write_some(parts: Parts, account_sid: AccountSid | None, count: int = 5) -> None:
    for i in range(count):
        await parts.ledger.audit.write(ANN.deed(Action.HOLD_SET, account_sid, f"RE{i:032x}", nth=i))


async def tamper(parts: Parts, *statements: str) -> None:
    """What somebody does who owns the database: the trigger is off."""
    async with parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            await transaction.execute(text(statement))


async def test_a_deed_is_read_as_it_was_written(parts: Parts, clock: SetClock, sid: AccountSid) -> None:
    details = {"name": changes({"name": "ä\x00", "same": 1}, {"name": "b", "same": 1}), "n": [1, 2.5, None, True]}
    await parts.ledger.audit.write(ANN.deed(Action.SETTINGS_CHANGED, sid, "CR" + "0" * 32, **details))
    [row] = await rows_of(parts, sid)
    assert (row.actor, row.address, row.request_id) == (ANN.name, ANN.address, ANN.request_id)
    assert (row.action, row.subject, row.date_created) == ("settings.changed", "CR" + "0" * 32, clock.now())
    assert row.details == details
    assert row.number == 1
    assert row.sid.startswith("AU")
    assert await parts.ledger.audit.find_broken() == []


async def test_a_deed_of_no_account_is_in_the_installations_own_chain(parts: Parts, sid: AccountSid) -> None:
    await parts.ledger.audit.write(OPERATOR.deed(Action.MASTER_KEY_ROTATED, None))
    await parts.ledger.audit.write(OPERATOR.deed(Action.TOKEN_ROTATED, sid, sid))
    assert [row.action for row in await rows_of(parts, None)] == ["master-key.rotated"]
    assert [row.action for row in await rows_of(parts, sid)] == ["token.rotated"]
    assert {head.chain for head in await parts.ledger.audit.heads()} >= {INSTALLATION, sid}


async def test_text_that_no_database_takes_does_not_cost_the_row(parts: Parts, sid: AccountSid) -> None:
    await parts.ledger.audit.write(Actor("US\x00\ud800" + "x" * 500).deed(Action.HOLD_SET, sid, "\x00", why="\ud800"))
    [row] = await rows_of(parts, sid)
    assert row.subject == "\\x00"
    assert await parts.ledger.audit.find_broken() == []


async def test_concurrent_writers_of_one_account_take_consecutive_numbers(parts: Parts, sid: AccountSid) -> None:
    async def in_a_transaction_of_its_own(i: int) -> None:
        deeds = [CALLREEL.deed(Action.HOLD_SET, of, nth=i) for of in (sid, None, other)]
        async with parts.ledger.engine.begin() as transaction:
            await write_deeds(transaction, deeds if i % 2 else deeds[::-1], now=parts.clock.now())

    other = AccountSid(mint_sid("AC"))
    await asyncio.gather(
        *(in_a_transaction_of_its_own(i) for i in range(30)),
        *(parts.ledger.audit.write(CALLREEL.deed(Action.HOLD_LIFTED, sid, nth=i)) for i in range(30)),
    )
    assert sorted(row.number for row in await rows_of(parts, sid)) == list(range(1, 61))
    assert sorted(row.number for row in await rows_of(parts, None)) == list(range(1, 31))
    assert await parts.ledger.audit.find_broken() == []


async def test_a_transaction_that_fails_leaves_no_row_and_no_gap(parts: Parts, sid: AccountSid) -> None:
    await write_some(parts, sid, 2)
    async with parts.ledger.engine.begin() as transaction:
        await write_deeds(transaction, [CALLREEL.deed(Action.HOLD_SET, sid)], now=parts.clock.now())
        await transaction.rollback()
    await write_some(parts, sid, 1)
    assert [row.number for row in await rows_of(parts, sid)] == [3, 2, 1]
    assert await parts.ledger.audit.find_broken() == []


async def test_a_move_and_its_deed_are_one_transaction(stage: Stage) -> None:
    delivered = await stage.carry_until_settled(await stage.take_in())
    deed = ANN.deed(Action.RECORDING_DELETED, stage.account_sid, delivered.sid)
    await stage.parts.ledger.move(delivered, State.DELETING, deed=deed)
    wanted = AuditFilter(subject=delivered.sid)
    assert [row.action for row in await rows_of(stage.parts, stage.account_sid, wanted)] == ["recording.deleted"]
    with pytest.raises(Exception, match=delivered.sid):  # outrun: nothing moved, so nothing was done
        await stage.parts.ledger.move(delivered, State.DELETING, deed=deed)
    assert len(await rows_of(stage.parts, stage.account_sid, wanted)) == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit WHERE false"],
)
async def test_the_database_refuses_to_change_what_was_written(parts: Parts, sid: AccountSid, statement: str) -> None:
    await write_some(parts, sid)
    with pytest.raises(DBAPIError, match="append-only"):
        async with parts.ledger.engine.begin() as transaction:
            await transaction.execute(text(statement))
    assert len(await rows_of(parts, sid)) == 5


COLUMNS = {
    "sid": "'AUx'",
    "account_sid": "NULL",
    "date_created": "date_created + interval '1 microsecond'",
    "actor": "'US0'",
    "address": "NULL",
    "request_id": "'RQ'",
    "action": "'hold.lifted'",
    "subject": "'RE'",
    "details": "'{}'",
    "hash": "sha256('x')",
}


async def test_any_column_altered_in_any_row_is_found(parts: Parts) -> None:
    for column, value in COLUMNS.items():
        for number in (1, 3, 5):
            sid = AccountSid(mint_sid("AC"))
            await write_some(parts, sid)
            await tamper(parts, f"UPDATE audit SET {column} = {value} WHERE number = {number} AND chain = '{sid}'")
            [fault] = await parts.ledger.audit.find_broken(sid)
            assert (fault.chain, fault.number) == (sid, number), column


TAMPERINGS = [
    ["DELETE FROM audit WHERE number = 1"],
    ["DELETE FROM audit WHERE number = 3"],
    ["DELETE FROM audit WHERE number = 5"],
    ["DELETE FROM audit WHERE number > 3", "UPDATE audit_heads SET number = 3"],
    ["DELETE FROM audit"],
    ["DELETE FROM audit_heads"],
    ["UPDATE audit_heads SET hash = sha256('x')"],
    ["UPDATE audit_heads SET number = 4"],
    ["DELETE FROM audit WHERE number = 3", "UPDATE audit SET number = number - 1 WHERE number > 3"],
    [
        "UPDATE audit SET number = 103 WHERE number = 3",
        "UPDATE audit SET number = 3 WHERE number = 4",
        "UPDATE audit SET number = 4 WHERE number = 103",
    ],
    [
        "INSERT INTO audit SELECT chain, 6, sid, account_sid, date_created, actor, address, request_id, action, "
        "subject, details, hash FROM audit WHERE number = 5"
    ],
]


async def test_rows_dropped_moved_added_or_cut_off_are_found(parts: Parts) -> None:
    for statements in TAMPERINGS:
        sid = AccountSid(mint_sid("AC"))
        await write_some(parts, sid)
        await tamper(parts, *(f"{s} {'AND' if ' WHERE ' in s else 'WHERE'} chain = '{sid}'" for s in statements))
        assert [fault.chain for fault in await parts.ledger.audit.find_broken(sid)] == [sid], statements


async def test_a_chain_computed_anew_is_found_by_an_end_kept_elsewhere(parts: Parts, sid: AccountSid) -> None:
    await write_some(parts, sid)
    [head] = await parts.ledger.audit.heads(sid)
    kept = {sid: (head.number, head.hash)}
    await write_some(parts, sid, 2)
    assert await parts.ledger.audit.find_broken(known=kept) == []
    await tamper(parts, "DELETE FROM audit", "DELETE FROM audit_heads")
    await write_some(parts, sid, 9)
    assert await parts.ledger.audit.find_broken() == []
    assert [fault.number for fault in await parts.ledger.audit.find_broken(known=kept)] == [5]
    await tamper(parts, "DELETE FROM audit", "DELETE FROM audit_heads")
    assert len(await parts.ledger.audit.find_broken(known=kept)) == 1


async def test_an_account_sees_its_own_rows_alone(parts: Parts, sid: AccountSid) -> None:
    other = AccountSid(mint_sid("AC"))
    await write_some(parts, sid)
    await write_some(parts, other, 2)
    await write_some(parts, None, 3)
    assert {row.account_sid for row in await rows_of(parts, sid)} == {sid}
    assert len(await rows_of(parts, sid)) == 5


async def test_rows_are_filtered_and_paged_in_the_order_of_the_chain(
    parts: Parts, clock: SetClock, sid: AccountSid
) -> None:
    await write_some(parts, sid)  # all in the same instant
    begun = clock.now()
    clock.advance(60)
    await parts.ledger.audit.write(OPERATOR.deed(Action.HOLD_LIFTED, sid, "RE" + "f" * 32))
    audit = parts.ledger.audit
    assert [row.number for row in await rows_of(parts, sid, AuditFilter(action="hold.lifted"))] == [6]
    assert [row.number for row in await rows_of(parts, sid, AuditFilter(subject="RE" + "f" * 32))] == [6]
    assert [row.number for row in await rows_of(parts, sid, AuditFilter(actor="operator"))] == [6]
    assert len(await rows_of(parts, sid, AuditFilter(created_before=clock.now()))) == 5
    assert len(await rows_of(parts, sid, AuditFilter(created_from=clock.now()))) == 1
    assert len(await rows_of(parts, sid, AuditFilter(created_from=begun))) == 6
    first = await audit.page(sid, ALL, place=None, size=4)
    last = first.rows[-1]
    second = await audit.page(sid, ALL, place=Place(last.date_created, last.sid), size=4)
    assert [row.number for row in (*first.rows, *second.rows)] == [6, 5, 4, 3, 2, 1]
    assert [row.number async for row in audit.read_chain(sid)] == [1, 2, 3, 4, 5, 6]


async def test_one_play_is_one_row_however_many_ranges_it_takes(parts: Parts, clock: SetClock, sid: AccountSid) -> None:
    audit, played = parts.ledger.audit, ANN.deed(Action.RECORDING_LISTENED, sid, "RE" + "1" * 32)
    await asyncio.gather(*(audit.write_once(played) for _ in range(100)))
    clock.advance(600)
    await audit.write_once(played)
    assert len(await rows_of(parts, sid)) == 1
    clock.advance(301)
    await audit.write_once(played)
    assert len(await rows_of(parts, sid)) == 2
    await audit.write_once(Actor(ANN.name, "192.0.2.8").deed(Action.RECORDING_LISTENED, sid, "RE" + "1" * 32))
    await audit.write_once(Actor("AC" + "1" * 32).deed(Action.RECORDING_LISTENED, sid, "RE" + "1" * 32))
    await audit.write_once(ANN.deed(Action.RECORDING_LISTENED, sid, "RE" + "2" * 32))
    assert len(await rows_of(parts, sid)) == 5


async def test_a_play_that_could_not_be_written_is_not_remembered_as_written(
    parts: Parts, postgres: EmbeddedPostgres, sid: AccountSid
) -> None:
    played = ANN.deed(Action.RECORDING_LISTENED, sid, "RE" + "1" * 32)
    name = parts.ledger.engine.url.database
    psql(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    psql(postgres, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
    outcomes = await asyncio.gather(*(parts.ledger.audit.write_once(played) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, DatabaseAway) for outcome in outcomes), outcomes
    psql(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await parts.ledger.audit.write_once(played)
    assert len(await rows_of(parts, sid)) == 1


def test_every_action_is_dotted_words() -> None:
    for action in Action:
        thing, dot, verb = action.partition(".")
        assert dot
        assert all(part and part == part.lower() and part.replace("-", "").isalpha() for part in (thing, verb))


def test_a_deed_holds_plain_json(account: tuple[Account, str]) -> None:
    made: Any = Deed(account_sid=None, actor="operator", action=Action.HOLD_SET, details={"a": 1})
    assert json.dumps(dict(made.details)) == '{"a": 1}'
