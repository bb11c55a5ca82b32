"""A mail server that keeps what it is given, and can be told to refuse. For tests and rehearsals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """One mail: the envelope's addresses, and the mail itself."""

    sender: str
    recipients: list[str]
    message: Message


@dataclass
class SmtpReceiver:
    """Listens on a loopback port. `refusals` are answers to give instead of taking the next mails."""

    mails: list[Received] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"smtp://127.0.0.1:{port}?from=callreel@example.org"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 rehearsal")
        sender, recipients = "", list[str]()
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO"):
                say("250 rehearsal")
            elif verb == "MAIL":
                sender, recipients = line.partition(":")[2], []
                say("250 ok")
            elif verb == "RCPT":
                recipients.append(line.partition(":")[2])
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                body = await reader.readuntil(b"\r\n.\r\n")
                if self.refusals:
                    say(self.refusals.pop(0))
                    continue
                self.mails.append(Received(sender, recipients, message_from_bytes(body[:-5], policy=default)))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 ok")
        writer.close()
