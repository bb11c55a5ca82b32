"""Tell the customer what was promised to be told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random

from callreel.clock import Clock
from callreel.errors import CallbackFailed, NotFound, SealBroken
from callreel.failpoints import reach
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.ledger.outbox import OwedEvent
from callreel.model.patience import Park, Patience
from callreel.outbound.callback import CallbackSender
from callreel.sealing.keyring import Keyring

PUT_OFF_S = 10.0  # at most, when others are waiting and the receiver is still busy with earlier events


async def notify(
    recording_sid: str,
    *,
    ledger: Ledger,
    keyring: Keyring,
    sender: CallbackSender,
    patience: Patience,
    clock: Clock,
    rng: Random,
    is_crowded: Callable[[], bool],
) -> None:
    """Send a recording's owed events in order; one that must wait keeps those behind it waiting.

    At least once each, with the same idempotency token on every try. What the receiver refuses for good, or
    did not take within the window, is given up and stands in the account's alerts. While it is crowded, an event
    whose receiver is busy is put off rather than hold up those for others.
    """
    for event in await ledger.outbox.list_due(recording_sid):
        if event.next_attempt_at is not None and event.next_attempt_at > clock.now():
            return
        if is_crowded() and sender.is_busy(event.url):
            await ledger.outbox.put_off(event, at=clock.now() + timedelta(seconds=rng.uniform(1, PUT_OFF_S)))
            return
        try:
            token = await _auth_token(event, ledger, keyring)
            await sender.send(
                event.url, event.method, list(event.parameters), auth_token=token, idempotency_token=event.id
            )
        except CallbackFailed as why:
            if not await _wait_or_give_up(event, why, ledger=ledger, patience=patience, clock=clock, rng=rng):
                return
        else:
            reach("C15")
            await ledger.outbox.mark_sent(event)


async def _auth_token(event: OwedEvent, ledger: Ledger, keyring: Keyring) -> str:
    try:
        sealed = await ledger.accounts.fetch_sealed_token(event.account_sid)
        return keyring.open(sealed, table="accounts", row=event.account_sid, account=event.account_sid).decode()
    except (NotFound, SealBroken) as why:
        raise CallbackFailed("The account's auth token cannot be read, so the callback cannot be signed") from why


async def _wait_or_give_up(
    event: OwedEvent, why: CallbackFailed, *, ledger: Ledger, patience: Patience, clock: Clock, rng: Random
) -> bool:
    """True when the event is done with, and the next one may be sent."""
    await ledger.alerts.raise_alert(
        Alert(
            account_sid=event.account_sid,
            recording_sid=event.recording_sid,
            code=why.twilio_code,
            level="error",
            text=f"The callback '{event.event}' was not taken: {why.message}",
            at=clock.now(),
        )
    )
    decision = patience.after_a_stumble(event.attempts + 1, event.retry_spent_s, rng)
    if not why.retryable or isinstance(decision, Park):
        await ledger.outbox.mark_given_up(event, why.message)
        return True
    await ledger.outbox.mark_waiting(
        event,
        why.message,
        at=clock.now() + timedelta(seconds=decision.seconds),
        spent_s=event.retry_spent_s + decision.seconds,
    )
    return False
