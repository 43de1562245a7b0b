"""What of a request is not kept, because whoever has it can send in the sender's name: tokens, not signatures."""

from dataclasses import dataclass, replace
from typing import Final

from headwater.plugins.signatures.request import SignedRequest, parameter_name, query_of
from headwater.plugins.signatures.scheme import Scheme

STARS: Final = "***"
# What authorises a sender; of schemes with a token its own header as well, since that is the secret itself.
HEADERS: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie"})


@dataclass(frozen=True, slots=True)
class Shield:
    """The `headers` (lower case) and the query's `parameter` whose values are not kept."""

    headers: frozenset[bytes]
    parameter: bytes | None

    def without_parameter(self, request: SignedRequest) -> SignedRequest:
        """The request with stars for the parameter's values, however its name is written."""
        before, query = query_of(request.url)
        if self.parameter is None or not query:
            return request
        wanted = self.parameter.lower()
        fields = (
            f"{field.partition('=')[0]}={STARS}" if parameter_name(field).lower() == wanted else field
            for field in query.split("&")
        )
        return replace(request, url=f"{before}?{'&'.join(fields)}")

    def kept(self, request: SignedRequest) -> SignedRequest:
        """The request as it is kept."""
        headers = tuple(
            (name, STARS.encode("ascii") if name.lower() in self.headers else value)
            for name, value in request.headers
        )
        return replace(self.without_parameter(request), headers=headers, unique=None)


def shield_of(scheme: Scheme) -> Shield:
    """The shield of a scheme's requests. A JWT that holds no hash of the body goes with any body, as a token does."""
    form = scheme.signature
    is_token = scheme.kind == "token" or (form.format == "jwt" and scheme.definition.signature.claim is None)
    return Shield(
        HEADERS | frozenset(form.headers) if is_token else HEADERS, form.parameter if is_token else None
    )
