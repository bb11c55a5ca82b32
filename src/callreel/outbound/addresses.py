"""Which IP addresses are nobody's business to call: the special-purpose registries, as one table with reasons.

Judges addresses only. Names are resolved, and connections made, in `guard.py`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registries (RFC 6890 and successors), written out: what `ipaddress.is_global`
# says differs between patch releases of Python. The first match names the reason.
_SPECIAL = [
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's shared address"),
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "a cloud provider's internal address"),  # Azure's host agent, in public space
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("::ffff:0:0/96", "an IPv4 address inside an IPv6 address"),
        ("::/96", "an IPv4 address inside an IPv6 address"),
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2001:db8::/32", "a documentation address"),
        ("2001::/23", "a reserved address"),  # Teredo, ORCHID and benchmarking among them
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a private address"),
        ("ff00::/8", "a multicast address"),
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out for the public Internet
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the interface identifier's upper half; the lower is an IPv4 address


def why_forbidden(address: Address, private_networks: Sequence[Network] = ()) -> str | None:
    """Why callreel must not call this address, as a noun phrase; None when it may.

    An address inside one of `private_networks` may be called whatever it is: its operator said so. An
    IPv4-mapped address counts as the IPv4 address the kernel would connect to. Other IPv6 addresses that
    carry an IPv4 address are forbidden even when the inner one is public, because what they lead to is
    decided by a translator elsewhere.
    """
    if is_inside(address, private_networks):
        return None
    for network, reason in _SPECIAL:
        if address.version == network.version and address in network:
            return reason
    if isinstance(address, ipaddress.IPv6Address):
        if address not in _GLOBAL_UNICAST:
            return "a reserved address"
        if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return "an ISATAP address"
    return None


def is_inside(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks holds the address, or the IPv4 address it is mapped from."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any(
        candidate in network
        for candidate in (address, mapped)
        if candidate is not None
        for network in networks
        if network.version == candidate.version
    )
