"""A stage with a source beside it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callreel.migration.move import move
from callreel.migration.offer import offer
from callreel.migration.receipt import verify_receipt
from callreel.migration.shelves import Moving
from callreel.model.deletion_settings import DeletionSettings
from callreel.model.moved_item import ItemState, MovedItem
from callreel.model.recording import Recording
from callreel.model.sid import SourceSid, mint_sid
from callreel.model.source import Source
from callreel.source.twilio_account import TwilioAccount
from callreel.worker.routes import carry, steps_of
from tests.migration.stand_in import ACCOUNT, StandIn
from tests.stage import Stage


class Move:
    """A source, and the verbs of moving out of it on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.parts, self.clock = stage, stage.parts, stage.clock
        self.twilio = StandIn()
        self.source = Source(
            sid=SourceSid(mint_sid("SR")),
            account_sid=stage.account_sid,
            friendly_name="old",
            twilio_account_sid=ACCOUNT,
            date_created=self.clock.now(),
            date_updated=self.clock.now(),
        )
        steps = steps_of(self.parts)
        self.shelves = Moving(
            ledger=self.parts.ledger,
            spool=self.parts.spool,
            births=self.parts.births,
            buckets=self.parts.buckets,
            receipt_key=self.parts.receipt_key,
            clock=self.clock,
            rng=self.parts.rng,
            carry=lambda sid, known: carry(sid, parts=self.parts, steps=steps, known=known),
            max_bytes=self.parts.chosen.max_upload_bytes,
        )

    @property
    def client(self) -> TwilioAccount:
        return cast(TwilioAccount, self.twilio)

    async def offered(self, *numbers: int, **facts: Any) -> list[MovedItem]:
        """Put recordings at the source and offer them; the items in the order of the numbers."""
        put = [self.twilio.put(number, **facts) for number in numbers or (1,)]
        await offer(self.source, put, ledger=self.parts.ledger, spool=self.parts.spool)
        found = [await self.parts.ledger.items.find_by_origin(self.source.sid, one.sid) for one in put]
        return [item for item in found if item is not None]

    async def once(self, item: MovedItem) -> MovedItem:
        """As far as it goes now."""
        return await move(await self.look(item), source=self.client, shelves=self.shelves)

    async def until_settled(self, item: MovedItem, *, most: int = 50) -> MovedItem:
        """Until nothing more happens, each time when it is due."""
        for _ in range(most):
            item = await self.once(item)
            if item.next_attempt_at is None:
                return item
            self.clock.advance(max(0.0, (item.next_attempt_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"not settled: {item.state} {item.reason} {item.detail}")

    async def look(self, item: MovedItem) -> MovedItem:
        found = await self.parts.ledger.items.find(item.recording_sid)
        assert found is not None
        return found

    async def recording(self, item: MovedItem) -> Recording:
        found = await self.parts.ledger.recordings.find_for_work(item.recording_sid)
        assert found is not None
        return found

    async def receipt(self, item: MovedItem) -> dict[str, Any]:
        """What the receipt says, checked with the public key alone."""
        kept = await self.parts.ledger.items.fetch_receipt(self.stage.account_sid, item.recording_sid)
        signed = {"document": kept.document, "signature": kept.signature}
        return verify_receipt(signed, self.parts.receipt_key.public_pem)

    async def keep_both(self) -> None:
        await self.parts.ledger.deletion_settings.keep(
            self.stage.account_sid, DeletionSettings(delete_source_after_migration=False), now=self.clock.now()
        )

    def keeps_its_original(self, item: MovedItem) -> bool:
        return item.source_recording_sid in self.twilio.shelf and self.twilio.deletions() == 0


@pytest.fixture
async def moving(stage: Stage) -> Move:
    return Move(stage)


__all__ = ["ItemState", "Move"]
