"""Requests signed as Amazon's services want them: AWS Signature Version 4."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from urllib.parse import parse_qsl, quote

from yarl import URL

from headwater.contracts.auth import AwsAuth
from headwater.model.http import HttpRequest, parse_url
from headwater.model.secret import Secret
from headwater.plugins.secret_text import Secrets, fill

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"
Headers = Sequence[tuple[str, str]]


class AwsAuthenticator:
    """Signs method, path, query, host, time, the body, and the headers that say what it is.

    The query goes out in the order and writing that is signed.
    """

    name: ClassVar = "aws"
    Config: ClassVar = AwsAuth
    query_names: frozenset[str] = frozenset()

    def __init__(self, config: AwsAuth) -> None:
        self._config = config

    def apply(self, request: HttpRequest, secrets: Secrets, now: datetime, /) -> HttpRequest:
        config, url = self._config, parse_url(request.url)
        body = request.credentials.body.reveal() if request.credentials.body else request.body or b""
        digest, moment = hashlib.sha256(body).hexdigest(), now.strftime("%Y%m%dT%H%M%SZ")
        own = [("X-Amz-Date", moment)]
        if config.service == "s3":
            own.append(("X-Amz-Content-Sha256", digest))
        if config.session_token:
            own.append(("X-Amz-Security-Token", fill(config.session_token, secrets).text()))
        signed = _signed(request.headers, [("Host", _host(url)), *own])
        names = ";".join(name for name, _ in signed)
        query = _query(url.raw_query_string)
        lines = [
            request.method,
            self._path(url.raw_path),
            query,
            *(f"{name}:{value}" for name, value in signed),
        ]
        canonical = "\n".join([*lines, "", names, digest])
        scope = f"{moment[:8]}/{config.region}/{config.service}/aws4_request"
        text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        signature = hmac.digest(self._key(scope, secrets), text.encode(), "sha256").hex()
        who = f"{fill(config.access_key_id, secrets).text()}/{scope}"
        proof = f"{_ALGORITHM} Credential={who}, SignedHeaders={names}, Signature={signature}"
        shown = tuple((name, Secret.of(value)) for name, value in [*own, ("Authorization", proof)])
        return request._replace(
            url=request.url.partition("?")[0] + (f"?{query}" if query else ""),
            credentials=request.credentials.plus(headers=shown),
        )

    def _path(self, path: str) -> str:
        """The path, quoted once more than it is sent; in S3 as it is sent."""
        return path if self._config.service == "s3" else quote(path, safe=f"/{_UNRESERVED}")

    def _key(self, scope: str, secrets: Secrets) -> bytes:
        key = b"AWS4" + fill(self._config.secret_access_key, secrets).reveal()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def _host(url: URL) -> str:
    """The Host header as the client sends it."""
    is_usual = url.port == {"http": 80, "https": 443}.get(url.scheme)
    host = f"[{url.raw_host}]" if ":" in (url.raw_host or "") else url.raw_host or ""
    return host if is_usual else f"{host}:{url.port}"


def _signed(headers: Headers, own: Headers) -> list[tuple[str, str]]:
    """Names in lower case and values of what is signed, in order."""
    said = [
        pair for pair in headers if pair[0].lower() == "content-type" or pair[0].lower().startswith("x-amz-")
    ]
    return sorted((name.lower(), " ".join(value.split())) for name, value in (*said, *own))


def _query(text: str) -> str:
    """The query in the writing and order that is signed."""
    pairs = parse_qsl(text, keep_blank_values=True)
    quoted = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in quoted)
