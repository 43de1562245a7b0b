"""The listening socket of a process, where the event loop's own is not what people mean by an address."""

import socket
from ipaddress import ip_address

BACKLOG = 1024


def every_address(host: str, port: int) -> socket.socket | None:
    """A socket for IPv6 and IPv4 where `host` is `::`; None for every other address, and where the machine cannot.

    The event loop makes sockets for `::` that take IPv6 alone. Raises: OSError when the port is taken.
    """
    if not (_is_everywhere(host) and socket.has_dualstack_ipv6()):
        return None
    return socket.create_server(
        (host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
    )  # closed by the server that takes it


def _is_everywhere(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.version == 6 and address.is_unspecified
