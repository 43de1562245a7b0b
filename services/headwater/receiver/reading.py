"""Bodies, read within limits of size, time and memory."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from headwater.http.expecting import go_on
from headwater.model.errors import ContractError
from headwater.plugins.webhooks.encoding import ENCODINGS, TooLargeError, decompressed
from headwater.receiver.refused import Refused, too_large, unavailable

READ_S = 10.0  # between two pieces of a body
BODY_S = 60.0  # for a whole body

BUDGET_BYTES = 64 * 1024 * 1024  # bodies in flight in one process
_IN_THREAD_BYTES = 64 * 1024  # larger ones are unfolded off the loop
CLOSE = {"Connection": "close"}


class Budget:
    """Bytes of bodies that the process holds at the moment."""

    def __init__(self, most: int = BUDGET_BYTES) -> None:
        self._most = most
        self.used = 0

    def add(self, size: int) -> None:
        """Raises: Refused (503) when that is too much; then nothing was added."""
        if self.used + size > self._most:
            raise unavailable("memory")
        self.used += size

    def free(self, size: int) -> None:
        self.used -= size


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a body may take."""

    read_s: float = READ_S
    body_s: float = BODY_S


PATIENCE = Patience()


class Body:
    """One body on its way in; `size` of it counts in the budget until `done`."""

    def __init__(self, budget: Budget, patience: Patience) -> None:
        self._budget = budget
        self._patience = patience
        self.size = 0

    def done(self) -> None:
        self._budget.free(self.size)
        self.size = 0

    async def read(self, request: web.BaseRequest, cap: int) -> bytes:
        """The raw body, byte for byte, of at most `cap` bytes. Raises: Refused."""
        length = request.content_length
        if length is not None and length > cap:
            raise too_large(cap, length)
        parts: list[bytes] = []
        content = request.content
        try:
            await go_on(request)
            if content.is_eof():  # the whole body came with the head
                whole = content.read_nowait(-1)
                self._take(whole, cap, parts)
                return whole
            async with asyncio.timeout(self._patience.body_s):
                while True:
                    async with asyncio.timeout(self._patience.read_s):
                        part = await content.readany()
                    if not part:
                        break
                    self._take(part, cap, parts)
        except TimeoutError:
            raise Refused(408, "The body did not arrive in time", "slow_body", headers=CLOSE) from None
        except (web.RequestPayloadError, ValueError, ConnectionError) as error:
            raise Refused(400, "The body is cut or malformed", "cut_body", headers=CLOSE) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, part: bytes, cap: int, parts: list[bytes]) -> None:
        if self.size + len(part) > cap:
            raise too_large(cap, self.size + len(part))
        self._budget.add(len(part))
        self.size += len(part)
        parts.append(part)


def check_transfer(request: web.BaseRequest) -> None:
    """Raises: Refused (501) for a body in a transfer coding that nobody takes off (RFC 9112 §6.1)."""
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise Refused(501, "This transfer coding is not understood", "transfer_coding", headers=CLOSE)


def check_encoding(request: web.BaseRequest, *, allowed: bool) -> str:
    """The body's encoding, empty when it has none. Raises: Refused (415)."""
    if "Content-Encoding" not in request.headers:
        return ""
    values = request.headers.getall("Content-Encoding", [])
    encoding = ",".join(values).strip().lower()
    if encoding in ("", "identity"):
        return ""
    if not allowed or encoding not in ENCODINGS:
        accepted = ", ".join(sorted(ENCODINGS)) if allowed else "identity"
        raise Refused(
            415,
            "Bodies in this encoding are not accepted",
            "compressed",
            headers={"Accept-Encoding": accepted},
        )
    return encoding


async def check_unfolds(body: bytes, encoding: str, cap: int) -> None:
    """Raises: Refused when the body is damaged, or larger than `cap` once it is unfolded."""
    try:
        if len(body) > _IN_THREAD_BYTES:
            await asyncio.to_thread(decompressed, body, encoding, cap)
        else:
            decompressed(body, encoding, cap)
    except TooLargeError:
        raise too_large(cap, len(body)) from None
    except ContractError as error:
        raise Refused(400, "The body is not what its encoding says", "damaged_body") from error
