"""Refusals: requests that were turned away, and why. A bounded sample; no value of a header, no body."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from headwater.control.paging import Instant, ListQuery, after_moment, in_utc, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.plugins.signatures.reasons import REASONS
from headwater.store import refusals

# What is turned away besides a signature that does not verify.
_OTHER_REASONS: Mapping[str, str] = {
    "address": "The sender's address is not among those that the endpoint allows.",
    "compressed": "The body came compressed, or in an encoding that the endpoint does not take.",
    "confirmation": "The subscription could not be confirmed with its provider.",
    "certificate": "The signing certificate, or the set of keys, could not be had from the provider.",
    "cut_body": "The body was cut or malformed.",
    "damaged_body": "The body is not what its encoding says, or unfolds to more than the endpoint takes.",
    "handshake": "The provider's handshake was refused.",
    "headers_too_large": "The headers were too large.",
    "method": "The endpoint does not take this method.",
    "rate_limited": "The endpoint's rate was used up.",
    "slow_body": "The body did not arrive in time.",
    "transfer_coding": "The body came in a transfer coding that is not understood.",
    "too_large": "The body was larger than the endpoint takes.",
    "memory": "The bodies under way in the process took all the memory that is for them.",
    "unavailable": "Neither broker nor database took it.",
}


class RefusalsQuery(ListQuery):
    """Refusals, newest first."""

    endpoint: Annotated[str | None, Field(max_length=63)] = None
    reason: Annotated[str | None, Field(max_length=64, description="A code, such as `mismatch`.")] = None
    since: Instant | None = None
    until: Annotated[Instant | None, Field(description="Before this moment.")] = None


class Refusal(Answer):
    """One refused request. `headers` are [name, length of the value] in wire order.

    `skew_s` is our time less the signed one, known where the signature was right; `detail` names the header or field
    concerned. `reason` is a stable code, `explanation` its sentence.
    """

    id: UUID
    endpoint: str
    refused_at: datetime
    status: int
    reason: str
    explanation: str
    detail: str
    skew_s: float | None
    method: str
    path: str
    remote: str | None
    headers: list[tuple[str, int]]
    body_bytes: int | None
    body_sha256: str | None


def explained(reason: str) -> str:
    """The sentence of a reason's code."""
    return REASONS.get(reason) or _OTHER_REASONS.get(reason, "")


def refusal_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "explanation": explained(row["reason"])}


async def list_refusals(desk: Desk, call: Call[RefusalsQuery, None]) -> Reply:
    query = call.query
    async with desk.acting(call) as connection:
        rows = await refusals.list_refusals(
            connection,
            call.tenant,
            endpoint=query.endpoint,
            reason=query.reason,
            since=in_utc(query.since),
            until=in_utc(query.until),
            limit=query.limit + 1,
            after=after_moment(query, "refusals"),
        )
    return Reply(
        listing(
            rows,
            query.limit,
            refusal_view,
            lambda row: token_of("refusals", row["refused_at"], row["id"]),
        )
    )


async def show_refusal(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        row = await refusals.get(connection, call.tenant, call.id("refusal"))
    if row is None:
        raise not_found("refusal")
    return Reply(refusal_view(row))
