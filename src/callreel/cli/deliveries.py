"""`callreel deliveries`: the operator's view of what has not reached its bucket, and the restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import typer
from rich.table import Table

from callreel.cli.asked import Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import NotFound
from callreel.ledger.paging import Place
from callreel.model.deed import OPERATOR
from callreel.model.recording import UNFINISHED, Recording, State
from callreel.model.sid import AccountSid, RecordingSid
from callreel.parts import Parts
from callreel.steps.restart import Pace, restart_all
from callreel.web.answers import delivery_json

app = typer.Typer(
    add_completion=False,
    help="What has not reached its bucket, and the restart of what was given up.",
    no_args_is_help=True,
)

HELD = "held"
STATES = (*sorted(UNFINISHED), HELD)
PAGE = 500
_COLUMNS = ("recording_sid", "state", "attempts", "next_attempt_at", "error_code", "error")

OfAccount = Annotated[str | None, typer.Option("--account", metavar="AC…", help="Those of this account.")]


@command(app, "deliveries list", example="callreel deliveries list --state parked")
def list_deliveries(
    asked: Asked,
    account: OfAccount = None,
    state: Annotated[str | None, typer.Option(help=f"One of {', '.join(STATES)}.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="No more than this many.")] = None,
) -> None:
    """List deliveries that are not finished, newest first, held ones included."""
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"--state must be one of {', '.join(STATES)}")

    async def work(parts: Parts) -> list[Recording]:
        found = []
        async for recording in _unfinished(parts, await _known(parts, account), state):
            found.append(recording)
            if len(found) == limit:
                break
        return found

    rows = [delivery_json(recording) for recording in with_parts(asked.settings(), work)]
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in _COLUMNS))
    asked.answer({"deliveries": rows}, table if rows else "Every recording has reached its bucket.")


@command(app, "deliveries restart", example="callreel deliveries restart --all")
def restart(
    asked: Asked,
    recording: Annotated[list[str] | None, typer.Option(metavar="RE…", help="This one; may be repeated.")] = None,
    account: OfAccount = None,
    everything: Annotated[bool, typer.Option("--all", help="Those of every account.")] = False,
) -> None:
    """Give parked and held recordings a new window, under the settings as they are now. May be repeated."""
    if [bool(recording), account is not None, everything].count(True) != 1:
        raise typer.BadParameter("name what to restart by one of --recording, --account or --all")

    async def work(parts: Parts) -> int:
        pace = Pace()
        if recording:
            return await _restart(parts, [await _fetch(parts, sid) for sid in dict.fromkeys(recording)], pace)
        of = await _known(parts, account)
        restarted = 0
        for state in (State.PARKED, HELD):
            async for page in _pages(parts, of, state):
                restarted += await _restart(parts, page, pace)
        return restarted

    restarted = with_parts(asked.settings(), work)
    asked.answer({"restarted": restarted}, f"{restarted} restarted.")


async def _unfinished(parts: Parts, account: AccountSid | None, state: str | None) -> AsyncIterator[Recording]:
    async for page in _pages(parts, account, state):
        for recording in page:
            yield recording


async def _pages(parts: Parts, account: AccountSid | None, state: str | None) -> AsyncIterator[Sequence[Recording]]:
    """Page by page, so that a million of them do not lie in memory; what is moved meanwhile is not seen twice."""
    states = None if state is None else frozenset({State.FATAL if state == HELD else State(state)})
    place: Place | None = None
    while True:
        page = await parts.ledger.recordings.list_unfinished(
            account_sid=account, states=states, after=place, limit=PAGE
        )
        yield [recording for recording in page if state != HELD or recording.is_held]
        if len(page) < PAGE:
            return
        place = Place(page[-1].date_created, page[-1].sid)


async def _known(parts: Parts, account: str | None) -> AccountSid | None:
    if account is None:
        return None
    found = await parts.ledger.accounts.find(AccountSid(account))
    if found is None:
        raise NotFound(f"There is no account {account}")
    return found.sid


async def _fetch(parts: Parts, sid: str) -> Recording:
    found = await parts.ledger.recordings.find_for_work(RecordingSid(sid))
    if found is None:
        raise NotFound(f"There is no recording {sid}; nothing was restarted")
    return found


async def _restart(parts: Parts, page: Sequence[Recording], pace: Pace) -> int:
    return await restart_all(
        page, ledger=parts.ledger, buckets=parts.buckets, clock=parts.clock, pace=pace, by=OPERATOR
    )
