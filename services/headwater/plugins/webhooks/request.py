"""The document that expressions of an endpoint see: `body`, `headers`, `query`, `method`, `type`."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from headwater.plugins.webhooks.multipart import add_field

MAX_QUERY_FIELDS = 1000


def request_document(
    method: str, url: str, headers: Sequence[Sequence[str]], body: Any, kind: str | None
) -> dict[str, Any]:
    """A header that came several times is one text joined by commas (RFC 9110 §5.3), a query field a list."""
    told: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        told[key] = f"{told[key]}, {value}" if key in told else value
    return {"method": method, "headers": told, "query": _query(url), "type": kind, "body": body}


def _query(url: str) -> dict[str, Any]:
    query = urlsplit(url).query if "?" in url else ""
    fields: dict[str, Any] = {}
    if query:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:
            return {}
        for name, value in pairs:
            add_field(fields, name, value)
    return fields
