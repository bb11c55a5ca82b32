"""Many items of one source under way, and when a convoy stops by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from callreel.errors import SourceRedirects, SourceUnauthorized, SourceUnreachable
from callreel.ledger.item_intake import MOVE
from callreel.ledger.jobs import live_subjects, route_of
from callreel.ledger.recordings import RecordingFilter
from callreel.migration.inventory import take_inventory
from callreel.model.deed import OPERATOR, Action
from callreel.model.migration import Migration, MigrationStatus
from callreel.model.recording import State
from callreel.model.time_trust import Beat
from callreel.worker.convoy import Convoy
from tests.migration.conftest import Move


def convoy(moving: Move) -> Convoy:
    return Convoy(moving.source, moving.client, moving.shelves, most=8, is_stopping=lambda: False)


async def listed(moving: Move, count: int) -> Migration:
    """A migration whose list has been read."""
    for n in range(count):
        moving.twilio.put(n)
    migration = await moving.parts.ledger.migrations.start(
        moving.source, host_id=moving.parts.spool.host_id, created_after=None, created_before=None
    )
    return await take_inventory(
        migration, moving.source, moving.client, ledger=moving.parts.ledger, is_stopping=lambda: False
    )


async def now(moving: Move, migration: Migration) -> Migration:
    return await moving.parts.ledger.migrations.fetch(moving.stage.account_sid, migration.sid)


async def until_over(moving: Move, migration: Migration, *, most: int = 60) -> Migration:
    """A convoy each time the reminder of the one before is due."""
    for _ in range(most):
        await convoy(moving).run()
        migration = await now(moving, migration)
        if migration.status is not MigrationStatus.RUNNING:
            return migration
        moving.clock.advance(60)
    raise AssertionError(f"not over: {migration}")


async def test_a_convoy_moves_everything_and_completes_the_migration(moving: Move) -> None:
    migration = await listed(moving, 40)
    bodies = {sid: body for sid, (_, body) in moving.twilio.shelf.items()}
    await convoy(moving).run()
    done = await now(moving, migration)
    assert (done.status, done.total, done.moved, done.deleted_at_source) == ("completed", 40, 40, 40)
    assert (done.failed, done.skipped, done.bytes) == (0, 0, sum(map(len, bodies.values())))
    assert moving.twilio.shelf == {}
    assert len(moving.stage.s3.keys("calls")) == 40
    assert moving.stage.spooled() == []


async def test_a_convoy_leaves_a_reminder_for_what_is_due_later(moving: Move) -> None:
    await moving.offered(1, 2)
    moving.twilio.meets("media", SourceUnreachable("away"))
    moving.twilio.meets("find", SourceUnreachable("away"))
    await convoy(moving).run()
    at = await moving.parts.ledger.items.next_due_at(moving.source.sid, moving.parts.spool.host_id)
    assert at is not None
    assert at > moving.clock.now()
    async with moving.parts.ledger.engine.connect() as connection:
        assert await live_subjects(connection, [route_of(MOVE, moving.parts.spool.host_id)]) == {moving.source.sid}


async def test_a_refused_credential_stops_the_migration_with_its_reason_and_it_can_be_resumed(moving: Move) -> None:
    migration = await listed(moving, 20)
    moving.twilio.meets("media", *[SourceUnauthorized("401: authenticate")] * 100)
    stopped = await until_over(moving, migration)
    assert (stopped.status, stopped.reason, stopped.moved) == ("failed", "401: authenticate", 0)
    assert stopped.remedy is not None
    assert moving.twilio.deletions() == 0
    moving.twilio.trouble.clear()
    await moving.parts.ledger.migrations.resume(stopped)
    done = await until_over(moving, stopped)
    assert (done.status, done.deleted_at_source) == ("completed", 20)


@pytest.mark.parametrize("verb", ["media", "delete"])
async def test_a_credential_revoked_half_way_deletes_nothing_more_and_all_goes_on_after_it_was_renewed(
    moving: Move, verb: str
) -> None:
    migration = await listed(moving, 20)
    moving.twilio.trouble[verb] = [*[None] * 5, *[SourceUnauthorized("401: authenticate")] * 500]  # type: ignore[list-item]
    moving.twilio.meets("find", *[SourceUnauthorized("401: authenticate")] * 500)
    ended = await until_over(moving, migration)
    assert len(moving.twilio.shelf) >= 15
    assert ended.status == ("failed" if verb == "media" else "completed")
    assert "401" in str(ended.reason) or ended.delete_failed == len(moving.twilio.shelf)
    moving.twilio.trouble.clear()
    await moving.parts.ledger.migrations.resume(ended)
    done = await until_over(moving, ended)
    assert (done.status, done.deleted_at_source, moving.twilio.shelf) == ("completed", 20, {})


async def test_by_a_distrusted_clock_nothing_is_moved_until_somebody_confirms_it(moving: Move) -> None:
    migration = await listed(moving, 5)
    heartbeats, host_id = moving.parts.ledger.heartbeats, moving.parts.spool.host_id
    began = moving.clock.now()
    await heartbeats.beat(host_id, Beat("boot", began, 100.0))
    await heartbeats.beat(host_id, Beat("boot", began + timedelta(days=400), 160.0))
    await convoy(moving).run()
    waiting = await moving.parts.ledger.migrations.find_for_work(migration.sid)
    assert waiting is not None
    assert (waiting.status, waiting.moved, moving.twilio.deletions()) == ("running", 0, 0)
    assert "clock" in str(waiting.reason)
    assert "callreel clock confirm" in str(waiting.remedy)
    await heartbeats.confirm(OPERATOR.deed(Action.CLOCK_CONFIRMED, None), now=began)
    done = await until_over(moving, migration)
    assert (done.status, done.deleted_at_source, done.reason) == ("completed", 5, None)


async def test_one_odd_answer_stops_nothing(moving: Move) -> None:
    migration = await listed(moving, 20)
    moving.twilio.meets("media", SourceRedirects("elsewhere"), SourceUnauthorized("401"))
    done = await until_over(moving, migration)
    assert (done.status, done.deleted_at_source) == ("completed", 20)


async def test_a_source_that_is_away_costs_no_recording_its_tries(moving: Move) -> None:
    migration = await listed(moving, 30)
    moving.twilio.meets("media", *[SourceUnreachable("away")] * 200)
    moving.twilio.meets("find", *[SourceUnreachable("away")] * 200)
    done = await until_over(moving, migration)
    assert (done.status, done.failed, done.deleted_at_source) == ("completed", 0, 30)


async def test_while_external_storage_is_off_recordings_stay_at_the_source(moving: Move) -> None:
    await moving.stage.choose(aws_storage_enabled=False)
    migration = await listed(moving, 3)
    await convoy(moving).run()
    waiting = await now(moving, migration)
    assert waiting.status is MigrationStatus.RUNNING
    assert waiting.reason is not None
    assert "External storage is off" in waiting.reason
    assert len(moving.twilio.shelf) == 3
    assert [verb for verb, _ in moving.twilio.asked if verb != "list"] == []
    shown = await moving.parts.ledger.recordings.list(moving.stage.account_sid, RecordingFilter(), place=None, size=10)
    assert [(r.state, r.duration_s, r.price) for r in shown.rows] == [(State.AT_SOURCE, 1, "-0.0025")] * 3
    await moving.stage.choose()
    moving.clock.advance(timedelta(minutes=1).total_seconds())
    await convoy(moving).run()
    for before in shown.rows:
        recording = await moving.stage.look(before)
        assert recording.state is State.RELEASED
        assert moving.stage.objects(recording) == [recording.media_sha256]
        assert await moving.stage.path_taken(recording) == [
            "at_source", "spooled", "sealed", "uploading", "delivered", "released"
        ]  # fmt: skip
    done = await now(moving, migration)
    assert (done.status, done.moved, done.reason) == ("completed", 3, None)


async def test_nothing_more_of_a_paused_migration_is_taken_up(moving: Move) -> None:
    migration = await listed(moving, 3)
    await moving.parts.ledger.migrations.pause(migration)
    await convoy(moving).run()
    assert len(moving.twilio.shelf) == 3
