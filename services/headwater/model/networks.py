"""Which addresses senders may have: ranges as people write them, addresses as proxies and sockets do."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from headwater.model.errors import ConfigError

Network = IPv4Network | IPv6Network
_MAPPED = ip_network("::ffff:0:0/96")  # IPv4 addresses as IPv6 writes them; senders' are read as IPv4


def networks(texts: Sequence[str], what: str) -> tuple[Network, ...]:
    """The ranges in `texts`. Raises: ConfigError, naming `what`."""
    try:
        return tuple(_unmapped(ip_network(text)) for text in texts)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}; give addresses or ranges such as 10.0.0.0/8") from error


def _unmapped(found: Network) -> Network:
    """A range of IPv4 addresses as IPv6 writes them, as the range of IPv4 that it is."""
    if not isinstance(found, IPv6Network) or found.prefixlen < _MAPPED.prefixlen or found[0] not in _MAPPED:
        return found
    return IPv4Network((int(found[0]) & 0xFFFFFFFF, found.prefixlen - _MAPPED.prefixlen))


@lru_cache(maxsize=4096)
def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`, with a port, a zone, or IPv4 as IPv6 writes it as well; None for what is none."""
    plain = text.strip().strip('"')
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]  # IPv4 with its port
    try:
        found = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


@lru_cache(maxsize=8192)
def is_within(text: str, ranges: tuple[Network, ...]) -> bool:
    """Whether the address in `text` lies in one of `ranges`; no address lies in none."""
    address = address_in(text)
    return address is not None and any(address.version == each.version and address in each for each in ranges)
