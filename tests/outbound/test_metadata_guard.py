"""The one exception to the guard: exact, and only its own."""

from __future__ import annotations

import pytest

from callreel.errors import AddressBlocked
from callreel.outbound.guard import Guard
from callreel.outbound.metadata_guard import METADATA_ADDRESSES, MetadataGuard, open_metadata_session


@pytest.mark.parametrize("address", METADATA_ADDRESSES)
def test_the_two_addresses_are_reached_and_by_nobody_else(address: str) -> None:
    MetadataGuard().check_address(address, host="metadata", secured=False)
    with pytest.raises(AddressBlocked):
        Guard().check_address(address, host="metadata")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.253",
        "169.254.170.23",
        "127.0.0.1",
        "10.0.0.1",
        "8.8.8.8",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
    ],
)
@pytest.mark.parametrize("secured", [True, False])
def test_nothing_else_is_reached(address: str, secured: bool) -> None:
    with pytest.raises(AddressBlocked):
        MetadataGuard().check_address(address, host="metadata", secured=secured)


async def test_its_session_connects_nowhere_else() -> None:
    async with open_metadata_session() as session:
        with pytest.raises(Exception, match="not a metadata service") as caught:
            await session.get("http://127.0.0.1:9/latest/meta-data/")
        error: BaseException | None = caught.value
        while error is not None and not isinstance(error, AddressBlocked):
            error = error.__cause__
        assert isinstance(error, AddressBlocked)
