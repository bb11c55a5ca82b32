"""An installation with something of everything, for screenshots, figures and a look around.

`python -m tests.console.town` serves it until it is stopped and prints how to sign in.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from sqlalchemy import text

from callreel.app import open_parts
from callreel.clock import SetClock, SystemClock
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.deed import CALLREEL, Actor
from callreel.model.deletion import DeletionStatus
from callreel.model.person import Role
from callreel.model.recording import Recording, State
from callreel.model.source import Source
from callreel.model.storage_settings import RecordingKind
from callreel.model.video_track import TrackType
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.speech import speech
from callreel.settings import load_settings
from callreel.steps.delete_in_bulk import delete_in_bulk
from callreel.steps.delete_many import delete_many
from callreel.steps.keep_source import SourceWish, add_source
from callreel.steps.open_account import open_account
from callreel.worker.worker import Worker
from tests.console.conftest import PASSWORD, admit, allow_pages, serving
from tests.stage import BUCKET, MANAGER, WRITER, Stage
from tests.video import Studio

NUMBERS = ("+442079460182", "+14155550134", "+33199001234", "+493023125014", "+442079460911", "+12125550166")
OTHERS = ("+441614960733", "+16285550197", "+441134960220", "+442920180455", "+441214960844", "+16285550142")
SOURCES = ("DialVerb", "Conference", "OutboundAPI", "Trunking", "RecordVerb", "Voicemail", "StartCallRecordingAPI")
OWNER = "owner@acme.example"


@dataclass
class Town:
    """What there is: an address, and one recording for each word."""

    base: str
    parts: Parts
    stage: Stage
    clock: SetClock
    s3: EmbeddedS3
    recordings: dict[str, Recording] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)  # other pages, by the names of their pictures


@asynccontextmanager
async def town(home: Path, *, rows: int = 24) -> AsyncIterator[Town]:
    """Everything opened, filled and served."""
    postgres = EmbeddedPostgres(home / "pg")
    await asyncio.to_thread(postgres.start)
    clock = SetClock(SystemClock().now() - timedelta(hours=rows / 4 + 2))
    settings = load_settings(data_dir=home / "data", allowed_private_networks="127.0.0.0/8")
    try:
        async with (
            EmbeddedS3(home / "s3", clock=clock) as s3,
            open_parts(settings, database_url=postgres.url(), public_url="http://callreel.test", clock=clock) as parts,
            serving(parts) as base,
        ):
            parts.renditions.prepare()
            s3.add_user(*MANAGER)
            s3.add_user(*WRITER, may="write")
            s3.create_bucket(BUCKET)
            allow_pages(s3, base)
            made = await open_account(
                "Acme Support", parent=None, accounts=parts.ledger.accounts, keyring=parts.keyring,
                digest=parts.digest, clock=clock,
            )  # fmt: skip
            stage = Stage(parts, clock, *made, s3)
            stage.credential_sid = await stage.keep_key()
            await stage.choose()
            await admit(parts, made[0], OWNER, Role.OWNER)
            await admit(parts, made[0], "listener@acme.example", Role.LISTENER)
            there = Town(base, parts, stage, clock, s3)
            begun = await _move_some(there)
            await _fill(there, rows)
            await _delete_some(there)
            await _film(there)
            await _be_half_way(there, *begun)
            yield there
            await parts.renditions.close()
    finally:
        await asyncio.to_thread(postgres.stop)


async def _fill(there: Town, rows: int) -> None:
    rng, stage, clock = Random(7), there.stage, there.clock
    for row in range(rows):
        word = ("bucket", "bucket", "completed", "bucket", "parked", "held", "bucket", "deleted", "uploading")[row % 9]
        body = speech(rng.uniform(4, 40), seed=row, channels=rng.choice((1, 2, 2)))
        call = {
            "call_sid": f"CA{rng.getrandbits(128):032x}",
            "from_number": rng.choice(NUMBERS),
            "to_number": rng.choice(OTHERS),
            "source": rng.choice(SOURCES),
            "campaign": rng.choice(("Spring renewals", "Winback", None)),
        }
        await stage.choose(aws_storage_enabled=word != "completed")
        taken = await stage.take_in(body, **call)
        clock.advance(rng.uniform(0.4, 4.5))
        there.recordings[word] = await _brought(there, taken, word)
        clock.advance(rng.uniform(300, 1200))
    body = speech(45, seed=99, channels=2)
    call = {"call_sid": "CA" + "7" * 32, "from_number": NUMBERS[0], "to_number": OTHERS[0], "source": "DialVerb"}
    taken = await stage.take_in(body, **call)
    clock.advance(3.1)
    there.recordings["bucket"] = await stage.carry_until_settled(taken)
    clock.advance(60)


async def _delete_some(there: Town) -> None:
    """A deletion that was only asked for, and one that is done."""
    parts, account_sid = there.parts, there.stage.account_sid
    held = [r.sid for word, r in there.recordings.items() if word in ("bucket", "completed", "parked")]
    more = {"ledger": parts.ledger, "clock": there.clock, "by": Actor("US" + "0" * 32)}
    draft = DeletionStatus.DRY_RUN
    asked = await delete_in_bulk(account_sid, held, status=draft, receipt_email=None, **more)
    doomed = [(await there.stage.carry_until_settled(await there.stage.take_in(speech(2, seed=s)))).sid for s in (1, 2)]
    doomed.append(there.recordings["parked"].sid)
    done = await delete_in_bulk(account_sid, doomed, status=DeletionStatus.RUNNING, receipt_email=None, **more)
    await delete_many(done.sid, ledger=parts.ledger, clock=there.clock)
    campaigns = await parts.ledger.campaigns.list(account_sid, place=None, size=1)
    there.more |= {
        "deletion-asked": f"/console/deletions/{asked.sid}",
        "deletion-done": f"/console/deletions/{done.sid}",
        "call": f"/console/calls/{there.recordings['bucket'].call_sid}",
        "campaign": f"/console/campaigns/{campaigns.rows[0].sid}",
    }


async def _film(there: Town) -> None:
    """Two rooms: one of three tracks, of which one is on its way, and one with a long name in the bucket."""
    stage = there.stage
    studio = Studio(there.parts, stage.account_sid, there.clock, there.s3)
    room = studio.a_room(unique_name="Branch visit, Leeds")
    body = b"frames " * 400_000
    for track in (TrackType.AUDIO, TrackType.VIDEO):
        await studio.carry_until_settled(
            await studio.spooled(room=room, body=body, type=track, participant_identity="Ada Lovelace")
        )
        there.clock.advance(31)
    await there.parts.ledger.settings.keep(
        stage.account_sid,
        RecordingKind.VIDEO,
        (await there.parts.ledger.settings.current(stage.account_sid, RecordingKind.VOICE))[1],
        now=there.clock.now(),
    )
    long = studio.a_room(
        unique_name="Quarterly review of every branch between the Tweed and the Solent, second sitting"
    )
    kept = await studio.carry_until_settled(
        await studio.spooled(
            room=long, body=body, type=TrackType.VIDEO, participant_identity="Augusta Ada King, Countess of Lovelace"
        )
    )
    await studio.spooled(room=room, type=TrackType.VIDEO, participant_identity="Charles")
    there.more["video"] = f"/console/video/{kept.sid}"


async def _move_some(there: Town) -> tuple[Source, str]:
    """A source, and a migration that is done; returns both, the migration by its SID."""
    parts, stage, clock = there.parts, there.stage, there.clock
    async with PretendTwilio(clock=clock) as twilio:
        old = twilio.add_account()
        for _ in range(12):
            twilio.add_recording(old)
        wish = SourceWish(friendly_name="Twilio, Europe", auth_token=old.auth_token, poll_seconds=0)
        source = await add_source(
            stage.account_sid, old.sid, wish, base_url=twilio.url, ledger=parts.ledger, sources=parts.sources,
            guard=parts.guard, clock=clock, by=CALLREEL,
        )  # fmt: skip
        spans = {"host_id": parts.spool.host_id, "created_after": None, "created_before": None}
        done = await parts.ledger.migrations.start(source, **spans)
        worker = Worker(parts)
        running = asyncio.create_task(worker.run())
        while (await parts.ledger.migrations.fetch(stage.account_sid, done.sid)).status == "running":
            await asyncio.sleep(0.05)
        worker.stop()
        await running
    there.more |= {
        "migration-source": f"/console/migration/sources/{source.sid}",
        "migration-done": f"/console/migration/{done.sid}",
    }
    return source, done.sid


async def _be_half_way(there: Town, source: Source, done: str) -> None:
    """A migration that runs, with items that failed; its numbers are made up."""
    parts, clock = there.parts, there.clock
    half = await parts.ledger.migrations.start(
        source, host_id=parts.spool.host_id, created_after=None, created_before=None
    )
    async with parts.ledger.migrations._engine.begin() as transaction:
        await transaction.execute(text(_HALF_WAY), {"sid": half.sid, "now": clock.now()})
        await transaction.execute(text(_ITEMS), {"sid": half.sid, "now": clock.now(), "like": done})
        await transaction.execute(text(_FAILED), {"sid": half.sid})
    there.more["migration-running"] = f"/console/migration/{half.sid}"


_HALF_WAY = """UPDATE migrations SET total = 186750, moved = 118402, failed = 3, deleted_at_source = 117960,
    bytes = 1420000000000, rate = 4.6, rate_at = CAST(:now AS timestamptz), is_listed = true, passes = 2,
    date_created = CAST(:now AS timestamptz) - interval '9 hours' WHERE sid = :sid"""
_ITEMS = """INSERT INTO migration_items SELECT i.* FROM
    (SELECT to_jsonb(m) AS j FROM migration_items AS m WHERE migration_sid = CAST(:like AS text) LIMIT 1) AS one,
    generate_series(1, 5000) AS n,
    jsonb_populate_record(null::migration_items, one.j || jsonb_build_object(
        'recording_sid', 'RE' || md5('here' || n), 'source_recording_sid', 'RE' || md5('there' || n),
        'migration_sid', CAST(:sid AS text), 'next_attempt_at', null,
        'fetched_at', CAST(:now AS timestamptz)
            - interval '3 hours' * (n + 150 * sin(n / 350.0) + 30 * sin(n / 60.0)) / 5400.0)) AS i"""
_FAILED = """UPDATE migration_items SET state = 'failed', reason = 'gone_at_source',
    detail = '404: <i>no such file</i>', remedy = 'Nothing to do: it was deleted there before the copy'
    WHERE recording_sid IN (SELECT recording_sid FROM migration_items WHERE migration_sid = :sid LIMIT 3)"""


async def _brought(there: Town, taken: Recording, word: str) -> Recording:
    """The recording, carried to where the word says."""
    stage, ledger = there.stage, there.parts.ledger
    if word in ("bucket", "completed", "deleted"):
        settled = await stage.carry_until_settled(taken)
        if word == "deleted":
            settled = await ledger.move(settled, State.DELETING, reason="a person deleted it")
            settled = await stage.carry(settled)
        return settled
    sealed = await stage.step("seal", taken)
    uploading = await ledger.move(sealed, State.UPLOADING)
    if word == "uploading":
        return uploading
    facts = {"last_error_code": "SlowDown", "last_error": "SlowDown: Please reduce your request rate", "attempts": 31}
    if word == "parked":
        return await ledger.move(uploading, State.PARKED, reason="the window is used up", **facts)
    facts = {"last_error_code": "AccessDenied", "last_error": "AccessDenied: <b>Access Denied</b>", "attempts": 2}
    return await ledger.move(uploading, State.FATAL, reason="refused twice", error_code=16111, **facts)


async def _serve() -> None:
    with tempfile.TemporaryDirectory() as home:
        async with town(Path(home)) as there:
            print(f"{there.base}/console/  {OWNER}  {PASSWORD}", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
