"""What a handshake is: a provider's question before it sends, and the answer it wants.

Pure: whatever follows from an answer is done by the room that gives it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from headwater.model.secret import Secret
from headwater.plugins.signatures.request import SignedRequest, header_values

BODY_BYTES = 64 * 1024  # of a handshake; what is larger is a delivery
CHALLENGE_CHARACTERS = 4096  # of what is echoed
QUERY_FIELDS = 100

TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
JSON: Final = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))


@dataclass(frozen=True, slots=True)
class HandshakeAnswer:
    """The answer to give, and what else follows.

    `new_secret` is to be stored (encrypted) as the endpoint's secret before the answer is given; `fetch_url`
    is to be fetched once, without redirects; `is_delivery` tells that the request is a delivery all the same,
    and this is how its success is answered.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    new_secret: Secret | None = None
    fetch_url: str | None = None
    is_delivery: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What an answer may depend on.

    `verified` tells whether the request's signature was right; `secret` is the one that verified, else the
    newest active one. `context` holds what the endpoint is configured with (`verify_token`, `topic_arn`,
    `client_id`). `awaiting` is true only until the endpoint's first handshake.
    """

    request: SignedRequest
    verified: bool
    secret: Secret | None
    context: Mapping[str, str]
    awaiting: bool

    def header(self, name: bytes) -> str | None:
        """The value of a header (lower case) that came once, as printable text within bounds; else None."""
        values = header_values(self.request, name)
        if len(values) != 1 or not values[0].isascii():
            return None
        return echoable(values[0].decode("ascii"))

    def query(self, name: str) -> str | None:
        """The decoded value of a query parameter that came once; else None."""
        try:
            fields = parse_qsl(
                urlsplit(self.request.url).query, keep_blank_values=True, max_num_fields=QUERY_FIELDS
            )
        except ValueError:
            return None
        values = [value for key, value in fields if key == name]
        return echoable(values[0]) if len(values) == 1 else None

    def document(self) -> Any:
        """The body as JSON, or None if it is none or too large for a handshake."""
        if not self.request.body or len(self.request.body) > BODY_BYTES:
            return None
        try:
            return orjson.loads(self.request.body)
        except orjson.JSONDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Handshake:
    """A kind of handshake. `signed` ones are answered only when the signature was right.

    `empty_refusal`: the provider wants refusals (401) without a body. `needs`: the value of the endpoint's
    context without which it refuses every question.
    """

    name: str
    methods: frozenset[str]
    signed: bool
    reply: Callable[[Question], HandshakeAnswer | None] = field(repr=False)
    empty_refusal: bool = False
    needs: str | None = None

    def answer(self, question: Question) -> HandshakeAnswer | None:
        """The answer, or None: the request is no handshake, or one that may not be answered."""
        if question.request.method not in self.methods or (self.signed and not question.verified):
            return None
        return self.reply(question)


def echoable(value: object) -> str | None:
    """A text that may be echoed: not empty, bounded, without control characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= CHALLENGE_CHARACTERS or not value.isprintable():
        return None
    return value


def text_answer(text: str | None) -> HandshakeAnswer | None:
    """200 with the text as plain text, never sniffed as HTML; None for no text."""
    return None if text is None else HandshakeAnswer(200, TEXT, text.encode("utf-8", "replace"))


def json_answer(document: object) -> HandshakeAnswer:
    return HandshakeAnswer(200, JSON, orjson.dumps(document))
