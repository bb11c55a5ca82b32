"""Who gets in, who does not, and how a session ends."""

from __future__ import annotations

import pytest

from callreel.clock import SetClock
from callreel.ledger.audit import AuditFilter
from callreel.model.account import Account, AccountStatus
from callreel.model.person import ABSOLUTE, IDLE, MAY, Right, Role
from callreel.parts import Parts
from callreel.steps.open_account import open_account
from tests.console.conftest import PASSWORD, Browser, admit


@pytest.fixture
async def email(parts: Parts, account: tuple[Account, str]) -> str:
    return await admit(parts, account[0], "Ada@Acme.example".lower(), Role.OPERATOR)


async def test_a_person_signs_in_and_sees_the_recordings(visitor: Browser, email: str) -> None:
    answer = await visitor.sign_in(email)
    assert (answer.status, answer.where) == (303, "/console/recordings")
    page = await visitor.get("/console/recordings")
    assert page.status == 200
    assert email in page.text


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(visitor: Browser, email: str) -> None:
    cookie = (await visitor.sign_in(email)).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie  # http on loopback


async def test_with_tls_the_cookie_is_sent_over_tls_only(visitor: Browser, email: str, parts: Parts) -> None:
    page = await visitor.get("/console/")
    parts.public_url = "https://calls.example"
    answer = await visitor.post("/console/", {"email": email, "password": PASSWORD}, token=page.token)
    assert "; Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("who", "password"), [("ada@acme.example", "wrong"), ("nobody@acme.example", PASSWORD), ("", "")]
)
async def test_a_wrong_password_and_an_unknown_address_are_told_alike(
    visitor: Browser, email: str, who: str, password: str
) -> None:
    answer = await visitor.sign_in(who, password)
    assert answer.status == 401
    assert "do not belong together" in answer.text


async def test_the_password_is_not_shown_again(visitor: Browser, email: str) -> None:
    answer = await visitor.sign_in(email, "not-the-password-at-all")
    assert email in answer.text
    assert "not-the-password-at-all" not in answer.text


async def test_too_many_wrong_passwords_lock_the_door_for_a_while(
    visitor: Browser, email: str, clock: SetClock
) -> None:
    answers = [await visitor.sign_in(email, "wrong") for _ in range(9)]
    assert [answer.status for answer in answers] == [401] * 8 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert (await visitor.sign_in(email)).status == 429  # the right one too: guessing must not pay
    clock.advance(10)
    assert (await visitor.sign_in(email)).status == 303


async def test_each_sign_in_has_a_session_of_its_own_and_ends_the_one_before(visitor: Browser, email: str) -> None:
    page = await visitor.get("/console/")
    await visitor.sign_in(email)
    first = visitor.cookies["callreel_session"]
    await visitor.post("/console/", {"email": email, "password": PASSWORD}, token=page.token)
    assert visitor.cookies["callreel_session"] != first
    visitor.plant("callreel_session", first)
    again = await visitor.get("/console/recordings")
    assert again.status == 303


async def test_a_session_id_from_outside_is_never_taken_over(visitor: Browser, email: str) -> None:
    visitor.plant("callreel_session", "planted")
    await visitor.sign_in(email)
    assert visitor.cookies["callreel_session"] != "planted"


async def test_signing_out_kills_the_session_on_the_server(visitor: Browser, email: str) -> None:
    await visitor.sign_in(email)
    kept = visitor.cookies["callreel_session"]
    page = await visitor.get("/console/recordings")
    out = await visitor.post("/console/sign-out", {}, token=page.token)
    assert (out.status, out.where) == (303, "/console/")
    visitor.plant("callreel_session", kept)
    assert (await visitor.get("/console/recordings")).status == 303


async def test_a_session_ends_when_it_is_not_used(visitor: Browser, email: str, clock: SetClock) -> None:
    await visitor.sign_in(email)
    clock.advance(IDLE.total_seconds() + 1)
    answer = await visitor.get("/console/recordings?status=parked")
    assert answer.where == "/console/?next=/console/recordings%3Fstatus%3Dparked"


async def test_a_session_that_is_used_ends_after_a_working_day(visitor: Browser, email: str, clock: SetClock) -> None:
    await visitor.sign_in(email)
    for _ in range(int(ABSOLUTE / IDLE) * 2):
        assert (await visitor.get("/console/recordings")).status == 200
        clock.advance(IDLE.total_seconds() / 2)
    clock.advance(1)
    assert (await visitor.get("/console/recordings")).status == 303


async def test_after_signing_in_one_is_where_one_wanted_to_be(visitor: Browser, email: str) -> None:
    answer = await visitor.sign_in(email, next="/console/recordings?status=held")
    assert answer.where == "/console/recordings?status=held"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/console/../api", "javascript:alert(1)",
     "/console//evil.example", "/console/\r\nX: y", "console/recordings", "/2010-04-01/Accounts.json"],
)  # fmt: skip
async def test_nobody_is_sent_to_another_site(visitor: Browser, email: str, elsewhere: str) -> None:
    assert (await visitor.sign_in(email, next=elsewhere)).where == "/console/recordings"


async def test_a_form_without_our_token_is_refused(visitor: Browser, email: str) -> None:
    answer = await visitor.post("/console/", {"email": email, "password": PASSWORD})
    assert answer.status == 403
    assert "callreel_session" not in visitor.cookies


async def test_a_form_from_another_site_is_refused(visitor: Browser, email: str) -> None:
    page = await visitor.get("/console/")
    form = {"email": email, "password": PASSWORD}
    for sent in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert (await visitor.post("/console/", form, token=page.token, **sent)).status == 403


async def test_a_token_of_another_browser_is_refused(owner: Browser, visitor: Browser, email: str) -> None:
    await visitor.sign_in(email)
    theirs = (await visitor.get("/console/recordings")).token
    assert (await owner.post("/console/sign-out", {}, token=theirs)).status == 403
    assert (await owner.get("/console/recordings")).status == 200


async def test_what_was_typed_when_the_session_ended_comes_back(visitor: Browser, email: str, clock: SetClock) -> None:
    await visitor.sign_in(email)
    page = await visitor.get("/console/recordings?status=parked")
    clock.advance(IDLE.total_seconds() + 1)
    form = {"do": "save-view", "name": "Parked <b>ones</b>"}
    asked = await visitor.post("/console/recordings?status=parked", form, token=page.token)
    assert asked.status == 401
    assert "What you typed is kept" in asked.text
    assert "Parked" not in asked.text  # sealed, not shown to whoever stands there now
    kept = asked.text.partition('name="kept" value="')[2].partition('"')[0]
    answer = await visitor.post("/console/", {"email": email, "password": PASSWORD, "kept": kept}, token=asked.token)
    assert answer.where == "/console/recordings?kept=1&status=parked"
    again = await visitor.get(answer.where)
    assert 'value="Parked &lt;b&gt;ones&lt;/b&gt;"' in again.text
    assert "ones" not in (await visitor.get(answer.where)).text  # once


async def test_somebody_else_does_not_get_what_was_typed(
    visitor: Browser, email: str, parts: Parts, account: tuple[Account, str], clock: SetClock
) -> None:
    await visitor.sign_in(email)
    page = await visitor.get("/console/recordings?status=parked")
    clock.advance(IDLE.total_seconds() + 1)
    asked = await visitor.post("/console/recordings", {"do": "save-view", "name": "Secret plan"}, token=page.token)
    kept = asked.text.partition('name="kept" value="')[2].partition('"')[0]
    other = await admit(parts, account[0], "eve@acme.example", Role.OWNER)
    form = {"email": other, "password": PASSWORD, "kept": kept}
    answer = await visitor.post("/console/", form, token=asked.token)
    assert answer.where == "/console/recordings"


async def test_a_suspended_accounts_people_stay_outside(
    visitor: Browser, email: str, parts: Parts, account: tuple[Account, str], clock: SetClock
) -> None:
    await visitor.sign_in(email)
    await parts.ledger.accounts.change(account[0].sid, now=clock.now(), status=AccountStatus.SUSPENDED)
    assert (await visitor.get("/console/recordings")).status == 403
    await visitor.get("/console/sign-out")
    visitor.session.cookie_jar.clear()
    assert "suspended" in (await visitor.sign_in(email)).text


async def test_a_changed_password_signs_out_everywhere(
    visitor: Browser, email: str, parts: Parts, clock: SetClock
) -> None:
    await visitor.sign_in(email)
    await parts.ledger.people.set_password(email, await parts.passwords.hash("another-password"), now=clock.now())
    assert (await visitor.get("/console/recordings")).status == 303
    assert (await visitor.sign_in(email)).status == 401
    assert (await visitor.sign_in(email, "another-password")).status == 303


async def test_who_came_who_was_refused_and_who_left_is_in_the_audit(
    visitor: Browser, email: str, parts: Parts, account: tuple[Account, str]
) -> None:
    await visitor.sign_in(email, "not-the-password")
    await visitor.sign_in("nobody@nowhere.example")
    await visitor.sign_in(email)
    page = await visitor.get("/console/recordings")
    await visitor.post("/console/sign-out", {}, token=page.token)
    rows = (await parts.ledger.audit.page(account[0].sid, AuditFilter(), place=None, size=9)).rows
    said = [(row.action, row.address) for row in rows if row.action.startswith("session")]
    assert sorted(said) == [(f"session.{what}", "127.0.0.1") for what in ("closed", "opened", "refused")]
    assert "not-the-password" not in str(rows)
    installation = (await parts.ledger.audit.page(None, AuditFilter(), place=None, size=9)).rows
    assert [row.actor for row in installation if row.action == "session.refused"] == ["nobody"]
    assert "nowhere" not in str(installation)


async def test_a_subaccount_can_be_looked_at_and_a_stranger_cannot(
    owner: Browser, parts: Parts, account: tuple[Account, str]
) -> None:
    opened = [
        await open_account(
            name,
            parent=parent,
            accounts=parts.ledger.accounts,
            keyring=parts.keyring,
            digest=parts.digest,
            clock=parts.clock,
        )
        for name, parent in (("Branch", account[0]), ("Elsewhere", None))
    ]
    page = await owner.get("/console/accounts")
    assert "Branch" in page.text
    assert "Elsewhere" not in page.text
    assert (await owner.post("/console/accounts", {"account": opened[1][0].sid}, token=page.token)).status == 404
    assert (await owner.post("/console/accounts", {"account": "AC1"}, token=page.token)).status == 404
    assert (await owner.post("/console/accounts", {"account": opened[0][0].sid}, token=page.token)).status == 303
    assert "<b>Branch</b>" in (await owner.get("/console/recordings")).text


async def test_every_page_is_closed_to_other_sites(visitor: Browser, owner: Browser) -> None:
    for page in (await visitor.get("/console/"), await owner.get("/console/recordings"), await owner.get("/console/x")):
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in page.headers


async def test_a_browser_is_sent_to_the_console_and_a_program_is_not(visitor: Browser) -> None:
    assert (await visitor.get("/", Accept="text/html,*/*")).where == "/console/"
    assert (await visitor.get("/", Accept="*/*")).status == 200


def test_an_owner_may_everything_and_a_listener_changes_nothing() -> None:
    assert all(Role.OWNER in roles for roles in MAY.values())
    assert {right for right, roles in MAY.items() if Role.LISTENER in roles} == {
        Right.LIST, Right.PLAY, Right.DOWNLOAD
    }  # fmt: skip
    assert set(MAY) == set(Right)
