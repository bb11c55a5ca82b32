"""A full disk takes nothing in, and lets go on what frees it."""

from __future__ import annotations

import pytest

from callreel.errors import SpoolFull
from callreel.model.recording import State
from tests.stage import Stage


async def test_on_a_full_disk_nothing_is_taken_in_and_deliveries_go_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = await stage.take_in()
    monkeypatch.setattr("callreel.spool.spool.free_bytes", lambda _: (0, 1 << 40))
    with pytest.raises(SpoolFull):
        await stage.take_in()
    assert (await stage.carry(waiting)).state is State.RELEASED
    assert stage.spooled() == []
    monkeypatch.undo()
    assert (await stage.take_in()).state is State.SPOOLED
