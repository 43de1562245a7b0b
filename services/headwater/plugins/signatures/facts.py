"""What a verified request says about itself: delivery id and event type; and where its certificate is."""

import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from headwater.plugins.signatures import documents
from headwater.plugins.signatures.reasons import Refused
from headwater.plugins.signatures.request import SignedRequest, header_values
from headwater.plugins.signatures.scheme import Place, Scheme
from headwater.plugins.signatures.unfolding import unfolded

MAX_CHARACTERS = 256  # of an id or type; longer ones are not taken


def delivery_id(scheme: Scheme, request: SignedRequest) -> str | None:
    """The provider's id of this delivery, the same each time it is sent again; None where there is none.

    Ask only after the request was verified. Parses the body if `scheme.delivery_id` is a path.
    """
    return _fact(scheme, scheme.delivery_id, request)


def event_type(scheme: Scheme, request: SignedRequest) -> str | None:
    """What the provider calls this kind of event, or None. As `delivery_id`."""
    return _fact(scheme, scheme.event_type, request)


def _fact(scheme: Scheme, place: Place | None, request: SignedRequest) -> str | None:
    if place is None:
        return None
    if place.header is not None:
        values = header_values(request, place.header)
        return _clean(values[0]) if len(values) == 1 else None
    try:
        document = orjson.loads(unfolded(request).body if scheme.signs_unfolded else request.body)
    except (orjson.JSONDecodeError, Refused):
        return None
    return _clean(documents.as_bytes(documents.look_up(document, place.path or ())))


def _clean(value: bytes | None) -> str | None:
    if not value or len(value) > MAX_CHARACTERS:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def certificate_url(scheme: Scheme, request: SignedRequest) -> str | None:
    """Where the keys are that the operator names, or the request's signing certificate, if its host is the provider's.

    The request is not verified yet: the URL is checked against the scheme's hosts (https, no port, no user),
    and whoever fetches it follows no redirects. None for anything else.
    """
    key = scheme.definition.key
    if key.keys_url is not None:
        return key.keys_url
    if key.certificate_from is None:
        return None
    kind, _, rest = key.certificate_from.partition(":")
    if kind == "header":
        values = header_values(request, rest.lower().encode("ascii"))
        found: Any = _clean(values[0]) if len(values) == 1 else None
    else:
        try:
            found = documents.look_up(documents.parse(request.body), documents.read_path(rest))
        except Refused:
            return None
    return found if isinstance(found, str) and allowed_https(found, key.certificate_hosts) else None


def allowed_https(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether a URL is plain https to one of the hosts; `*` in a host stands for one label."""
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+/[\x21-\x7e]*", url) or "\\" in url:
        return False
    host = urlsplit(url).netloc.lower()
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", "[a-z0-9-]+"), host) is not None for pattern in hosts
    )
