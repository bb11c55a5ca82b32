"""Tell by mail what a deletion of many recordings deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from random import Random

from callreel.clock import Clock
from callreel.errors import MailFailed
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.model.deletion import Deletion, DeletionItem
from callreel.model.patience import Park, Patience
from callreel.outbound.mail import Letter, Mailer

NAMED = 100  # failures that a receipt names; the others are read at the deletion itself


async def send_receipt(
    sid: str, *, ledger: Ledger, mailer: Mailer | None, patience: Patience, clock: Clock, rng: Random
) -> None:
    """Send the receipt of a deletion that is over, once; tried again within the retry window.

    The row says that it is due until the server has taken it. A worker that dies in between sends the same letter
    again, under the same Message-ID.
    """
    deletion = await ledger.deletions.find_for_work(sid)
    if deletion is None or deletion.receipt_state != "due" or deletion.receipt_email is None:
        return
    if deletion.receipt_at is not None and deletion.receipt_at > clock.now():
        return
    attempts = deletion.receipt_attempts + 1
    try:
        if mailer is None:
            raise MailFailed("CALLREEL_SMTP_URL is not set any more")
        await mailer.send(_letter(deletion, await ledger.deletions.list_failed(sid, limit=NAMED)))
    except MailFailed as why:
        await _put_off(deletion, attempts, why, ledger=ledger, patience=patience, clock=clock, rng=rng)
        return
    await ledger.deletions.note_receipt(sid, state="sent", attempts=attempts)


async def _put_off(
    deletion: Deletion,
    attempts: int,
    why: MailFailed,
    *,
    ledger: Ledger,
    patience: Patience,
    clock: Clock,
    rng: Random,
) -> None:
    now = clock.now()
    spent_s = (now - deletion.date_completed).total_seconds() if deletion.date_completed else 0.0
    decision = patience.after_a_stumble(attempts, spent_s, rng)
    if not isinstance(decision, Park):
        at = now + timedelta(seconds=decision.seconds)
        await ledger.deletions.note_receipt(deletion.sid, state="due", attempts=attempts, error=why.message, at=at)
        return
    await ledger.deletions.note_receipt(deletion.sid, state="failed", attempts=attempts, error=why.message)
    text = f"The receipt of the deletion {deletion.sid} could not be sent: {why.message}"
    await ledger.alerts.raise_alert(Alert(account_sid=deletion.account_sid, code=0, level="warning", text=text, at=now))


def _letter(deletion: Deletion, failures: Sequence[DeletionItem]) -> Letter:
    assert deletion.receipt_email is not None
    assert deletion.date_completed is not None
    lines = [
        f"Account: {deletion.account_sid}",
        f"Deletion: {deletion.sid}, asked for by {deletion.asked_by}",
        f"Asked for: {deletion.date_created:%Y-%m-%d %H:%M:%S} UTC",
        f"Completed: {deletion.date_completed:%Y-%m-%d %H:%M:%S} UTC",
        f"Matched: {deletion.matched}",
        f"Deleted: {deletion.deleted}",
        f"Not deleted: {deletion.failed}",
        "",
        "Deleted media cannot be restored. Objects in your own bucket stay where they are.",
    ]
    if failures:
        lines += ["", "Not deleted, and why:", *(f"{item.subject_sid}: {item.reason}" for item in failures)]
    if deletion.failed > len(failures):
        lines.append(f"and {deletion.failed - len(failures)} more")
    return Letter(
        letter_id=f"receipt.{deletion.sid}",
        to=deletion.receipt_email,
        subject=f"{deletion.deleted} recordings deleted ({deletion.sid})",
        text="\n".join(lines) + "\n",
        date=deletion.date_completed,
    )
