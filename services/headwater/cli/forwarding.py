"""One delivery to one address over HTTP/1.1, byte for byte: headers in wire order as latin-1, the body untouched.

An HTTP library would sort, add and encode headers in its own way, so the request is written here.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from headwater.model.errors import ConfigError

MAX_HEAD_BYTES = 64 * 1024
_OF_THE_CONNECTION = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "expect",
     "proxy-connection"}
)  # fmt: skip
_HIDDEN = "***"  # what authorised the sender is not kept


class NotReached(Exception):
    """Nobody answered at the address; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where deliveries go, taken apart."""

    host: str
    port: int
    is_tls: bool
    path: str
    query: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """The address of `url`. Raises: ConfigError."""
    mend = "give one such as http://127.0.0.1:3000/hooks"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{url!r} is no address: {mend}") from None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not url.isascii()
        or not url.isprintable()
    ):
        raise ConfigError(f"{url!r} is no address: {mend}")
    is_tls = parts.scheme == "https"
    path = (parts.path or "/").replace(" ", "%20")
    return Target(parts.hostname, port or (443 if is_tls else 80), is_tls, path, parts.query)


def request_bytes(
    target: Target, method: str, query: str, headers: Sequence[Sequence[str]], body: bytes, delivery: str
) -> bytes:
    """The request. The target's query wins over the sender's; what belongs to the connection is set anew."""
    query = target.query or "&".join(
        field for field in query.split("&") if field.partition("=")[2] != _HIDDEN
    )
    place = target.path + (f"?{query}" if query else "")
    lines = [f"{method} {place} HTTP/1.1", f"Host: {target.authority}"]
    for name, value in headers:
        is_plain = not any(each in name + value for each in "\r\n\0")
        if name.lower() not in _OF_THE_CONNECTION and value != _HIDDEN and is_plain:
            lines.append(f"{name}: {value}")
    lines += [
        f"Content-Length: {len(body)}",
        f"X-Headwater-Delivery: {delivery}",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


async def send(target: Target, request: bytes, *, timeout_s: float) -> int:
    """Send it; gives the status of the answer. Raises: NotReached."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchanged(target, request)
    except TimeoutError:
        raise NotReached(f"no answer within {timeout_s:g} s") from None
    except ssl.SSLError as error:
        raise NotReached(f"TLS: {error.reason or 'failed'}") from error
    except OSError as error:
        raise NotReached(error.strerror or type(error).__name__) from error
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise NotReached("the answer is no HTTP") from error


async def _exchanged(target: Target, request: bytes) -> int:
    context = ssl.create_default_context() if target.is_tls else None
    reader, writer = await asyncio.open_connection(
        target.host, target.port, ssl=context, limit=MAX_HEAD_BYTES
    )
    try:
        # an answer may come before the whole body was taken (413): then sending ends, and the answer counts
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        while True:
            line = await reader.readuntil(b"\n")
            version, _, rest = line.strip().partition(b" ")
            status = rest[:3]
            if not version.startswith(b"HTTP/") or not status.isdigit():
                raise ValueError("no status line")
            if not status.startswith(b"1"):
                return int(status)
            while (await reader.readuntil(b"\n")).strip():
                pass
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
