"""A pretend Twilio and a source opened on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from random import Random

import aiohttp
import pytest

from callreel.clock import SetClock
from callreel.model.source import SourceCredential
from callreel.outbound.guard import Guard, PlainHttp
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.twilio_sign_in import PretendAccount
from callreel.source.pace import Pace
from callreel.source.twilio_account import TwilioAccount

Open = Callable[..., TwilioAccount]


@pytest.fixture
async def twilio(clock: SetClock) -> AsyncIterator[PretendTwilio]:
    async with PretendTwilio(clock=clock) as server:
        yield server


@pytest.fixture
def acme(twilio: PretendTwilio) -> PretendAccount:
    return twilio.add_account(name="Acme")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    guard = Guard([ip_network("127.0.0.0/8")])
    async with guard.open_session(plain_http=PlainHttp.PRIVATE_ONLY) as session:
        yield session


@pytest.fixture
def rests() -> list[float]:
    """The seconds a pace rested."""
    return []


@pytest.fixture
def open_source(
    twilio: PretendTwilio, acme: PretendAccount, http: aiohttp.ClientSession, clock: SetClock, rests: list[float]
) -> Open:
    async def rest(seconds: float) -> None:
        rests.append(seconds)
        clock.advance(seconds)
        await asyncio.sleep(0)

    def opened(*, username: str = "", password: str = "", url: str = "") -> TwilioAccount:
        credential = SourceCredential(username or acme.sid, password or acme.auth_token)
        pace = Pace(clock=clock, rng=Random(3), sleep=rest)
        return TwilioAccount(url or twilio.url, acme.sid, credential, http, pace=pace, clock=clock)

    return opened


@pytest.fixture
def source(open_source: Open) -> TwilioAccount:
    return open_source()
