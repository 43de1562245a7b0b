"""What of a request is not kept, because whoever has it can send in the sender's name: tokens, not signatures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from headwater.plugins.signatures.request import SignedRequest, parameter_name, query_of
from headwater.plugins.signatures.scheme import Scheme

STARS: Final = "***"
TOLD_BYTES = 8  # a shorter value is found in headers where it means something else
_STARS = STARS.encode("ascii")
# What authorises a sender; of schemes with a token its own header as well, since that is the secret itself.
HEADERS: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie"})


@dataclass(frozen=True, slots=True)
class Shield:
    """The `headers` (lower case) and the query's `parameter` whose values are not kept."""

    headers: frozenset[bytes]
    parameter: bytes | None

    def without_parameter(self, request: SignedRequest) -> SignedRequest:
        """The request with stars for the parameter's values, however its name is written.

        Headers have stars too where a proxy repeats the address, or the value if that is long enough to be told.
        """
        before, query = query_of(request.url)
        if self.parameter is None or not query:
            return request
        wanted = self.parameter.lower()
        fields = query.split("&")
        told: dict[bytes, bytes] = {}
        for place, field in enumerate(fields):
            name, _, value = field.partition("=")
            if parameter_name(field).lower() != wanted:
                continue
            fields[place] = f"{name}={STARS}"
            if value:
                told[field.encode()] = fields[place].encode()
                told |= {each: _STARS for each in _spellings(value) if len(each) >= TOLD_BYTES}
        headers = tuple((name, _starred(value, told)) for name, value in request.headers)
        return replace(request, url=f"{before}?{'&'.join(fields)}", headers=headers, unique=None)

    def kept(self, request: SignedRequest) -> SignedRequest:
        """The request as it is kept."""
        request = self.without_parameter(request)
        headers = tuple(
            (name, _STARS if name.lower() in self.headers else value) for name, value in request.headers
        )
        return replace(request, headers=headers, unique=None)


def _spellings(value: str) -> tuple[bytes, ...]:
    """A parameter's value as it was written, and decoded."""
    return value.encode(), unquote_to_bytes(value), unquote_to_bytes(value.replace("+", " "))


def _starred(value: bytes, told: Mapping[bytes, bytes]) -> bytes:
    for text, stars in told.items():
        value = value.replace(text, stars)
    spelled = (unquote_to_bytes(value), unquote_to_bytes(value.replace(b"+", b" ")))
    is_hidden = any(text in each for text, stars in told.items() if stars == _STARS for each in spelled)
    return _STARS if is_hidden else value  # encoded in another way than it came


def shield_of(scheme: Scheme) -> Shield:
    """The shield of a scheme's requests. A JWT that holds no hash of the body goes with any body, as a token does."""
    form = scheme.signature
    is_token = scheme.kind == "token" or (form.format == "jwt" and scheme.definition.signature.claim is None)
    return Shield(
        HEADERS | frozenset(form.headers) if is_token else HEADERS, form.parameter if is_token else None
    )
