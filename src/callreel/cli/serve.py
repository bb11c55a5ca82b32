"""`callreel serve`: the service. API and workers on one event loop, or one of the two."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
import uvloop

from callreel.app import Database, open_parts
from callreel.cli.asked import Asked, command
from callreel.cli.heap import give_large_blocks_back
from callreel.cli.installation import make_data_dir
from callreel.cli.listener import Listener, allow_many_files, bind, url_of
from callreel.cli.logs import Level
from callreel.cli.stopping import Stopping
from callreel.console.console import make_console
from callreel.ledger.database import check_clock
from callreel.model import person as people
from callreel.model.deed import OPERATOR
from callreel.parts import Parts
from callreel.settings import Settings
from callreel.steps.admit_person import admit_person
from callreel.steps.open_account import open_account
from callreel.web.listener import make_web
from callreel.worker.duties import keep_renditions
from callreel.worker.shift import work

app = typer.Typer(add_completion=False)

Role = Literal["all", "api", "worker"]
FIRST_ACCOUNT = "Main account"
FIRST_PERSON = "owner@callreel.localhost"


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the service: what it does and for which installation. `bound` is None for a mere worker."""

    asked: Asked
    settings: Settings
    database: Database
    bound: socket.socket | None
    public_url: str
    works: bool
    opens_first_account: bool
    stopping: Stopping


@command(app, "serve", example="callreel serve --port 8080 --data-dir /var/lib/callreel")
def serve(
    asked: Asked,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    role: Annotated[Role, typer.Option(help="all: API and workers; or one of the two.")] = "all",
    first_account: Annotated[
        bool, typer.Option("--first-account", help="Open an account if there is none, and print its sign-in.")
    ] = False,
    log_level: Annotated[Level, typer.Option(help="The least that is logged.")] = "info",
) -> None:
    """Run the service until SIGTERM or SIGINT. A second signal exits at once."""
    stopping = Stopping()
    settings = asked.settings(of_an_installation=False)
    bound = bind(host, port) if role != "worker" else None
    allow_many_files()
    give_large_blocks_back()
    make_data_dir(settings)
    database = Database(settings)
    service = Service(
        asked=asked,
        settings=settings,
        database=database,
        bound=bound,
        public_url=settings.public_url or (url_of(bound) if bound else f"http://{host}:{port}"),
        works=role != "api",
        opens_first_account=first_account,
        stopping=stopping,
    )
    try:
        uvloop.run(_run(service, database.start()))
    finally:
        stopping.listen()
        database.stop()


async def _run(service: Service, database_url: str) -> None:
    stop = service.stopping.in_loop()
    if service.stopping.asked:
        return
    async with open_parts(service.settings, database_url=database_url, public_url=service.public_url) as parts:
        await check_clock(parts.ledger.engine, parts.clock.now)
        if service.works:
            parts.spool.lock_for_work()
        sign_in = await _first_account(parts) if service.opens_first_account else None
        async with _renditions(parts, service), asyncio.TaskGroup() as group:
            listener = None
            if service.bound is not None:
                doors = make_web(parts, console=make_console(parts))
                listener = Listener(doors, on_answering=lambda: _announce(service, sign_in))
                group.create_task(_listen(listener, service.bound, stop))
                group.create_task(keep_renditions(parts, stop))
            if service.works:
                group.create_task(work(parts, stop, mend=lambda: asyncio.to_thread(_mend, service.database)))
            if listener is None:
                _announce(service, sign_in)
            await stop.wait()
            if listener is not None:
                listener.stop()


@asynccontextmanager
async def _renditions(parts: Parts, service: Service) -> AsyncIterator[None]:
    """The rendition cache belongs to the process that serves media."""
    if service.bound is None:
        yield
        return
    parts.renditions.prepare()
    try:
        yield
    finally:
        await parts.renditions.close()


async def _listen(listener: Listener, bound: socket.socket, stop: asyncio.Event) -> None:
    """A listener that ends takes the rest of the process with it."""
    try:
        await listener.serve(sockets=[bound])
    finally:
        stop.set()


def _mend(database: Database) -> None:
    """Bring the embedded server back if it is gone; somebody else's server is theirs to mend."""
    database.start()


def _announce(service: Service, sign_in: dict[str, str] | None) -> None:
    document: dict[str, Any] = {"url": None, "public_url": service.public_url, "pid": os.getpid(), "account": sign_in}
    words = "Working; there is nothing to listen to."
    if service.bound is not None:
        document["url"] = url_of(service.bound)
        words = f"Answering at {service.public_url}"
        typer.echo(f"listening on {document['url']}", err=True)
    if sign_in is not None:
        words += (
            f"\nConsole      {service.public_url}/console/\n"
            f"E-mail       {sign_in['email']}\nPassword     {sign_in['password']}\n"
            f"Account SID  {sign_in['sid']}\nAuth token   {sign_in['auth_token']}\n"
            "The first two are for you, the last two for programs. Password and token are shown this once."
        )
    service.asked.answer(document, words)


async def _first_account(parts: Parts) -> dict[str, str] | None:
    if await parts.ledger.accounts.list_all():
        return None
    account, token = await open_account(
        FIRST_ACCOUNT,
        parent=None,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
        by=OPERATOR,
    )
    person, password = await admit_person(
        account,
        FIRST_PERSON,
        people.Role.OWNER,
        password=None,
        people=parts.ledger.people,
        passwords=parts.passwords,
        clock=parts.clock,
        by=OPERATOR,
    )
    return {"sid": account.sid, "auth_token": token, "email": person.email, "password": password or ""}
