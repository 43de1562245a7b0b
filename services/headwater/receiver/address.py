"""An endpoint ready to receive: everything about it that does not depend on a request is decided here."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

from headwater.model.ids import KeyIds
from headwater.model.networks import Network
from headwater.plugins.signatures.handshake import Handshake
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.signatures.shield import Shield
from headwater.plugins.webhooks.facts import Facts
from headwater.receiver.bucket import Bucket
from headwater.receiver.keys import Keys
from headwater.receiver.ledger import Tally

if TYPE_CHECKING:
    from headwater.contracts.endpoint import Endpoint

Name = tuple[str, str]  # tenant, endpoint
_SERVERS_OWN = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Success:
    """The answer to an accepted delivery; `pieces` of its body stand around the delivery's id."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: tuple[str, ...]

    def body(self, delivery: str) -> bytes:
        return delivery.join(self.pieces).encode()

    def head(self) -> bytes | None:
        """Its head as far as it is always the same; None where the server has to put it together."""
        try:
            phrase = HTTPStatus(self.status).phrase
            lines = [f"{name}: {value}" for name, value in self.headers]
            if not _SERVERS_OWN.isdisjoint(name.lower() for name, _ in self.headers):
                return None
            if self.status != HTTPStatus.NO_CONTENT:
                lines.append(f"Content-Length: {len(self.body(str(UUID(int=0))))}")
            return "\r\n".join((f"HTTP/1.1 {self.status} {phrase}", *lines, "")).encode("ascii")
        except ValueError:  # a status without a phrase, or a header that is not ASCII
            return None


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint as the receiver needs it.

    `is_awaiting`: its provider is to hand a secret over. `by_certificate`: what verifies is fetched, since requests
    name their signing certificate or the operator an address of keys, and no secret. `answer_head` is the beginning of
    the answer to an accepted delivery on the short way, None where deliveries cannot go that way. What `shield` covers
    is not kept.
    """

    tenant: str
    endpoint: "Endpoint"
    scheme: Scheme
    facts: Facts
    keys: Keys
    handshake: Handshake | None
    methods: frozenset[str]
    allowed: tuple[Network, ...]
    bucket: Bucket | None
    success: Success
    tally: Tally
    tolerance_s: float
    is_awaiting: bool
    by_certificate: bool
    answer_head: bytes | None
    delivery_ids: KeyIds
    shield: Shield

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def answered_methods(self) -> str:
        """For the header Allow."""
        more = frozenset() if self.handshake is None else self.handshake.methods
        return ", ".join(sorted(self.methods | more))
