"""One request of a chain of redirects: what goes along, and what follows a redirect."""

from dataclasses import dataclass, field
from urllib.parse import quote

from yarl import URL

from headwater.model.errors import SourceError
from headwater.model.http import (
    Credentials,
    Pairs,
    origin_of,
    parse_relative,
    parse_url,
    with_query_text,
    without_parameters,
)

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BODY_KEPT = frozenset({307, 308})
_EVERYWHERE = frozenset({"accept", "accept-language", "user-agent"})  # may follow to other origins


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a chain of redirects. `url` is without credentials."""

    method: str
    url: URL
    headers: Pairs
    body: bytes | None
    credentials: Credentials = field(default_factory=Credentials)


def headers_of(hop: Hop) -> list[tuple[str, str]]:
    headers = [(name, _text(text, name, "bad_header")) for name, text in hop.headers]
    headers += [(name, _text(value.text(), name)) for name, value in hop.credentials.headers]
    if hop.credentials.cookies:
        pairs = (f"{name}={_text(value.text(), name)}" for name, value in hop.credentials.cookies)
        headers.append(("Cookie", "; ".join(pairs)))
    return headers


def _text(value: str, name: str, fault: str = "bad_secret") -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise SourceError(fault, f"the value for {name} holds control characters (a line end at its end?)")
    return value


def body_of(hop: Hop) -> bytes | None:
    return hop.credentials.body.reveal() if hop.credentials.body else hop.body


def url_of(hop: Hop) -> URL:
    """The URL with the credentials that go in the query."""
    if not hop.credentials.query:
        return hop.url
    pairs = (
        f"{quote(name, safe='')}={quote(value.text(), safe='')}" for name, value in hop.credentials.query
    )
    return with_query_text(hop.url, "&".join(pairs))


def redirected(hop: Hop, status: int, location: str) -> Hop:
    """The request that follows a redirect.

    Raises: SourceError `redirect` where the way leads to something less safe than where it began.
    """
    try:
        target = parse_url(str(hop.url.join(parse_relative(location))))
    except (SourceError, ValueError) as error:
        raise SourceError(
            "redirect", f"{hop.url.host} redirected to something that is no web address"
        ) from error
    if hop.url.scheme == "https" and target.scheme != "https":
        raise SourceError("redirect", f"{hop.url.host} redirected from https to http: not followed")
    target = without_parameters(target.with_fragment(None), {name for name, _ in hop.credentials.query})
    keeps_body = status in _BODY_KEPT or hop.method in {"GET", "HEAD"}
    method = hop.method if keeps_body else "GET"
    body = hop.body if keeps_body else None
    if origin_of(target) == origin_of(hop.url):
        credentials = hop.credentials
        if not keeps_body:
            credentials = Credentials(
                credentials.origin, credentials.headers, credentials.query, credentials.cookies
            )
        headers = hop.headers if keeps_body else _without_content_type(hop.headers)
        return Hop(method, target, headers, body, credentials)
    if body is not None or hop.credentials.body is not None:
        raise SourceError(
            "redirect", f"{hop.url.host} redirected a request with a body to another origin: not followed"
        )
    headers = tuple(pair for pair in hop.headers if pair[0].lower() in _EVERYWHERE)
    return Hop(method, target, headers, None)


def _without_content_type(headers: Pairs) -> Pairs:
    return tuple(pair for pair in headers if pair[0].lower() != "content-type")
