"""A Twilio account over real HTTP: what is listed, fetched and deleted, and every way it can go wrong."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import aiohttp
import pytest
from aiohttp import web

from callreel.clock import SetClock
from callreel.errors import (
    CallreelError,
    MediaGone,
    MediaMismatch,
    MediaNotReady,
    SourceRateLimited,
    SourceRedirects,
    SourceStumbled,
    SourceUnauthorized,
    SourceUnreachable,
)
from callreel.model.source import AbilityOutcome, DeleteOutcome, SourceRecording
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.speech import speech
from callreel.rehearsal.twilio_faults import DELETE, FETCH, LIST, MEDIA, fault
from callreel.rehearsal.twilio_shelf import TwilioRecording
from callreel.rehearsal.twilio_sign_in import PretendAccount
from callreel.source.twilio_account import TwilioAccount
from tests.sealing.keys import public_pem, rsa_key
from tests.source.conftest import Open

MIDNIGHT = date(2026, 1, 1)
CONFERENCE = "CF" + "2" * 32


async def fetch(source: TwilioAccount, one: TwilioRecording, *, channels: int = 1) -> bytes:
    async with source.media(one.account_sid, one.sid, channels=channels) as media:
        return b"".join([chunk async for chunk in media.chunks()])


async def everything(source: TwilioAccount, **asked: object) -> list[SourceRecording]:
    found: list[SourceRecording] = []
    next_page: str | None = None
    while True:
        page = await source.list_page(source.account_sid, next_page=next_page, **asked)  # type: ignore[arg-type]
        found += page.recordings
        if page.next_page is None:
            return found
        next_page = page.next_page


# --- Listing ---------------------------------------------------------------------------------------------------------


async def test_every_recording_is_listed_once_over_many_pages(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.simulate(acme, 95)
    for _ in range(5):
        twilio.add_recording(acme)
    found = await everything(source, page_size=10)
    assert len(found) == len({one.sid for one in found}) == 100
    assert found == sorted(found, key=lambda one: one.date_created, reverse=True)


async def test_days_are_asked_for_and_moments_are_kept(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount, clock: SetClock
) -> None:
    noon = clock.now()
    made = {hours: twilio.add_recording(acme, created=noon + timedelta(hours=hours)).sid for hours in range(-60, 13)}
    wanted = await everything(
        source, created_after=noon - timedelta(hours=30), created_before=noon + timedelta(hours=5), page_size=20
    )
    assert {one.sid for one in wanted} == {made[hours] for hours in range(-30, 5)}


async def test_a_page_goes_on_after_a_restart_and_after_its_last_row_was_deleted(
    open_source: Open, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.simulate(acme, 30)
    first = await open_source().list_page(acme.sid, page_size=10)
    await open_source().delete(acme.sid, first.recordings[-1].sid)
    second = await open_source().list_page(acme.sid, next_page=first.next_page, page_size=10)
    assert not {one.sid for one in first.recordings} & {one.sid for one in second.recordings}
    assert len(second.recordings) == 10


async def test_a_listing_that_changes_under_its_reader_leaves_nothing_out_that_stays(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.simulate(acme, 60)
    sids = [one.sid for one in await everything(source)]
    twilio.deletes_between_pages = [sids[n] for n in (9, 10, 31, 5, 29)]
    found = {one.sid for one in await everything(source, page_size=10)}
    assert set(sids) - set(twilio.deletes_between_pages) - {sids[n] for n in (9, 10, 31, 5, 29)} <= found


async def test_media_urls_of_a_listing_lead_nowhere(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.add_recording(acme)
    (one,) = await everything(source)
    assert not [name for name in one.as_json() if "url" in name or "uri" in name]


@pytest.mark.parametrize(
    "uri",
    [
        "http://169.254.169.254/2010-04-01/Accounts/{sid}/Recordings.json?PageToken=x",
        "//evil.example/2010-04-01/Accounts/{sid}/Recordings.json",
        "/2010-04-01/Accounts/AC99999999999999999999999999999999/Recordings.json",
        "/latest/meta-data",
    ],
)
async def test_a_next_page_elsewhere_is_not_asked_for(open_source: Open, acme: PretendAccount, uri: str) -> None:
    async with answering({"recordings": [], "next_page_uri": uri.format(sid=acme.sid)}) as url:
        with pytest.raises(SourceUnreachable, match="elsewhere"):
            await open_source(url=url).list_page(acme.sid)


async def test_a_list_that_goes_round_in_circles_ends(open_source: Open, acme: PretendAccount) -> None:
    uri = f"/2010-04-01/Accounts/{acme.sid}/Recordings.json?PageToken=x"
    async with answering({"recordings": [], "next_page_uri": uri}) as url:
        source = open_source(url=url)
        page = await source.list_page(acme.sid)
        with pytest.raises(SourceUnreachable, match="its own next one"):
            await source.list_page(acme.sid, next_page=page.next_page)


@pytest.mark.parametrize(
    "body", [{"recordings": "no"}, {}, {"recordings": [1]}, {"recordings": [{"sid": "x"}]}], ids=str
)
async def test_a_list_that_is_none_says_so(open_source: Open, acme: PretendAccount, body: object) -> None:
    async with answering(body) as url:
        with pytest.raises(SourceUnreachable):
            await open_source(url=url).list_page(acme.sid)


# --- Signing in ------------------------------------------------------------------------------------------------------


async def test_a_wrong_token_is_told_in_words_that_help(open_source: Open, acme: PretendAccount) -> None:
    with pytest.raises(SourceUnauthorized, match="20003"):
        await open_source(password="wrong").list_page(acme.sid)


async def test_a_suspended_account_is_told(source: TwilioAccount, acme: PretendAccount) -> None:
    acme.status = "suspended"
    with pytest.raises(SourceUnauthorized, match="20005"):
        await source.list_page(acme.sid)


async def test_a_subaccount_is_read_with_its_owners_token(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    below = twilio.add_account(name="Below", owner=acme.sid)
    one = twilio.add_recording(below)
    assert [account.sid for account in await source.list_subaccounts()] == [below.sid]
    assert [found.sid for found in (await source.list_page(below.sid)).recordings] == [one.sid]
    assert await fetch(source, one) == one.media


async def test_closed_subaccounts_are_left_out(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.add_account(owner=acme.sid).status = "closed"
    assert await source.list_subaccounts() == []


# --- Media -----------------------------------------------------------------------------------------------------------


async def test_media_comes_as_it_was_recorded(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    mono = twilio.add_recording(acme, speech(2, seed=1))
    dual = twilio.add_recording(acme, speech(2, seed=2, channels=2), channels=2)
    conference = twilio.add_recording(acme, speech(2, seed=3, channels=2), channels=2, conference_sid=CONFERENCE)
    assert await fetch(source, mono) == mono.media
    assert await fetch(source, dual, channels=2) == dual.media
    assert await fetch(source, conference, channels=2) == conference.media


async def test_two_channels_of_a_mono_recording_are_asked_for_once(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme)
    assert await fetch(source, one, channels=2) == one.media
    assert twilio.seen[MEDIA] == 2


async def test_an_encrypted_recording_comes_as_ciphertext_with_its_details(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme, public_key=(public_pem(rsa_key()), "CR" + "1" * 32))
    (listed,) = await everything(source)
    assert await fetch(source, one) == one.media
    assert not one.media.startswith(b"RIFF")
    assert set(listed.encryption_details or ()) == {"type", "public_key_sid", "encrypted_cek", "iv"}


async def test_the_length_is_told_before_the_body(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme)
    async with source.media(acme.sid, one.sid) as media:
        assert (media.length, media.content_type) == (len(one.media), "audio/x-wav")


async def test_media_that_is_not_ready_is_asked_for_later(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount, clock: SetClock
) -> None:
    one = twilio.add_recording(acme, ready_at=clock.now() + timedelta(minutes=1))
    with pytest.raises(MediaNotReady, match="processing"):
        await fetch(source, one)
    clock.advance(61)
    assert await fetch(source, one) == one.media


async def test_media_in_a_bucket_of_the_source_is_named_as_such(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme)
    twilio.faults.next(fault("not-ready"), on=MEDIA)
    with pytest.raises(MediaNotReady, match="external storage"):
        await fetch(source, one)


@pytest.mark.parametrize("status", ["absent", "failed", "deleted"])
async def test_media_that_never_comes_is_gone(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount, status: str
) -> None:
    one = twilio.add_recording(acme, status=status, error_code=16101)
    with pytest.raises(MediaGone):
        await fetch(source, one)


@pytest.mark.parametrize("kind", ["error-page", "html-200"])
async def test_an_error_page_is_never_taken_for_audio(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount, kind: str
) -> None:
    one = twilio.add_recording(acme)
    twilio.faults.next(fault(kind), on=MEDIA)
    with pytest.raises(MediaMismatch, match="where audio was asked for"):
        await fetch(source, one)


async def test_a_torn_download_never_ends_as_if_it_were_whole(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme, speech(60, seed=1))
    twilio.faults.next(fault("torn-media"), on=MEDIA)
    with pytest.raises((MediaMismatch, SourceUnreachable)):
        await fetch(source, one)


async def test_what_the_caller_raises_while_reading_is_the_callers(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme)
    with pytest.raises(OSError, match="disk"):
        async with source.media(acme.sid, one.sid):
            raise OSError("disk")


async def test_a_compressed_body_is_not_taken(open_source: Open, acme: PretendAccount) -> None:
    async with serving(lambda _: web.Response(body=b"x", headers={"Content-Encoding": "gzip"})) as url:
        with pytest.raises(MediaMismatch, match="gzip"):
            async with open_source(url=url).media(acme.sid, "RE" + "1" * 32):
                pass


# --- Deleting --------------------------------------------------------------------------------------------------------


async def test_a_deletion_is_answered_once_and_is_gone_afterwards(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme)
    assert (await source.delete(acme.sid, one.sid)).outcome is DeleteOutcome.DELETED
    assert (await source.delete(acme.sid, one.sid)).outcome is DeleteOutcome.NOT_THERE
    assert await source.find(acme.sid, one.sid) is None


async def test_a_deletion_the_source_refuses_is_an_answer(
    open_source: Open, twilio: PretendTwilio, acme: PretendAccount, clock: SetClock
) -> None:
    one = twilio.add_recording(acme, ready_at=clock.now() + timedelta(hours=1))
    answer = await open_source().delete(acme.sid, one.sid)
    assert (answer.outcome, answer.status) == (DeleteOutcome.REFUSED, 409)
    assert "20009" in answer.message


async def test_a_lost_answer_leaves_a_deletion_open(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    one = twilio.add_recording(acme)
    twilio.faults.next(fault("lost-answer"), on=DELETE)
    twilio.faults.next(fault("reset"), on=DELETE)
    with pytest.raises(SourceUnreachable):
        await source.delete(acme.sid, one.sid)
    assert twilio.deleted == [one.sid]
    assert (await source.delete(acme.sid, one.sid)).outcome is DeleteOutcome.NOT_THERE


@pytest.mark.parametrize("kind", ["html-403", "garbage", "reset", "bare-503", "internal-error"])
async def test_only_twilios_own_words_end_a_deletion(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount, kind: str
) -> None:
    one = twilio.add_recording(acme)
    twilio.faults.next(fault(kind), times=2, on=DELETE)  # aiohttp sends a broken request again, once
    with pytest.raises((SourceUnreachable, SourceStumbled)):
        await source.delete(acme.sid, one.sid)
    assert await source.find(acme.sid, one.sid) is not None


async def test_a_page_that_says_404_is_no_proof_of_a_deletion(open_source: Open, acme: PretendAccount) -> None:
    page = "<html>404 not found</html>"
    async with serving(lambda _: web.Response(status=404, text=page, content_type="text/html")) as url:
        source = open_source(url=url)
        with pytest.raises(SourceUnreachable):
            await source.delete(acme.sid, "RE" + "1" * 32)
        with pytest.raises(SourceUnreachable):
            await source.find(acme.sid, "RE" + "1" * 32)


# --- Bad days --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("reset", SourceUnreachable),
        ("garbage", SourceUnreachable),
        ("html-200", SourceUnreachable),
        ("html-403", SourceUnreachable),
        ("redirect", SourceRedirects),
        ("internal-error", SourceStumbled),
        ("bare-503", SourceStumbled),
        ("lost-answer", SourceUnreachable),
    ],
)
@pytest.mark.parametrize("operation", [LIST, FETCH])
async def test_every_fault_has_its_own_word(
    source: TwilioAccount,
    twilio: PretendTwilio,
    acme: PretendAccount,
    kind: str,
    meant: type[CallreelError],
    operation: str,
) -> None:
    one = twilio.add_recording(acme)
    twilio.faults.next(fault(kind), times=2, on=operation)
    with pytest.raises(CallreelError) as caught:
        await (source.list_page(acme.sid) if operation == LIST else source.find(acme.sid, one.sid))
    assert type(caught.value) is meant
    assert acme.auth_token not in caught.value.message


async def test_a_source_nobody_answers_at_is_unreachable(open_source: Open, acme: PretendAccount) -> None:
    with pytest.raises(SourceUnreachable, match="could not be reached"):
        await open_source(url="http://127.0.0.1:9").list_page(acme.sid)


async def test_a_429_uses_up_no_try_and_its_retry_after_is_kept(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount, rests: list[float]
) -> None:
    twilio.add_recording(acme)
    twilio.faults.next(fault("too-many", retry_after_s=4), times=2, on=LIST)
    assert len(await everything(source)) == 1
    assert rests == [pytest.approx(4), pytest.approx(4)]


async def test_an_endless_429_is_told_with_when_to_come_back(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.faults.next(fault("too-many", retry_after_s=3600), on=LIST)
    with pytest.raises(SourceRateLimited) as caught:
        await source.list_page(acme.sid)
    assert caught.value.retry_after_s == 3600


async def test_a_hundred_fetches_keep_to_a_limit_nobody_published(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.at_once = 6
    made = [twilio.add_recording(acme) for _ in range(100)]
    fetched = await asyncio.gather(*(fetch(source, one) for one in made))
    assert [len(body) for body in fetched] == [len(one.media) for one in made]
    assert twilio.most_at_once <= 6
    assert twilio.refused < 60


async def test_redirects_within_the_source_are_followed(open_source: Open, acme: PretendAccount) -> None:
    def answer(request: web.BaseRequest) -> web.Response:
        if "here" not in request.query:
            return web.Response(status=307, headers={"Location": f"{request.path}?here=1"})
        return web.json_response({"recordings": []})

    async with serving(answer) as url:
        assert (await open_source(url=url).list_page(acme.sid)).recordings == ()


async def test_a_redirect_in_circles_ends(open_source: Open, acme: PretendAccount) -> None:
    async with serving(lambda r: web.Response(status=302, headers={"Location": r.path})) as url:
        with pytest.raises(SourceRedirects, match="circle"):
            await open_source(url=url).list_page(acme.sid)


async def test_a_deletion_is_never_redirected(open_source: Open, acme: PretendAccount) -> None:
    async with serving(lambda r: web.Response(status=302, headers={"Location": r.path})) as url:
        with pytest.raises(SourceRedirects):
            await open_source(url=url).delete(acme.sid, "RE" + "1" * 32)


# --- Abilities -------------------------------------------------------------------------------------------------------


async def outcomes(source: TwilioAccount) -> dict[str, AbilityOutcome]:
    return {ability.name: ability.outcome for ability in await source.abilities()}


async def test_the_owners_token_may_do_everything_and_nothing_is_changed_to_find_out(
    source: TwilioAccount, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    twilio.add_recording(acme)
    assert set((await outcomes(source)).values()) == {AbilityOutcome.PASSED}
    assert len(acme.shelf) == 1
    assert twilio.deleted == []


async def test_a_key_that_may_only_read_is_named(
    open_source: Open, twilio: PretendTwilio, acme: PretendAccount
) -> None:
    key, secret = twilio.add_key(acme, kind="read-only")
    twilio.add_recording(acme)
    found = await outcomes(open_source(username=key, password=secret))
    assert found["list"] is found["media"] is AbilityOutcome.PASSED
    assert found["delete"] is found["subaccounts"] is AbilityOutcome.FAILED


async def test_a_wrong_credential_may_do_nothing_and_the_remedy_is_told(open_source: Open) -> None:
    first, *rest = await open_source(password="wrong").abilities()
    assert first.outcome is AbilityOutcome.FAILED
    assert first.remedy is not None
    assert {ability.outcome for ability in rest} == {AbilityOutcome.SKIPPED}


async def test_an_account_without_recordings_leaves_reading_untried(source: TwilioAccount) -> None:
    assert (await outcomes(source))["media"] is AbilityOutcome.SKIPPED


# --- Servers that are no Twilio --------------------------------------------------------------------------------------


class serving:
    """A server that answers everything with one function."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def __aenter__(self) -> str:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            answered: web.Response = self._answer(request)  # type: ignore[operator]
            return answered

        self._runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


def answering(body: object) -> serving:
    return serving(lambda _: web.json_response(body))


def test_the_session_is_the_guards(http: aiohttp.ClientSession) -> None:
    assert http.trust_env is False


async def test_a_list_of_calls_that_goes_on_elsewhere_is_not_followed(source: TwilioAccount) -> None:
    for elsewhere in ("http://127.0.0.2/2010-04-01/Accounts/x/Calls.json", "/2010-04-01/Accounts.json?Page=1"):
        with pytest.raises(SourceUnreachable):
            await source.list_calls(source.account_sid, MIDNIGHT, next_page=elsewhere)
