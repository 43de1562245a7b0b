"""A plain connected socket for what is no HTTP, under the same guard: only public addresses, and what is allowed."""

import asyncio
import socket
from collections.abc import Sequence

from aiohappyeyeballs import start_connection

from headwater.http.addresses import guarded_sockets, is_refusal, parse_ranges
from headwater.model.errors import ConfigError


async def open_socket(host: str, port: int, allow: Sequence[str] | None, timeout_s: float) -> socket.socket:
    """Connect to `host`. `allow`: private ranges that may be reached, None: all of them.

    Raises: ConfigError where it leads to an address that is not allowed; OSError, with a text for people; TimeoutError.
    """
    async with asyncio.timeout(timeout_s):
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise OSError("the name could not be resolved") from error
        guard = None if allow is None else guarded_sockets(parse_ranges(allow))
        try:
            return await start_connection(found, happy_eyeballs_delay=0.25, socket_factory=guard)
        except OSError as error:
            if is_refusal(error):
                raise ConfigError(
                    "it leads to an address that is not public: allow its range in network.allow"
                ) from error
            raise
