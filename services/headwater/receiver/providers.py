"""What the receiver asks of providers themselves: signing certificates, and the confirmation of a subscription.

Few schemes need that, so the client that does it is there from the first time on.
"""

from typing import TYPE_CHECKING

from headwater.model.clock import Clock
from headwater.model.errors import SourceError
from headwater.model.http import HttpRequest
from headwater.receiver.certificates import FETCH_S

if TYPE_CHECKING:
    from headwater.http.client import HttpClient

MAX_BYTES = 64 * 1024  # of an answer
CONNECTIONS = 16
CONFIRM_S = 5.0  # nobody waits for it so long; an answer is told how it ended


class Providers:
    """Asks them, without following redirects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._client: HttpClient | None = None

    async def certificate(self, url: str) -> bytes:
        """The signing certificate at `url`. Raises: SourceError."""
        answer = await self._http().send(HttpRequest("GET", url), timeout_s=FETCH_S, max_body_bytes=MAX_BYTES)
        if answer.status != 200:
            raise SourceError("certificate", f"the certificate's address answered {answer.status}")
        return answer.body

    async def confirm(self, url: str) -> None:
        """Visit the address that confirms a subscription. Raises: SourceError."""
        answer = await self._http().send(
            HttpRequest("GET", url), timeout_s=CONFIRM_S, max_body_bytes=MAX_BYTES
        )
        if answer.status >= 300:
            raise SourceError("confirmation", f"the confirmation's address answered {answer.status}")

    async def close(self) -> None:
        """End the connections."""
        if self._client is not None:
            await self._client.close()

    def _http(self) -> "HttpClient":
        if self._client is None:
            from headwater.http.client import HttpClient, HttpLimits  # noqa: PLC0415 - see above

            limits = HttpLimits(redirects=0, body_bytes=MAX_BYTES, connections=CONNECTIONS)
            self._client = HttpClient(self._clock, limits)
        return self._client
