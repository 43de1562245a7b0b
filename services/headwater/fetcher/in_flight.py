"""Requests under way, for sources that allow only so many at once: places leased over all workers.

A place that becomes free goes to a page that waits in the same process, a few times in a row, so that the limit is
used up without a pause; then to whoever asks first.
"""

import asyncio
import contextlib
from collections import defaultdict, deque
from dataclasses import dataclass
from uuid import UUID, uuid4

from headwater.model.errors import Unavailable
from headwater.store import limits
from headwater.store.database import Database

PATIENCE_S = 1.0
_LOOK_S = 0.05  # between two looks whether another worker left a place
_HANDED_ON = 20  # times in a row, then other workers have their chance
Source = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """One of the requests that a source allows at once. `lease_s` is renewed with each request."""

    source: Source
    slot: int
    holder: UUID
    lease_s: float
    handed_on: int = 0


class InFlight:
    """The places that one process holds or waits for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[Source, deque[asyncio.Future[Place]]] = defaultdict(deque)

    async def take(self, source: Source, most: int, lease_s: float) -> Place | None:
        """A place among `most`; None when none becomes free for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                return await self._take(source, most, lease_s)
        return None

    async def _take(self, source: Source, most: int, lease_s: float) -> Place:
        holder = uuid4()
        while True:
            async with self._database.connection() as connection:
                slot = await limits.lease(connection, *source, most, holder, lease_s)
            if slot is not None:
                return Place(source, slot, holder, lease_s)
            place = await self._handed(source)
            if place is not None:
                return place

    async def _handed(self, source: Source) -> Place | None:
        """A place that another page of this process has done with; None when it is time to look again."""
        waiting, mine = self._waiting[source], asyncio.get_running_loop().create_future()
        waiting.append(mine)
        try:
            await asyncio.wait({mine}, timeout=_LOOK_S)
        except asyncio.CancelledError:
            if mine.done():
                await self._release(mine.result())
            raise
        finally:
            if not mine.done():
                mine.cancel()
                waiting.remove(mine)
            if not waiting:
                self._waiting.pop(source, None)
        return None if mine.cancelled() else mine.result()

    async def leave(self, place: Place) -> None:
        """The request is done. Where that cannot be written down the lease runs out by itself."""
        with contextlib.suppress(Unavailable):
            waiting = self._waiting.get(place.source)
            if waiting and place.handed_on < _HANDED_ON:
                heir = waiting.popleft()
                heir.set_result(
                    Place(place.source, place.slot, place.holder, place.lease_s, place.handed_on + 1)
                )
                await self._renew(place)
            else:
                await self._release(place)

    async def _renew(self, place: Place) -> None:
        async with self._database.connection() as connection:
            await limits.renew(connection, *place.source, place.slot, place.holder, place.lease_s)

    async def _release(self, place: Place) -> None:
        async with self._database.connection() as connection:
            await limits.release(connection, *place.source, place.slot, place.holder)
