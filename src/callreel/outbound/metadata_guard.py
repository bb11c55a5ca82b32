"""The exception to the guard's rule: a cloud machine's metadata service, for the operator's own calls.

A session of its own that can reach these addresses and nothing else, so that nothing a tenant names ever runs
over it; every other session still refuses them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import aiohttp

from callreel.errors import AddressBlocked
from callreel.outbound.addresses import Network
from callreel.outbound.guard import Guard, PlainHttp

METADATA_ADDRESSES = ("169.254.169.254", "169.254.170.2")  # EC2's instance metadata, ECS's credentials


class MetadataGuard(Guard):
    """Allows exactly the addresses it is given."""

    def __init__(self, addresses: Sequence[str] = METADATA_ADDRESSES) -> None:
        self._allowed = frozenset(addresses)
        networks: list[Network] = [ipaddress.ip_network(address) for address in addresses]
        super().__init__(networks)

    def check_address(self, address: str, *, host: str, secured: bool = True) -> None:
        """As `Guard.check_address`, and refuses all that is not on the list, the public Internet too."""
        if address not in self._allowed:
            raise AddressBlocked(f"{host} is not a metadata service")
        super().check_address(address, host=host, secured=secured)


def open_metadata_session(addresses: Sequence[str] = METADATA_ADDRESSES) -> aiohttp.ClientSession:
    """A session for metadata services only. The caller closes it."""
    return MetadataGuard(addresses).open_session(plain_http=PlainHttp.PRIVATE_ONLY, connections=4)
