"""What `callreel check` says of recordings that were moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import text

from callreel.examine.examine import examine
from callreel.model.deed import CALLREEL, Action
from tests.crash.invariants import scene_of
from tests.migration.conftest import Move


class Opener:
    """Opens the stand-in as the account of any source."""

    def __init__(self, moving: Move) -> None:
        self._moving = moving

    async def open(self, source: object) -> Any:
        return self._moving.client


async def told(moving: Move) -> tuple[list[str], list[str]]:
    """The invariants that do not hold, and the notes."""
    scene = replace(scene_of(moving.parts), sources=Opener(moving))  # type: ignore[arg-type]
    examined = await examine(scene)
    return [v.invariant for v in examined.violations], [note.text for note in examined.notes]


async def change(moving: Move, statement: str) -> None:
    async with moving.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text(statement))


async def test_what_was_moved_is_compared_with_its_source_and_its_bucket(moving: Move) -> None:
    deed = CALLREEL.deed(Action.SOURCE_ADDED, moving.source.account_sid, moving.source.sid)
    await moving.parts.ledger.sources.keep(moving.source, secret_sealed=b"x", deed=deed)
    first, second = await moving.offered(1, 2)
    first = await moving.once(first)
    await moving.keep_both()
    second = await moving.once(second)
    moving.twilio.put(3)
    assert await told(moving) == ([], ["1 recordings there are not known here"])

    recording = await moving.recording(first)
    assert recording.object_key is not None
    await (await moving.parts.buckets.of(recording)).delete(recording.object_key)
    assert (await told(moving))[0] == ["I2"]  # missing

    await change(moving, f"DELETE FROM migration_items WHERE recording_sid = '{second.recording_sid}'")
    found = (await told(moving))[0]
    assert sorted(found) == ["I2", "I7"]

    await change(moving, "UPDATE recordings SET verify_method = 'accepted' WHERE source_sid IS NOT NULL")
    await change(moving, "UPDATE migration_items SET source_link = 'x'")
    assert sorted(set((await told(moving))[0])) == ["I2", "I6", "I7"]


async def test_an_original_that_is_back_after_its_deletion_was_confirmed_is_found(moving: Move) -> None:
    deed = CALLREEL.deed(Action.SOURCE_ADDED, moving.source.account_sid, moving.source.sid)
    await moving.parts.ledger.sources.keep(moving.source, secret_sealed=b"x", deed=deed)
    (item,) = await moving.offered(1)
    await moving.once(item)
    moving.twilio.put(1)
    assert (await told(moving))[0] == ["I6"]
