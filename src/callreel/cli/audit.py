"""`callreel audit`: who did what, as the operator sees it, and the proof that nobody changed it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from callreel.cli.asked import FAILED, Asked, command
from callreel.cli.installation import with_parts
from callreel.errors import NotFound
from callreel.ledger.audit import INSTALLATION, AuditFilter, BrokenChain, Head
from callreel.ledger.paging import Place
from callreel.model.deed import ACTIONS
from callreel.model.sid import AccountSid
from callreel.parts import Parts
from callreel.web.audit import audit_json

app = typer.Typer(
    add_completion=False,
    help="Who did what and who listened; the proof that nobody changed it afterwards.",
    no_args_is_help=True,
)
PAGE = 500

OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="AC…", help="The rows of this account; else the installation's own.")
]


@command(app, "audit list", example="callreel audit list --account AC… --action recording.listened")
def list_audit(
    asked: Asked,
    account: OfAccount = None,
    action: Annotated[str | None, typer.Option(help="Such as recording.deleted.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="SID", help="What it was done to.")] = None,
    actor: Annotated[str | None, typer.Option(metavar="SID", help="Who did it; also: operator, callreel.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="No more than this many.")] = 100,
) -> None:
    """List who did what, newest first."""
    if action is not None and action not in ACTIONS:
        raise typer.BadParameter(f"--action must be one of {', '.join(ACTIONS)}")

    async def work(parts: Parts) -> list[dict[str, Any]]:
        sid = await _known(parts, account)
        wanted = AuditFilter(action=action, subject=subject, actor=actor)
        found: list[dict[str, Any]] = []
        place: Place | None = None
        while len(found) < limit:
            page = await parts.ledger.audit.page(sid, wanted, place=place, size=min(PAGE, limit - len(found)))
            found += [audit_json(row) for row in page.rows]
            if not page.has_next:
                break
            place = Place(page.rows[-1].date_created, page.rows[-1].sid)
        return found

    rows = with_parts(asked.settings(), work)
    lines = [
        f"{row['date_created']}  {row['actor']:<34}  {row['action']:<20}  {row['subject'] or ''}  "
        f"{json.dumps(row['details']) if row['details'] else ''}".rstrip()
        for row in rows
    ]
    asked.answer({"audit": rows}, "\n".join(lines) or "Nothing yet.")


@command(app, "audit verify", example="callreel audit verify --heads heads-of-last-month.json --json")
def verify(
    asked: Asked,
    account: OfAccount = None,
    heads: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What an earlier `verify --json` answered, kept elsewhere.")
    ] = None,
) -> None:
    """Read every chain and prove that no row was altered, dropped, moved or added. Exit 1 when one was.

    Its answer names the end of each chain. Keep it where nobody who can write to the database can: given back with
    --heads it also shows a chain that was computed anew.
    """
    known = _known_heads(heads)

    async def work(parts: Parts) -> tuple[list[BrokenChain], list[Head]]:
        chain = await _known(parts, account)
        ends = list(await parts.ledger.audit.heads(chain))
        return list(await parts.ledger.audit.find_broken(chain, known=known)), ends

    broken, ends = with_parts(asked.settings(), work)
    document = {
        "ok": not broken,
        "broken": [{"chain": b.chain, "number": b.number, "what": b.what} for b in broken],
        "heads": [{"chain": h.chain, "number": h.number, "hash": h.hash} for h in ends],
    }
    words = [f"{b.chain}: at row {b.number}, {b.what}" for b in broken]
    asked.answer(document, "\n".join(words) or f"{len(ends)} chains, {sum(h.number for h in ends)} rows: all hold.")
    if broken:
        raise typer.Exit(FAILED)


@command(app, "audit export", example="callreel audit export --account AC… > audit.jsonl")
def export(asked: Asked, account: OfAccount = None) -> None:
    """Write a whole chain to standard output, oldest first: one JSON object a line, or one document with --json."""

    async def work(parts: Parts) -> list[dict[str, Any]]:
        chain = await _known(parts, account) or INSTALLATION
        rows = []
        async for row in parts.ledger.audit.read_chain(chain):
            if asked.as_json:
                rows.append(audit_json(row))
            else:
                typer.echo(json.dumps(audit_json(row), ensure_ascii=False))
        return rows

    rows = with_parts(asked.settings(), work)
    if asked.as_json:
        asked.answer({"audit": rows}, "")


def _known_heads(path: Path | None) -> dict[str, tuple[int, str]]:
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text())
        return {head["chain"]: (int(head["number"]), str(head["hash"])) for head in document["heads"]}
    except (OSError, ValueError, KeyError, TypeError) as why:
        raise typer.BadParameter(f"--heads {path} is not what `callreel audit verify --json` answers") from why


async def _known(parts: Parts, account: str | None) -> AccountSid | None:
    if account is None:
        return None
    found = await parts.ledger.accounts.find(AccountSid(account))
    if found is None:
        raise NotFound(f"There is no account {account}")
    return found.sid
