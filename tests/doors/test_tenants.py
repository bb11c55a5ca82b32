"""Nobody reaches another account's rows: by the code of the queries, and by every route with every wrong credential.

`python -m pytest tests/doors/test_tenants.py -k every_route -s` prints the figure.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Column, Text, text

from callreel.clock import SetClock
from callreel.ledger.tables import metadata
from callreel.model.person import Role
from callreel.parts import Parts
from tests.console.conftest import Browser, admit
from tests.doors.routes import Door, doors_of, unknown_sids
from tests.web.conftest import CALL, Answer, Caller, Carry, open_one
from tests.web.installed import one_of_everything

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import check_scopes

# --- By the code -----------------------------------------------------------------------------------------------------

GOOD = """
async def find(self, account_sid, sid):
    query = select(recordings).where(recordings.c.sid == sid, recordings.c.account_sid == account_sid)
"""
BAD = {
    "no account at all": "def find(self, sid):\n    return select(recordings).where(recordings.c.sid == sid)",
    "by an alias": "def find(self, sid):\n    c = recordings.c\n    return select(c.state).where(c.sid == sid)",
    "of the module": "_ALL = select(recordings)",
    "a change": "def f(self, sid):\n    return update(credentials).where(credentials.c.sid == sid)",
    "a deletion": "def f(self, sid):\n    return delete(api_keys).where(api_keys.c.sid == sid)",
    "two queries and one account": GOOD + "    other = select(calls).where(calls.c.sid == sid)",
    "an account of another table": (
        "def f(self, sid):\n    return select(calls).join(recordings, recordings.c.account_sid == calls.c.account_sid)"
    ),
    "only read, not asked for": "def f(self, sid):\n    return select(recordings.c.account_sid)",
    "as text": "def f(self):\n    return text('SELECT * FROM recordings')",
    "inside another": "def f(self):\n    async def inner():\n        return select(outbox)\n    return inner",
}


def test_a_query_with_its_account_passes_the_lint() -> None:
    assert list(check_scopes.unscoped(ast.parse(GOOD), "x")) == []


@pytest.mark.parametrize("source", BAD.values(), ids=list(BAD))
def test_a_query_without_its_account_does_not(source: str) -> None:
    [(place, line, what)] = list(check_scopes.unscoped(ast.parse(source), "x"))[:1]
    assert place.startswith("x.")
    assert line
    assert what


def test_the_lint_finds_a_deliberately_broken_copy(tmp_path: Path) -> None:
    broken = 0
    for path in (
        check_scopes.LEDGER / f"{name}.py" for name in ("recordings", "credentials", "rooms", "alerts", "accounts")
    ):
        source = path.read_text()
        copy = tmp_path / path.name
        lines = source.splitlines(keepends=True)
        for place, unit in check_scopes._units(ast.parse(source), path.stem):
            assert isinstance(unit, (ast.stmt, ast.expr))
            start, stop = unit.lineno - 1, unit.end_lineno
            without = re.sub(r"\w+(\.c)?\.account_sid == account_sid", "true()", "".join(lines[start:stop]))
            may = {place, place.rpartition(".")[0]} & set(check_scopes.ALL_ACCOUNTS)
            if without != "".join(lines[start:stop]) and not may and re.search(r"\b(select|update|delete)\(", without):
                copy.write_text("".join(lines[:start]) + without + "".join(lines[stop:]))
                assert check_scopes.ledger_faults(tmp_path, check_scopes.ALL_ACCOUNTS), place
                broken += 1
        copy.unlink(missing_ok=True)
    assert broken > 12


def test_every_query_of_the_ledger_names_its_account() -> None:
    assert check_scopes.ledger_faults(check_scopes.LEDGER, check_scopes.ALL_ACCOUNTS) == []
    assert list(check_scopes.table_faults(metadata.tables)) == []
    assert list(check_scopes.door_faults(check_scopes.DOORS, check_scopes.ALL_ACCOUNTS)) == []
    assert all(check_scopes.ALL_ACCOUNTS.values())


def test_a_door_may_not_call_what_sees_all_accounts(tmp_path: Path) -> None:
    (tmp_path / "door.py").write_text("await parts.ledger.recordings.find_all_for_recovery([sid])")
    assert list(check_scopes.door_faults([tmp_path], check_scopes.ALL_ACCOUNTS))


# --- By every route --------------------------------------------------------------------------------------------------

OPEN = {"/", "/healthz", "/readyz", "/metrics"}  # told to everybody, and about nobody
# Parameters that name something by its SID, and the kind of it: sent along with every request.
CROSSING = {
    "AccountSid": "accounts",
    "CallSid": "calls",
    "ConferenceSid": "conferences",
    "RecordingSid": "recordings",
    "AwsCredentialsSid": "aws",
    "EncryptionKeySid": "publickeys",
    "RoomSid": "rooms",
    "SourceSid": "videorecordings",
    "GroupingSid": "rooms",
    "Subject": "recordings",
    "Actor": "accounts",
}
_WORDS = (
    "name",
    "identity",
    "campaign",
    "last_error",
    "text",
    "reason",
    "remedy",
    "detail",
    "url",
    "callback",
    "bucket",
)
_KEPT = ("audit", "audit_heads", "alembic_version", "installation")


@dataclass
class Victim:
    """An account with one of everything, and what must never be seen by anybody else."""

    caller: Caller
    sids: dict[str, str]
    canaries: list[str]


@pytest.fixture
async def victim(acme: Caller, branch: Caller, deliver: Carry, clock: SetClock, parts: Parts) -> Victim:
    made = await one_of_everything(acme, deliver, clock)
    sids = unknown_sids() | {kind.lower(): found[0] for kind, found in made.items()}
    answer = await acme.post(f"{acme.own_path}/RetentionClasses", {"FriendlyName": "class", "KeepDays": "9"})
    sids["retentionclasses"] = answer.json()["sid"]
    await acme.get(f"{acme.account_path}/Recordings/{sids['recordings']}")
    canaries = await plant(parts, acme.sid)
    shown = {sid for values in made.values() for sid in values} | {acme.sid}
    return Victim(acme, sids, canaries + sorted(shown - {CALL}))


async def plant(parts: Parts, account_sid: str) -> list[str]:
    """A canary in every text of the account's rows that is free to say anything."""
    planted: list[str] = []
    async with parts.ledger.engine.begin() as transaction:
        for table in metadata.tables.values():
            scope = "sid" if table.name == "accounts" else "account_sid"
            if table.name in _KEPT or scope not in table.columns:
                continue
            free = [column.name for column in table.columns if _is_free(column)]
            for column in free:
                canary = f"CANARY-{table.name}-{column}"
                changed = await transaction.execute(
                    text(f"UPDATE {table.name} SET {column} = :canary || md5(ctid::text) WHERE {scope} = :sid"),
                    {"canary": canary, "sid": account_sid},
                )
                planted += [canary] * bool(changed.rowcount)
    assert len(planted) > 8, planted
    return planted


def _is_free(column: Column[Any]) -> bool:
    return (
        isinstance(column.type, Text)
        and not column.primary_key
        and any(w in column.name for w in _WORDS)
        and "method" not in column.name
    )


async def rows_of(parts: Parts, account_sid: str) -> dict[str, list[str]]:
    """Everything the database has of an account, as text."""
    kept = {}
    async with parts.ledger.engine.connect() as connection:
        for table in metadata.tables.values():
            scope = "sid" if table.name == "accounts" else "account_sid"
            if (scope in table.columns and table.name != "accounts") or table.name == "accounts":
                rows = await connection.execute(
                    text(f"SELECT to_jsonb(t)::text FROM {table.name} t WHERE {scope} = :sid"), {"sid": account_sid}
                )
                kept[table.name] = sorted(rows.scalars())
    return kept


async def knock(door: Door, caller: Caller, sids: dict[str, str], auth: Any) -> Answer:
    crossing = {name: sids[kind] for name, kind in CROSSING.items()}
    path = door.filled(sids)
    if door.method == "GET":
        return await caller.send("GET", path, auth=auth, params=None)
    if door.path.endswith("Recordings") and door.surface == "callreel":
        headers = {"Content-Type": "audio/wav"}
        query = "&".join(f"{name}={sid}" for name, sid in crossing.items())
        return await caller.send(door.method, f"{path}?{query}", auth=auth, data=b"RIFF", headers=headers)
    return await caller.send(door.method, path, auth=auth, data=crossing | {"FriendlyName": "x", "Status": "closed"})


def neutral(answer: Answer, sids: dict[str, str]) -> bytes:
    body = answer.body
    for sid in sids.values():
        body = body.replace(sid.encode(), b"SID")
    return body


def leaks(answer: Answer, victim: Victim, asked: str) -> list[str]:
    """What of the victim's is in the answer, beyond what the request itself said."""
    told = answer.body.decode("utf-8", "replace") + json.dumps(list(answer.headers.items()))
    return [canary for canary in victim.canaries if canary in told and canary not in asked]


async def test_every_route_with_a_wrong_credential_gives_nothing(
    victim: Victim, stranger: Caller, branch: Caller, parts: Parts, clock: SetClock
) -> None:
    acme = victim.caller
    closed = Caller(acme.session, acme.base, *await open_one("Suspended", acme.account, parts))
    key = (await acme.post(f"{acme.account_path}/Keys.json", {})).json()
    await acme.delete(f"{acme.account_path}/Keys/{key['sid']}.json")
    await acme.post(f"/2010-04-01/Accounts/{closed.sid}.json", {"Status": "suspended"})
    wrong: dict[str, Any] = {
        "another account": (stranger.sid, stranger.token),
        "its own subaccount": (branch.sid, branch.token),
        "a suspended subaccount": (closed.sid, closed.token),
        "a revoked key": (key["sid"], key["secret"]),
        "a wrong token": (acme.sid, "0" * 32),
        "no credential": None,
    }
    victim.canaries += [key["secret"], acme.token]
    before = await rows_of(parts, acme.sid)
    nobody, doors, asked, foreign = unknown_sids(), doors_of(parts), 0, []
    paths = {door.path for door in doors}
    for door in doors:
        if door.path in OPEN or door.surface == "console":
            continue
        twin = door.path.endswith(".xml") or f"{door.path}.json" in paths
        for who, auth in list(wrong.items())[: 1 if twin else None]:
            clock.advance(15)  # more patience than wrong sign-ins use up
            answer = await knock(door, acme, victim.sids, auth)
            asked += 1
            where = f"{who} at {door.name}: {answer.status} {answer.body[:200]!r}"
            assert answer.status < 500, where
            # What was sent may be repeated; and a subaccount's own row names its owner.
            sent = " ".join(victim.sids[kind] for kind in CROSSING.values())
            asked_for = door.filled(victim.sids) + sent + (acme.sid if who == "its own subaccount" else "")
            foreign += [f"{where} told {leak}" for leak in leaks(answer, victim, asked_for)]
            if who in ("another account", "its own subaccount"):
                if "{" in door.path:
                    unknown = await knock(door, acme, nobody, auth)
                    told = (neutral(answer, victim.sids), neutral(unknown, nobody))
                    assert (answer.status, told[0]) == (unknown.status, told[1]), where
                    assert answer.status in (400, 403, 404, 409) or "/Compositions" in door.path, where
            elif "no credential" not in _described(door):
                assert answer.status == 401, where
    print(f"\n{len(doors)} routes, {asked} requests with a wrong credential: {len(foreign)} answers with foreign data")
    assert foreign == []
    assert await rows_of(parts, acme.sid) == before


async def test_no_screen_of_the_console_shows_a_person_of_another_account_anything(
    victim: Victim, visitor: Browser, stranger: Caller, parts: Parts
) -> None:
    email = await admit(parts, stranger.account, "owner@stranger.example", Role.OWNER)
    before = await rows_of(parts, victim.caller.sid)
    asked, foreign = 0, []
    for signed_in in (False, True):
        if signed_in:
            assert (await visitor.sign_in(email)).status == 303
        token = (await visitor.get("/console/recordings" if signed_in else "/console/")).token
        for door in doors_of(parts):
            if door.surface != "console" or "sign-out" in door.path or "/static" in door.path:
                continue
            path = door.filled(victim.sids)
            query = "?" + urlencode({name: victim.sids[kind] for name, kind in CROSSING.items()})
            if door.method == "GET":
                shown = await visitor.get(path + query)
            else:
                form = {name: victim.sids[kind] for name, kind in CROSSING.items()}
                shown = await visitor.post(path, form, token=token)
            asked += 1
            told = shown.text + str(shown.headers)
            # A link back to the page that was asked for repeats what was asked.
            own = [*victim.sids.values(), victim.caller.sid]
            foreign += [f"{door.name}: {leak}" for leak in victim.canaries if leak in told and leak not in own]
            assert shown.status < 500, f"{door.name}: {shown.text[:300]}"
            if signed_in and "{" in door.path:
                assert shown.status in (303, 400, 403, 404, 405), f"{door.name}: {shown.status}"
    print(f"\n{asked} requests to screens of the Console: {len(foreign)} with foreign data")
    assert foreign == []
    assert await rows_of(parts, victim.caller.sid) == before


def _described(door: Door) -> str:
    """Routes that a signed URL opens are asked without a credential."""
    by_url = door.path.startswith("/media/") or door.path.endswith(("/Recordings/{sid}/Media", "/Media.mp3", "/Peaks"))
    by_signature = door.path.endswith("/Webhook")
    return "no credential" if by_url or by_signature else ""


async def test_a_parent_reaches_its_subaccounts_as_at_twilio(acme: Caller, branch: Caller, stranger: Caller) -> None:
    made = (await branch.upload()).json()
    for path in (f"{branch.account_path}/Recordings/{made['sid']}.json", f"{branch.own_path}/Audit"):
        assert (await acme.get(path)).status == 200
        assert (await stranger.get(path)).status == 404
    assert (await branch.get(f"{acme.account_path}.json")).status == 404
    assert (await acme.get(f"{acme.account_path}/Recordings/{made['sid']}.json")).status == 404


async def test_a_new_route_without_an_example_fails_the_walk(parts: Parts) -> None:
    for door in doors_of(parts):
        assert len(door.kinds) == door.path.count("/{")
    with pytest.raises(LookupError, match="Newcomers"):
        _ = Door("callreel", "GET", "/v1/Newcomers/{sid}").kinds
    assert len(doors_of(parts)) > 100
    assert "account_sid" in inspect.getsource(check_scopes)
