"""Requests of the few senders that sign what a compressed body unfolds to, and not the bytes that they send."""

from dataclasses import replace

from headwater.model.errors import ContractError
from headwater.plugins.signatures.documents import PARSED_BYTES
from headwater.plugins.signatures.reasons import Refused
from headwater.plugins.signatures.request import SignedRequest, optional_header
from headwater.plugins.webhooks.encoding import decompressed


def unfolded(request: SignedRequest) -> SignedRequest:
    """The request with its body as it was before it was compressed; bounded, since nobody knows yet who sent it.

    Raises: Refused.
    """
    encoding = optional_header(request, b"content-encoding")
    if not encoding:
        return request
    try:
        body = decompressed(request.body, encoding.decode("latin-1").strip().lower(), PARSED_BYTES)
    except ContractError:
        raise Refused("body_unreadable", "content-encoding") from None
    return replace(request, body=body)
