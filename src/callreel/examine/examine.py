"""The examination: every invariant over everything, in a bounded memory, beside a live service.

To add an invariant append a function to one of the two lists: it gets a recording and the scene, or the scene alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from callreel.examine.finding import Finding, Note, Violation
from callreel.examine.history import events, fences, legal_moves, parked, window
from callreel.examine.media import delivered, plaintext, spooled
from callreel.examine.moved import moved, sources_agree
from callreel.examine.objects import accounts_of, no_strangers
from callreel.examine.scene import Scene
from callreel.examine.secrets import no_secrets_in_the_open
from callreel.examine.whole import (
    audit_holds,
    kept_long_enough,
    keys_destroyed,
    keys_of_their_own,
    nothing_lost,
    one_account_each,
    quarantine_kept,
)
from callreel.ledger.examination import Case

OF_A_RECORDING: list[Callable[[Case, Scene], Awaitable[list[Finding]]]] = [
    spooled,
    delivered,
    plaintext,
    events,
    fences,
    legal_moves,
    parked,
    window,
    moved,
]
OF_THE_WHOLE: list[Callable[[Scene], AsyncIterator[Finding]]] = [
    nothing_lost,
    keys_of_their_own,
    no_strangers,
    kept_long_enough,
    keys_destroyed,
    no_secrets_in_the_open,
    one_account_each,
    audit_holds,
    quarantine_kept,
    sources_agree,
]

LOOKS = 5  # at a suspect that moves while it is looked at
AT_ONCE = 16  # recordings whose files and objects are looked at together


@dataclass(slots=True)
class Examined:
    """What an examination came to. Notes are few: equal ones are counted."""

    violations: list[Violation] = field(default_factory=list)
    notes: Counter[Note] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        return not self.violations


async def examine(scene: Scene, *, on_violation: Callable[[Violation], None] | None = None) -> Examined:
    """Look at everything. Violations are also told as they are found. Raises `DatabaseAway`.

    A suspect is looked at again before it counts: only one whose row stood still while its files and objects were
    looked at is a violation, since beside a live service everything moves.
    """
    examined = Examined()
    async for finding in findings(scene):
        if isinstance(finding, Note):
            examined.notes[finding] += 1
        else:
            examined.violations.append(finding)
            if on_violation is not None:
                on_violation(finding)
    return examined


async def findings(scene: Scene) -> AsyncIterator[Finding]:
    """As `examine`, one by one as they come, notes repeated."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def in_turn(case: Case) -> list[Finding]:
        async with turn:
            return await of_recording(case, scene)

    async for account_sid in accounts_of(scene):
        async for page in scene.ledger.examination.pages(account_sid):
            for found in await asyncio.gather(*map(in_turn, page)):
                for finding in found:
                    yield finding
    for of_the_whole in OF_THE_WHOLE:
        async for finding in of_the_whole(scene):
            yield finding


async def of_recording(case: Case, scene: Scene) -> list[Finding]:
    """What is wrong with one recording, looked at until it stood still."""
    for _ in range(LOOKS):
        found = [finding for judge in OF_A_RECORDING for finding in await judge(case, scene)]
        if not any(isinstance(finding, Violation) for finding in found):
            return found
        again = await scene.ledger.examination.look(case.recording.account_sid, case.recording.sid)
        if again is None:
            return []  # purged meanwhile; that its time had come is another invariant's
        if again.recording == case.recording:
            return found
        case = again
    text = "moved each time it was looked at; check again"
    return [Note(invariant="I2", subject=case.recording.sid, text=text)]
