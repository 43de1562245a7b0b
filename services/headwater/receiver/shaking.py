"""Handshakes: what a provider asks before it sends is answered, and what follows from the answer is done."""

import logging

from aiohttp import web
from multidict import CIMultiDict

from headwater.model.errors import SourceError, Unavailable
from headwater.model.secret import Secret
from headwater.plugins.signatures.handshake import HandshakeAnswer
from headwater.plugins.signatures.handshakes import handshake_for
from headwater.plugins.signatures.request import SignedRequest
from headwater.receiver.address import Address
from headwater.receiver.confirmations import Confirmations
from headwater.receiver.keys import ActiveKeys
from headwater.receiver.refused import Refused, unavailable
from headwater.receiver.stragglers import Stragglers
from headwater.store import endpoints
from headwater.store.database import Database
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.receiver")
KEEP_S = 1.0  # a secret that is handed over; with a look at the endpoint before and after it below the 2 s of an answer
MAX_LATE = 8  # secrets on their way into a database that does not answer


class Handshakes:
    """Answers them."""

    def __init__(self, database: Database, keyring: Keyring, confirmations: Confirmations) -> None:
        self._database = database
        self._keyring = keyring
        self._confirmations = confirmations
        self._stragglers = Stragglers(MAX_LATE)

    async def answer(
        self, address: Address, request: SignedRequest, keys: ActiveKeys, verified_by: int | None
    ) -> HandshakeAnswer | None:
        """The answer, with its effects done; None: the request is no handshake.

        `verified_by` is the place of the secret that verified, None before verification.
        Raises: Refused where the handshake is turned away, or its effects cannot be had now.
        """
        handshake = address.handshake
        if handshake is None or request.method not in handshake.methods:
            return None
        if verified_by is None and handshake.signed:
            return None
        secret = keys.newest if verified_by is None else _secret_at(keys, verified_by)
        found = handshake_for(
            handshake,
            request,
            verified=verified_by is not None,
            secret=secret,
            context=address.endpoint.context,
            awaiting=address.is_awaiting,
        )
        if found is None:
            return None
        if found.status >= 400:
            raise Refused(
                found.status, "The handshake is refused", "handshake", detail=handshake.name, is_plain=True
            )
        await self._do(address, found)
        return found

    async def _do(self, address: Address, answer: HandshakeAnswer) -> None:
        if answer.new_secret is not None:
            if not await self._stragglers.within(KEEP_S, self._keep(address, answer.new_secret)):
                raise Refused(409, "The handshake was made already", "handshake", detail="made already")
            logger.info("endpoint %s/%s has the secret of its provider", address.tenant, address.name)
        if answer.fetch_url is not None:
            try:
                await self._confirmations.confirm(answer.fetch_url)
            except (SourceError, Unavailable) as error:
                logger.warning(
                    "the subscription of %s/%s is not confirmed: %s", address.tenant, address.name, error
                )
                raise unavailable("confirmation") from error

    async def _keep(self, address: Address, secret: Secret) -> bool:
        """Keep the provider's secret; False when there is one already."""
        async with self._database.transaction() as connection:
            return await endpoints.keep_handshake_secret(
                connection, self._keyring, address.tenant, address.name, secret
            )


def _secret_at(keys: ActiveKeys, place: int) -> Secret | None:
    return keys.secrets[place].secret if place < len(keys.secrets) else keys.newest


def response_of(answer: HandshakeAnswer) -> web.Response:
    """The handshake's answer as a response."""
    return web.Response(status=answer.status, headers=CIMultiDict(answer.headers), body=answer.body or None)
