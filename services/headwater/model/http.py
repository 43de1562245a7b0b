"""One HTTP exchange as plain values: what is asked, what was answered, and whose credentials may go where.

Credentials stand apart from the request, bound to one origin; whoever sends adds them for that origin
only. So a URL, a header list or a token can be logged or put in a message without carrying a secret.
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from yarl import URL

from headwater.model.errors import SourceError
from headwater.model.secret import Secret

Pairs = tuple[tuple[str, str], ...]
SecretPairs = tuple[tuple[str, Secret], ...]

MAX_URL_CHARACTERS = 16_384
_PLAIN = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(
    r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.-]+)?"
)


def parse_url(text: str) -> URL:
    """`text` as an absolute http or https URL, byte for byte where it is already well-formed.

    Raises: SourceError `bad_url` (relative, another scheme, user name in it, too long, no host).
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise SourceError("bad_url", f"a URL of {len(text)} characters is longer than {MAX_URL_CHARACTERS}")
    try:
        url = URL(text, encoded=_PLAIN.fullmatch(text) is not None)
        _ = url.port
    except ValueError as error:
        raise SourceError("bad_url", "a URL cannot be read") from error
    if url.scheme not in {"http", "https"} or not url.raw_host:
        raise SourceError("bad_url", "a URL is not an absolute http:// or https:// address")
    if _HOST.fullmatch(url.raw_host) is None:
        raise SourceError("bad_url", f"a URL has {url.raw_host[:60]!r} for its host, which is no name of one")
    if url.raw_user is not None or url.raw_password is not None:
        raise SourceError("bad_url", "a URL carries a user name: give credentials in `auth` instead")
    return url


def origin_of(url: URL | str) -> str:
    """Scheme, host and port, for example `https://api.example.com:443`; equal texts = same origin."""
    parsed = parse_url(url) if isinstance(url, str) else url
    host = (parsed.host or "").lower().removesuffix(".")
    return f"{parsed.scheme}://{host}:{parsed.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves who is asking. It goes along only while the request stays at `origin`.

    `headers`, `query` and `cookies` are added to the request when it is sent. `body`, where there is one,
    replaces the request's body (for bodies that hold a secret).
    """

    origin: str = ""
    headers: SecretPairs = ()
    query: SecretPairs = ()
    cookies: SecretPairs = ()
    body: Secret | None = None

    def plus(
        self,
        *,
        headers: SecretPairs = (),
        query: SecretPairs = (),
        cookies: SecretPairs = (),
    ) -> "Credentials":
        """These credentials and more of them."""
        return Credentials(
            self.origin,
            replaced(self.headers, headers),
            replaced(self.query, query),
            self.cookies + cookies,
            self.body,
        )

    def values(self) -> tuple[Secret, ...]:
        """Every secret in here: what must be masked wherever an answer is shown. Of a header also what follows its
        scheme, since that may be told alone.
        """
        pairs = self.headers + self.query + self.cookies
        alone = [Secret(value.reveal().rpartition(b" ")[2]) for _, value in self.headers]
        return (*(value for _, value in pairs), *alone, *((self.body,) if self.body else ()))


def replaced(pairs: tuple[tuple[str, Any], ...], others: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
    """`pairs` with those of `others` in place of equal names (any case)."""
    names = {name.lower() for name, _ in others}
    return tuple(pair for pair in pairs if pair[0].lower() not in names) + others


NO_CREDENTIALS = Credentials()


class HttpRequest(NamedTuple):
    """One request. `url` is absolute and holds no secret; `headers` belong to its origin and stay there.

    When the server redirects to another origin, only Accept and User-Agent go along.
    """

    method: str
    url: str
    headers: Pairs = ()
    body: bytes | None = None
    credentials: Credentials = NO_CREDENTIALS


class Response(NamedTuple):
    """One answer, its body decoded from the wire's compression and whole.

    `url` is where it came from after redirects, without credentials. `elapsed_s` covers all hops,
    `request_count` counts them; `wire_bytes` is the body's size before decompression.
    """

    status: int
    headers: Pairs
    body: bytes
    url: str
    elapsed_s: float = 0.0
    request_count: int = 1
    wire_bytes: int = 0

    def header(self, name: str) -> str | None:
        """The first header of that name (any case), or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def headers_by_name(self) -> dict[str, tuple[str, ...]]:
        """All headers by their name in lower case, each in order."""
        found: dict[str, tuple[str, ...]] = {}
        for name, value in self.headers:
            found[name.lower()] = (*found.get(name.lower(), ()), value)
        return found

    def header_values(self, name: str) -> tuple[str, ...]:
        """All headers of that name, in order."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)


def parse_relative(text: str) -> URL:
    """`text` as a URL that may be relative; well-formed text is kept byte for byte.

    Raises: ValueError when it cannot be read.
    """
    if len(text) > MAX_URL_CHARACTERS:
        raise ValueError("too long")
    return URL(text, encoded=_PLAIN.fullmatch(text) is not None)


def without_parameters(url: URL, names: AbstractSet[str], values: AbstractSet[str] = frozenset()) -> URL:
    """`url` without the query parameters in `names`, and those whose value is in `values`; the others stay byte for
    byte.
    """
    if not (names or values) or not url.raw_query_string:
        return url
    kept = [
        part
        for part in url.raw_query_string.split("&")
        if unquote_plus(part.partition("=")[0]) not in names
        and unquote_plus(part.partition("=")[2]) not in values
    ]
    return url.with_query(None) if not kept else URL(_with_raw_query(url, "&".join(kept)), encoded=True)


def with_query_text(url: URL, text: str) -> URL:
    """`url` with `text` (already encoded) added to its query."""
    both = "&".join(part for part in (url.raw_query_string, text) if part)
    return URL(_with_raw_query(url, both), encoded=True)


def _with_raw_query(url: URL, query: str) -> str:
    fragment = f"#{url.raw_fragment}" if url.raw_fragment else ""
    return f"{url.with_query(None).with_fragment(None)!s}{'?' if query else ''}{query}{fragment}"
