"""Why a request was not accepted: stable codes for operators. A caller is never told."""

from typing import Final

REASONS: Final = {
    "ok": "The signature is valid.",
    "no_secret": "The endpoint has no usable secret.",
    "certificate_elsewhere": "The request names no signing certificate at a host of the provider's.",
    "header_missing": "A header of the scheme is missing.",
    "header_duplicated": "A header of the scheme came more than once.",
    "parameter_missing": "The query parameter of the scheme is missing.",
    "parameter_duplicated": "The query parameter of the scheme came more than once.",
    "malformed": "The signature is not written in the scheme's form.",
    "encoding": "The signature is not in the scheme's encoding.",
    "timestamp_missing": "The scheme's time is missing.",
    "timestamp_malformed": "The scheme's time cannot be read.",
    "timestamp_too_old": "The signature is right, but the signed time is further back than the tolerance.",
    "timestamp_too_new": "The signature is right, but the signed time is further ahead than the tolerance.",
    "body_unreadable": "The scheme signs what is in the body, and that is not there or cannot be read.",
    "body_hash_missing": "The signed hash of the body is missing.",
    "body_hash_mismatch": "The signature is right, but the body is not the signed one.",
    "context_missing": "The scheme signs a value that the endpoint is not configured with.",
    "topic_mismatch": "The signature is right, but for another topic than the configured one.",
    "issuer_mismatch": "The token is right, but from another issuer.",
    "audience_mismatch": "The token is right, but for another audience.",
    "claim_mismatch": "The token is right, but a claim of it says something else than it must.",
    "mismatch": "The signature does not belong to this request under any active secret.",
    "fault": "Verification failed in itself; the request counts as not valid.",
}

UNDER_NO_SECRET: Final = frozenset(
    {"mismatch", "no_secret", "certificate_elsewhere"}
)  # another secret might have made it


def resting_detail(index: int) -> str:
    """The detail of a signature by a secret, the one at `index` of the list, outside of its window."""
    return f"made with secret {index}, which does not count at this moment"


class Refused(Exception):
    """The request is not valid; `detail` names a header, a field or the address that was judged, never a value."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
