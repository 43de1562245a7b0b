"""Canonical forms: what providers sign when it is neither the bytes of the body nor a simple template."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from headwater.plugins.signatures import documents
from headwater.plugins.signatures.reasons import Refused

FORM_FIELDS = 10_000  # a form is split before the signature is known to be right, so bounded


def _form_pairs(form: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of a form or query, decoded and sorted. Bytes sort as code points do, since UTF-8 keeps their
    order.
    """
    fields = form.split(b"&") if form else []
    if len(fields) > FORM_FIELDS:
        raise Refused("body_unreadable")
    pairs = []
    for field in fields:
        if field:
            name, _, value = field.partition(b"=")
            pairs.append(
                (unquote_to_bytes(name.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" ")))
            )
    return sorted(pairs)


def url_and_sorted_form(url: bytes, body: bytes) -> bytes:
    """Twilio: the URL, then each distinct name and value of the form, sorted by name, then by value."""
    return url + b"".join(name + value for name, value in dict.fromkeys(_form_pairs(body)))


def sorted_url_and_form(method: str, url: bytes, body: bytes) -> bytes:
    """Plivo V3: the URL with its query decoded and sorted; behind it, unless it was a GET, the form's names and values,
    sorted alike. Before a form there is a question mark always, and a dot where there is a query.
    """
    address, _, query = url.partition(b"#")[0].partition(b"?")
    sorted_query = b"&".join(name + b"=" + value for name, value in _form_pairs(query))
    form = b"" if method == "GET" else b"".join(name + value for name, value in _form_pairs(body))
    if form:
        return address + b"?" + sorted_query + (b"." if sorted_query else b"") + form
    return address + (b"?" + sorted_query if sorted_query else b"")


_SNS_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SNS_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SNS_HASHES: Final = {"1": "sha1", "2": "sha256"}


def sns_text(document: Any) -> bytes:
    """AWS SNS: name and value of each signed field on lines of their own; Subject only if there is one."""
    kind = documents.look_up(document, ("Type",))
    if kind == "Notification":
        names = [name for name in _SNS_NOTIFICATION if name != "Subject" or document.get(name) is not None]
    elif kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        names = list(_SNS_CONFIRMATION)
    else:
        raise Refused("body_unreadable", "Type")
    lines = (name.encode("ascii") + b"\n" + documents.text_at(document, (name,)) + b"\n" for name in names)
    return b"".join(lines)


def sns_hash(document: Any) -> str:
    """The hash that the message's SignatureVersion names."""
    version = documents.look_up(document, ("SignatureVersion",))
    if not isinstance(version, str) or version not in _SNS_HASHES:
        raise Refused("malformed", "SignatureVersion")
    return _SNS_HASHES[version]


def adyen_items(document: Any) -> list[Any]:
    """The notification items of a body: each carries a signature of its own. A bare item is one."""
    wrapped = documents.look_up(document, ("notificationItems",))
    if wrapped is None:
        return [document]
    if not isinstance(wrapped, list) or not 1 <= len(wrapped) <= 100:
        raise Refused("body_unreadable", "notificationItems")
    return [documents.look_up(entry, ("NotificationRequestItem",)) for entry in wrapped]


def adyen_text(fields: str) -> Callable[[Any], bytes]:
    """Adyen: the named fields joined by colons, absent ones empty; value and currency are the amount's."""
    paths = [("amount", name) if name in ("value", "currency") else (name,) for name in fields.split(":")]

    def text(item: Any) -> bytes:
        return b":".join(_adyen_field(documents.look_up(item, path)) for path in paths)

    return text


def _adyen_field(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    found = documents.as_bytes(value)
    if found is None:
        raise Refused("body_unreadable")
    return found


_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def port_variants(url: str) -> tuple[str, ...]:
    """The URL as given, without its port, and with the default port: senders disagree on what they sign."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    with_port = (
        f"{name}:{_DEFAULT_PORTS[parts.scheme]}" if parts.scheme in _DEFAULT_PORTS and name == host else host
    )
    given = url[: len(parts.scheme) + 3 + len(parts.netloc)]
    rest = url[len(given) :]
    spelled = (url, *(f"{parts.scheme}://{netloc}{rest}" for netloc in (name, with_port)))
    return tuple(dict.fromkeys(spelled))


# HubSpot, "Validate requests", signature v3: these characters of the URI are signed decoded.
_DECODED = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


def decoded_variants(url: str) -> tuple[str, ...]:
    """The URL as given, and with the characters decoded that HubSpot decodes before it signs."""
    decoded = _DECODED.sub(lambda found: chr(int(found[0][1:], 16)), url)
    return (url,) if decoded == url else (url, decoded)


URL_VARIANTS: Final[Mapping[str, Callable[[str], tuple[str, ...]]]] = {
    "default_port": port_variants,
    "decoded": decoded_variants,
}
