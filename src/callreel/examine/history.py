"""I8, I10, I11, I12, I16: whether a recording's row is what its ledger lines made of it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from itertools import pairwise

from callreel.examine.finding import Finding, Violation
from callreel.examine.scene import Scene
from callreel.ledger.examination import Case
from callreel.model.patience import CONFIRM_S
from callreel.model.recording import ARROWS, State, owed_event

KEPT_ASIDE = ("spool-corrupt", "key-unreadable", "evidence-mismatch")
"""Reasons for which a recording is parked before its window is used up: trying on would do harm, or cannot help."""

_WINDOW = re.compile(r"the retry window of (\d+(?:\.\d+)?) s is used up")


async def events(case: Case, scene: Scene) -> list[Finding]:
    """I8: each move that owes an event has it in the outbox, once; and nothing else is there."""
    recording = case.recording
    owed = {owed_event(recording, State(line.to_state)) for line in case.lines} - {None}
    if Counter(case.events) == Counter(owed):
        return []
    text = f"owes the events {_words(owed)} and has {_words(case.events)}"
    return [Violation(invariant="I8", subject=recording.sid, text=text)]


async def fences(case: Case, scene: Scene) -> list[Finding]:
    """I10: every move raised the fence by one, and the row carries the last."""
    recording, carried = case.recording, [line.fence for line in case.lines]
    if carried == list(range(1, len(carried) + 1)) and recording.fence == len(carried):
        return []
    text = f"has fence {recording.fence} and its moves have {carried[:20]}"
    return [Violation(invariant="I10", subject=recording.sid, text=text)]


async def legal_moves(case: Case, scene: Scene) -> list[Finding]:
    """I16: every move followed an arrow, and the row is where the last one led."""
    recording, found = case.recording, list[Finding]()
    states = [None, *(State(line.to_state) for line in case.lines)]
    for (before, after), line in zip(pairwise(states), case.lines, strict=True):
        if line.from_state != before or after not in ARROWS[before]:
            text = f"went from {line.from_state} to {after} when it was {before}"
            found.append(Violation(invariant="I16", subject=recording.sid, text=text))
    if states[-1] is not recording.state:
        text = f"is {recording.state}, and its last move led to {states[-1]}"
        found.append(Violation(invariant="I16", subject=recording.sid, text=text))
    return found


async def parked(case: Case, scene: Scene) -> list[Finding]:
    """I11: parked only when the window was used up or trying would do harm; left only by a person's word."""
    recording, found = case.recording, list[Finding]()
    for line, following in pairwise(case.lines):
        if line.to_state == State.PARKED and following.to_state != State.DELETING and not following.reason:
            text = f"left parked for {following.to_state} and nobody said why"
            found.append(Violation(invariant="I11", subject=recording.sid, text=text))
    if recording.state is not State.PARKED or not case.lines:
        return found
    reason = case.lines[-1].reason or ""
    told = _WINDOW.search(reason)
    window_s = float(told.group(1)) if told else scene.patience.window_s
    # A REAL in the row: seven digits.
    if recording.retry_spent_s < window_s - 0.01 and not reason.startswith(KEPT_ASIDE):
        text = f"is parked after {recording.retry_spent_s:.0f} of {window_s:.0f} s: {reason[:100]}"
        found.append(Violation(invariant="I11", subject=recording.sid, text=text))
    return found


async def window(case: Case, scene: Scene) -> list[Finding]:
    """I12: what waits has time left, and is due soon."""
    recording = case.recording
    if recording.state is not State.WAITING:
        return []
    if recording.retry_spent_s >= scene.patience.window_s:
        text = f"waits although {recording.retry_spent_s:.0f} s of {scene.patience.window_s:.0f} are used up"
        return [Violation(invariant="I12", subject=recording.sid, text=text)]
    longest = timedelta(seconds=max(scene.patience.cap_s, CONFIRM_S) + 1)
    if recording.next_attempt_at is None or recording.next_attempt_at - scene.clock.now() > longest:
        text = f"waits until {recording.next_attempt_at}, longer than any back-off"
        return [Violation(invariant="I12", subject=recording.sid, text=text)]
    return []


def _words(names: object) -> str:
    return ", ".join(sorted(str(n) for n in names)) or "none"  # type: ignore[attr-defined]
