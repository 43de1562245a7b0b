"""Bodies of requests: a document as JSON, a form, or a text as it stands, each with secrets in its own way."""

import html
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from headwater.contracts.codec import dumps
from headwater.contracts.walking import Request
from headwater.model.secret import Secret
from headwater.plugins.secret_text import Secrets, fill, names_in

_REFERENCE = re.compile(r"%24%7Bsecret%3A([^%]{1,200})%7D")  # as `quote` leaves `${secret:NAME}`
Write = Callable[[str], str]


def kind_of(request: Request) -> str:
    """What the body of `request` is written as: json, form, xml or text."""
    if request.form is not None:
        return "form"
    if request.text is None:
        return "json"
    return "xml" if request.text.lstrip().startswith("<") else "text"


def escaped(kind: str) -> Write:
    """How a value stands within a body of this kind."""
    return _in_xml if kind == "xml" else _plain


def written(kind: str, body: Any) -> bytes:
    """`body` as it is sent; references to secrets stay what they are."""
    if kind == "json":
        return dumps(body)
    if kind != "form":
        return str(body).encode()
    return _REFERENCE.sub(lambda found: f"${{secret:{found[1]}}}", query_text(body)).encode()


def with_secrets(kind: str, body: bytes, secrets: Secrets) -> Secret:
    """`body` with its references filled. Raises: SecretError."""
    write = {"json": lambda text: dumps(text)[1:-1].decode(), "form": _quoted}.get(kind, escaped(kind))
    return fill(body.decode(), {name: Secret.of(write(one.text())) for name, one in secrets.items()})


TYPES: Mapping[str, str] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "text/xml; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}


def query_text(params: Mapping[str, Any]) -> str:
    """`params` as a query string; lists repeat their name."""
    pairs = (
        (name, one)
        for name, value in params.items()
        for one in (value if isinstance(value, list | tuple) else (value,))
    )
    return "&".join(f"{_quoted(name)}={_quoted(text_of(value))}" for name, value in pairs)


def text_of(value: Any) -> str:
    """A parameter's value as text: true and false in lower case, numbers digit for digit, objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    return dumps(value).decode()


def holds_secret(kind: str, body: Any) -> bool:
    return body is not None and bool(names_in(written(kind, body).decode()))


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _plain(text: str) -> str:
    return text


def _in_xml(text: str) -> str:
    return html.escape(text)  # entities of XML too (§4.6); `xml.sax` would bring an HTTP client along
