"""Which step a job's name means, and how a recording is carried from one step to the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from callreel.bucket.second_look import SecondLooks
from callreel.bucket.traffic import Traffic
from callreel.model.recording import Recording, next_job
from callreel.model.sid import RecordingSid
from callreel.parts import Parts
from callreel.steps.delete import Deleting, delete
from callreel.steps.deliver import Delivering, deliver
from callreel.steps.erase import erase
from callreel.steps.notify import notify
from callreel.steps.release import release
from callreel.steps.seal import seal

Step = Callable[[Recording], Awaitable[Recording]]

SPOOL_STEPS = ("seal", "deliver", "release", "erase", "delete")
"""Steps that need the spool a recording lies in: their jobs go to that host's queue."""


def steps_of(parts: Parts) -> dict[str, Step]:
    """Job name → step, with the shelves each one needs."""
    p = parts
    delivering = Delivering(
        ledger=p.ledger,
        spool=p.spool,
        buckets=p.buckets,
        keys=p.keys,
        traffic=Traffic(p.chosen.delivery_concurrency, now=p.clock.monotonic),
        looks=SecondLooks(p.clock.monotonic),
        patience=p.chosen.patience,
        clock=p.clock,
        rng=p.rng,
        accepted_grace_s=p.chosen.accepted_grace_s,
    )
    deleting = Deleting(
        ledger=p.ledger,
        spool=p.spool,
        buckets=p.buckets,
        retention=p.chosen.retention,
        patience=p.chosen.patience,
        clock=p.clock,
        rng=p.rng,
    )
    return {
        "seal": lambda r: seal(
            r,
            spool=p.spool,
            ledger=p.ledger,
            keyring=p.keyring,
            keys=p.keys,
            buckets=p.buckets,
            clock=p.clock,
        ),
        "deliver": lambda r: deliver(r, parts=delivering),
        "release": lambda r: release(r, spool=p.spool, ledger=p.ledger),
        "erase": lambda r: erase(r, spool=p.spool, ledger=p.ledger, retention=p.chosen.retention, clock=p.clock),
        "delete": lambda r: delete(r, parts=deleting),
    }


async def carry(
    sid: RecordingSid, *, parts: Parts, steps: dict[str, Step], known: Recording | None = None
) -> Recording | None:
    """Take a recording from step to step under one job, until it has to wait or is done.

    The row is the truth, not the job: what the row does not ask for now is not done, and a job that finds
    the recording elsewhere ends quietly. `known` is the row as it was just written, by whoever need not read it
    again: its fence guards every move. Returns the recording as it was left, None if there is none.
    """
    found = known or await parts.ledger.recordings.find_for_work(sid)
    if found is None:
        return None
    recording = found.changed(carried=True)
    while True:
        job = next_job(recording.state, settings=recording.settings, next_attempt_at=recording.next_attempt_at)
        if job is None or (job.at is not None and job.at > parts.clock.now()):
            return recording
        recording = await steps[job.step](recording)


async def tell(sid: str, *, parts: Parts, is_crowded: Callable[[], bool]) -> None:
    """Send what is owed about a recording; see `notify` for what a crowd means."""
    await notify(
        sid,
        ledger=parts.ledger,
        keyring=parts.keyring,
        sender=parts.sender,
        patience=parts.chosen.patience,
        clock=parts.clock,
        rng=parts.rng,
        is_crowded=is_crowded,
    )
