"""Where a request comes from, and which address its sender used: forwarded headers count from trusted proxies only.

Without trusted proxies the peer of the connection is the sender, and HEADWATER_PUBLIC_URL is what it used.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from headwater.model.networks import address_in, is_within, networks

MAX_HOPS = 50
_HOST = re.compile(r"[A-Za-z0-9.-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_AROUND = " \t;,"
_PAIR = re.compile(  # RFC 7239 §4; a value in quotes may hold what divides the others
    r"[ \t;,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"(?:[^\"\\]|\\.)*\"|[^\"; \t,]*)(?=[ \t;,]|\Z)"
)


class Sent(Protocol):
    """What is asked of a request, by whichever way it came."""

    @property
    def remote(self) -> str | None: ...

    @property
    def raw_path(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Senders:
    """What is known of senders. `public_url` is None where the operator set none."""

    def __init__(self, bound_url: str, public_url: str | None, trusted_proxies: Sequence[str] = ()) -> None:
        self._bound_url = bound_url.rstrip("/")
        self._public_url = None if public_url is None else public_url.rstrip("/")
        self._trusted = networks(trusted_proxies, "HEADWATER_TRUSTED_PROXIES")

    def address(self, request: Sent) -> str | None:
        """The sender's address: the last one before the proxies that are trusted. Text as the proxy wrote it."""
        peer = request.remote
        if not self._trusted or peer is None or not is_within(peer, self._trusted):
            return peer
        found = peer
        for hop in reversed(_hops(request.headers)):
            address = address_in(hop)
            if address is None:
                return found  # what a proxy cannot name does not count
            found = str(address)
            if not is_within(found, self._trusted):
                return found
        return found

    def url(self, request: Sent, base: str | None) -> str:
        """The URL that the sender used, as schemes sign it. `base` is the endpoint's own setting."""
        path = request.raw_path
        if not path.startswith("/"):  # absolute form (RFC 9112 §3.2.2)
            split = urlsplit(path)
            path = split.path + (f"?{split.query}" if split.query else "")
        return (base or self._base(request)) + path

    def _base(self, request: Sent) -> str:
        if self._public_url is not None:
            return self._public_url
        if not self._trusted or request.remote is None or not is_within(request.remote, self._trusted):
            return self._bound_url
        headers = request.headers
        told = _forwarded(headers)
        scheme = _first(headers.get("X-Forwarded-Proto") or told.get("proto")).lower()
        host = _first(headers.get("X-Forwarded-Host") or told.get("host") or headers.get("Host"))
        if scheme not in ("http", "https") or _HOST.fullmatch(host) is None:
            return self._bound_url
        return f"{scheme}://{host}"


def _hops(headers: Mapping[str, str]) -> list[str]:
    """The addresses that proxies noted, nearest last. All values of a repeated header count, in order."""
    values = headers.getall("X-Forwarded-For", []) if hasattr(headers, "getall") else []
    hops = [hop for value in values for hop in value.split(",")]
    if not hops:
        hops = [value for name, value in _elements(headers) if name == "for"]
    return hops[-MAX_HOPS:]


def _elements(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """What proxies noted in `Forwarded`, names in lower case, nearest last."""
    values = headers.getall("Forwarded", []) if hasattr(headers, "getall") else []
    return [pair for value in values for pair in _pairs(value.strip(_AROUND))]


def _pairs(value: str) -> list[tuple[str, str]]:
    """Names and values of one header. What is of another form tells of nobody: behind a quote that a sender left open
    stands what a trusted proxy wrote.
    """
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(value):
        pair = _PAIR.match(value, place)
        if pair is None:
            return [("for", "unknown")]
        found.append((pair[1].lower(), pair[2]))
        place = pair.end()
    return found


def _forwarded(headers: Mapping[str, str]) -> Mapping[str, str]:
    """By name the value that is farthest from us."""
    return {name: told.strip('"') for name, told in reversed(_elements(headers))}


def _first(values: str | None) -> str:
    return (values or "").partition(",")[0].strip()
