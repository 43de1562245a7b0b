"""Which network addresses a source may reach: the public ones, and the private ranges it was allowed.

The check happens where the socket is made, so it sees the address that is really connected to: names,
literals, redirects and names that change their mind between two look-ups alike.
"""

import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohappyeyeballs import AddrInfoType

from headwater.model.errors import ConfigError

Address = IPv4Address | IPv6Address
AddressRange = IPv4Network | IPv6Network

# `is_global` says True for these, although they lead to private or no single hosts
_SPECIAL: tuple[AddressRange, ...] = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96",  # NAT64: any IPv4 address in disguise
        "64:ff9b:1::/48",  # NAT64 of a local network
        "2002::/16",  # 6to4: any IPv4 address in disguise
        "2001::/32",  # Teredo: any IPv4 address in disguise
        "::/96",  # IPv4-compatible
        "fec0::/10",  # site-local
    )
)
_REFUSED = "the address is not a public one"


class AddressRefusedError(OSError):
    """The address is not a public one and the source does not allow it.

    One constant text and no address: looking into a private network by reading errors is no use.
    """

    def __init__(self) -> None:
        super().__init__(_REFUSED)


def is_refusal(error: BaseException) -> bool:
    """Whether `error`, or what several attempts to connect were merged into, is a refused address."""
    return isinstance(error, AddressRefusedError) or (isinstance(error, OSError) and _REFUSED in str(error))


@lru_cache(maxsize=1024)
def _parsed(texts: tuple[str, ...]) -> tuple[AddressRange, ...]:
    return tuple(_range(text) for text in texts)


def parse_ranges(texts: Sequence[str]) -> tuple[AddressRange, ...]:
    """The ranges in `texts` (CIDR or single addresses). Raises: ConfigError, naming the text."""
    return _parsed(tuple(texts))


def _range(text: str) -> AddressRange:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"network.allow: {text!r} is no address range: give CIDR, such as 10.0.0.0/8"
        ) from error


def is_allowed(address: Address, allowed: Sequence[AddressRange] = ()) -> bool:
    """Whether a source that was allowed `allowed` may connect to `address`."""
    plain = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    if any(plain.version == rule.version and plain in rule for rule in allowed):
        return True
    if plain.is_multicast or not plain.is_global:
        return False
    return not any(plain.version == rule.version and plain in rule for rule in _SPECIAL)


def guarded_sockets(allowed: Sequence[AddressRange]) -> Callable[[AddrInfoType], socket.socket]:
    """A socket factory that raises AddressRefusedError for what `allowed` does not cover."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = info
        try:
            address = ip_address(str(where[0]).partition("%")[0])
        except ValueError:
            raise AddressRefusedError from None
        if not is_allowed(address, allowed):
            raise AddressRefusedError
        return socket.socket(family=family, type=kind, proto=protocol)

    return make
