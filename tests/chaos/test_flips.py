"""Some flipped bits; `make chaos` flips one in each of 1,000 files."""

from __future__ import annotations

from tests.chaos.flips import KINDS, flip_bits
from tests.stage import Stage


async def test_one_flipped_bit_is_found_and_never_sent(stage: Stage) -> None:
    count = 12 * len(KINDS)
    flipped = await flip_bits(stage, count, seed=4)
    assert flipped.violations == []
    assert (flipped.found, flipped.uploaded) == (count, 0)
