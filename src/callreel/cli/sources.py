"""`callreel sources`: add, list, check and remove the Twilio accounts that recordings are moved out of."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import Misconfigured, NotFound
from callreel.model.deed import OPERATOR
from callreel.model.sid import AccountSid, parse_sid
from callreel.model.source import POLL_SECONDS, Ability, AbilityOutcome, Source
from callreel.parts import Parts
from callreel.steps.keep_source import SourceWish, add_source, change_source, check_source, remove_source
from callreel.web.sources import checked_json, source_json

app = typer.Typer(add_completion=False, help="Twilio accounts that recordings are moved out of.", no_args_is_help=True)

SECRET_VARIABLE = "CALLREEL_SOURCE_AUTH_TOKEN"  # noqa: S105 - a variable's name
LONGEST_SECRET_BYTES = 4096
Sid = Annotated[str, typer.Argument(metavar="SR…", help="The source's SID.")]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--auth-token-file",
        metavar="FILE",
        help=f"Where the auth token or API key secret is; - is standard input. Else {SECRET_VARIABLE}, else a prompt.",
    ),
]
_COLUMNS = ("sid", "twilio_account_sid", "friendly_name", "poll_seconds", "polled_to", "last_error")
_MARKS = {AbilityOutcome.PASSED: "✓", AbilityOutcome.FAILED: "✗", AbilityOutcome.SKIPPED: "–"}


@command(app, "sources add", example="callreel sources add --account AC… --twilio-account-sid AC…")
def add(
    asked: Asked,
    account: Annotated[str, typer.Option(metavar="AC…", help="The callreel account that gets the recordings.")],
    twilio_account_sid: Annotated[str, typer.Option(metavar="AC…", help="The account over there.")],
    api_key: Annotated[
        str | None, typer.Option(metavar="SK…", help="Sign in with this API key; the secret is the key's.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Where its API is, if not at Twilio.")] = None,
    friendly_name: Annotated[str | None, typer.Option(help="1 to 64 characters.")] = None,
    poll_seconds: Annotated[
        int, typer.Option(min=0, help="How often to look for new recordings; 0 is never.")
    ] = POLL_SECONDS,
    include_subaccounts: Annotated[bool, typer.Option("--include-subaccounts", help="Theirs too.")] = False,
    record_verb_is_voicemail: Annotated[
        bool, typer.Option("--record-verb-is-voicemail", help="Keep what <Record> made as voicemails.")
    ] = False,
    without_calls: Annotated[
        bool, typer.Option("--without-calls", help="Do not ask who called whom; recordings come without numbers.")
    ] = False,
    auth_token_file: SecretFile = None,
) -> None:
    """Add a source. Its secret comes from a file, from CALLREEL_SOURCE_AUTH_TOKEN or from a prompt."""
    settings = asked.settings()
    wish = _wish(
        api_key,
        _secret(auth_token_file),
        SourceWish(
            friendly_name=friendly_name,
            poll_seconds=poll_seconds,
            include_subaccounts=include_subaccounts,
            record_verb_is_voicemail=record_verb_is_voicemail,
            include_calls=not without_calls,
        ),
    )

    async def work(parts: Parts) -> dict[str, object]:
        owner = await parts.ledger.accounts.find(AccountSid(account))
        if owner is None:
            raise NotFound(f"There is no account {account}")
        source = await add_source(
            owner.sid,
            parse_sid("AC", twilio_account_sid),
            wish,
            base_url=base_url,
            ledger=parts.ledger,
            sources=parts.sources,
            guard=parts.guard,
            clock=parts.clock,
            by=OPERATOR,
        )
        return source_json(source, parts.public_url)

    made = with_parts(settings, work)
    words = f"{made['sid']} is a source now. See what its credential may do: callreel sources check {made['sid']}"
    if made["webhook_url"]:
        words += f"\nIts status callbacks may be sent to {made['webhook_url']}"
    if made["webhook_trouble"]:
        words += f"\n{made['webhook_trouble']}."
    asked.answer(made, words)


@command(app, "sources list", example="callreel sources list")
def list_sources(
    asked: Asked, account: Annotated[str | None, typer.Option(metavar="AC…", help="Those of this account.")] = None
) -> None:
    """List sources, oldest first."""

    async def work(parts: Parts) -> list[dict[str, object]]:
        found = await parts.ledger.sources.list_all()
        return [source_json(one, parts.public_url) for one in found if account in (None, one.account_sid)]

    rows = with_parts(asked.settings(), work)
    table = Table(box=None)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold", min_width=34 if name.endswith("sid") else None)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in _COLUMNS))
    asked.answer({"sources": rows}, table if rows else "No sources yet: callreel sources add")


@command(app, "sources check", example="callreel sources check SR…")
def check(asked: Asked, sid: Sid) -> None:
    """Say what a source's credential may do there, without changing anything. Exit 1 when something needed fails."""

    async def work(parts: Parts) -> tuple[Source, bool, Sequence[Ability]]:
        source = await _known(parts, sid)
        return source, *(await check_source(source, ledger=parts.ledger, sources=parts.sources))

    source, ok, found = with_parts(asked.settings(), work)
    words = Text("\n").join(_line(one) for one in found)
    asked.answer(checked_json(source, ok, found), words)
    if not ok:
        raise typer.Exit(FAILED)


@command(app, "sources renew", example="callreel sources renew SR… --auth-token-file token.txt")
def renew(
    asked: Asked,
    sid: Sid,
    api_key: Annotated[str | None, typer.Option(metavar="SK…", help="Sign in with this API key.")] = None,
    auth_token_file: SecretFile = None,
) -> None:
    """Give a source a new credential, as after its token was rotated over there."""
    settings = asked.settings()
    wish = _wish(api_key, _secret(auth_token_file), SourceWish())

    async def work(parts: Parts) -> dict[str, object]:
        source = await _known(parts, sid)
        changed = await change_source(
            source, wish, ledger=parts.ledger, sources=parts.sources, clock=parts.clock, by=OPERATOR
        )
        return source_json(changed, parts.public_url)

    asked.answer(with_parts(settings, work), f"{sid} signs in with the new credential from now on.")


@command(app, "sources remove", example="callreel sources remove SR…")
def remove(asked: Asked, sid: Sid) -> None:
    """Forget a source and its secret. What was moved stays; what was not stays where it is."""

    async def work(parts: Parts) -> None:
        await remove_source(await _known(parts, sid), ledger=parts.ledger, clock=parts.clock, by=OPERATOR)

    with_parts(asked.settings(), work)
    asked.answer({"sid": sid, "removed": True}, f"{sid} is removed.")


async def _known(parts: Parts, sid: str) -> Source:
    found = await parts.ledger.sources.find_for_work(sid)
    if found is None:
        raise NotFound(f"There is no source {sid}")
    return found


def _wish(api_key: str | None, secret: str, wish: SourceWish) -> SourceWish:
    if api_key is None:
        return replace(wish, auth_token=secret)
    return replace(wish, api_key_sid=parse_sid("SK", api_key), api_key_secret=secret)


def _secret(file: Path | None) -> str:
    """The secret, from the first place that has one. Raises `Misconfigured`."""
    if file is not None:
        try:
            given = sys.stdin.read(LONGEST_SECRET_BYTES) if str(file) == "-" else _read(file)
        except (OSError, UnicodeDecodeError) as why:
            raise Misconfigured(f"{file} cannot be read: {why}") from why
        if not given.strip():
            raise Misconfigured(f"{file} is empty")
        return given.strip()
    if given := os.environ.get(SECRET_VARIABLE, "").strip():
        return given
    if not sys.stdin.isatty():
        raise Misconfigured(f"Give the secret by --auth-token-file or {SECRET_VARIABLE}; there is no terminal to ask")
    return str(typer.prompt("Auth token or API key secret", hide_input=True, err=True)).strip()


def _read(file: Path) -> str:
    with file.open(encoding="utf-8") as opened:
        return opened.read(LONGEST_SECRET_BYTES)


def _line(one: Ability) -> Text:
    style = {AbilityOutcome.PASSED: "green", AbilityOutcome.FAILED: "red"}.get(one.outcome, "")
    line = Text.assemble((_MARKS[one.outcome], style), f" {one.name}: {one.detail}")
    return line.append(f"\n  {one.remedy}") if one.remedy else line
