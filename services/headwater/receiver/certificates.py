"""Signing certificates that requests name (AWS SNS, PayPal), and sets of keys at an address of the operator's: fetched
from the provider's hosts only, and remembered.

Who asks for them is not verified yet, so fetches are few, small, without redirects, and failures are remembered too.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, SourceError, Unavailable
from headwater.model.secret import Secret
from headwater.plugins.signatures.keys import check_secrets
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.signatures.verify import Verifier, bind

MAX_KEPT = 64
KEPT_S = 24 * 3600.0
FAILED_S = 10.0
RENEWED_S = 300.0  # a set of keys may have changed since; strangers can ask for it no oftener
FETCH_S = 3.0
WAIT_S = 1.2  # for a fetch: an answer is due within 2 s, and who sends again finds the certificate
FETCHES_PER_MINUTE = 30
Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class _Kept:
    verifier: Verifier | None
    since: float
    until: float


class Certificates:
    """`fetch` gives the body of a GET, or raises SourceError."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[Verifier]] = {}
        self._fetched: list[float] = []

    async def verifier(self, scheme: Scheme, url: str) -> Verifier:
        """The verifier under the certificate at `url`. Raises: Unavailable when it is not to be had now."""
        key = (scheme.fingerprint, url)
        kept = self._kept.get(key)
        if kept is not None and self._clock.monotonic() < kept.until:
            self._kept.move_to_end(key)
            if kept.verifier is None:
                raise Unavailable("a signing certificate could not be fetched a moment ago")
            return kept.verifier
        return await self._fetched_anew(scheme, url, key)

    async def renewed(self, scheme: Scheme, url: str) -> Verifier | None:
        """The verifier under the keys as they are at `url` now; None where those in hand are no older than
        `RENEWED_S`, or others are not to be had.
        """
        key = (scheme.fingerprint, url)
        kept = self._kept.get(key)
        if kept is not None and self._clock.monotonic() < kept.since + RENEWED_S:
            return None
        try:
            return await self._fetched_anew(scheme, url, key)
        except Unavailable:
            return None

    async def _fetched_anew(self, scheme: Scheme, url: str, key: tuple[str, str]) -> Verifier:
        task = self._under_way.get(key)
        if task is None:
            self._count()
            task = self._under_way[key] = asyncio.create_task(self._get(scheme, url), name="certificate")
            task.add_done_callback(lambda done: self._keep(key, done))
        await asyncio.wait({task}, timeout=WAIT_S)
        if not task.done():
            raise Unavailable("a signing certificate is on its way")
        return task.result()

    def _count(self) -> None:
        now = self._clock.monotonic()
        self._fetched = [moment for moment in self._fetched if moment > now - 60.0]
        if len(self._fetched) >= FETCHES_PER_MINUTE:
            raise Unavailable("too many signing certificates were asked for in a minute")
        self._fetched.append(now)

    async def _get(self, scheme: Scheme, url: str) -> Verifier:
        try:
            async with asyncio.timeout(FETCH_S):
                body = await self._fetch(url)
            secret = Secret(body)
            check_secrets(scheme, [secret])
        except (SourceError, TimeoutError, ConfigError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"a signing certificate could not be fetched: {str(error) or 'not within its time'}"
            ) from error
        return bind(scheme, [secret])

    def _keep(self, key: tuple[str, str], task: asyncio.Task[Verifier]) -> None:
        self._under_way.pop(key, None)
        if task.cancelled():
            return
        now, before = self._clock.monotonic(), self._kept.get(key)
        if task.exception() is None:
            self._kept[key] = _Kept(task.result(), now, now + KEPT_S)
        elif before is not None and before.verifier is not None and now < before.until:
            self._kept[key] = _Kept(before.verifier, now, before.until)  # what is known counts on
        else:
            self._kept[key] = _Kept(None, now, now + FAILED_S)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    async def close(self) -> None:
        """End the fetches under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
