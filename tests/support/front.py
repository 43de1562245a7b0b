"""The front doors of receiving: a receiver, a persister, a timer and control's API over one database and bus."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.office import Answered, Office, open_office
from tests.support.receiving import Door, receiving
from tests.support.spine import Spine, open_spine, working

from headwater.receiver.service import Place


@dataclass
class Front:
    """What a user touches. `door` receives, `office` answers the API."""

    spine: Spine
    door: Door
    office: Office

    async def apply(self, **endpoint: Any) -> None:
        """Make or replace an endpoint by the API, and wait until the receiver knows it."""
        given = {"name": "orders", "scheme": "github", "secrets": ["it is a secret"], **endpoint}
        if "definition" in given:
            given.pop("scheme")
        answer = await self.office.ask("PUT", f"/endpoints/{given['name']}", json=given)
        assert answer.status in (200, 201), answer.body
        await self.door.receiver._endpoints.load()

    async def books(self) -> None:
        """Write down what the receiver counted, without waiting for its hour."""
        await self.door.receiver._ledger.write(self.spine.worker)

    async def settled(self, count: int, query: str = "") -> list[dict[str, Any]]:
        """Deliveries as the API lists them, newest first, once there are `count` that are settled."""
        answer = await self.until(
            f"/deliveries{query}",
            lambda told: sum(each["state"] != "accepted" for each in told["items"]) >= count,
        )
        return answer.json["items"]  # type: ignore[no-any-return]

    async def until(self, path: str, holds: Callable[[Any], bool], timeout_s: float = 15.0) -> Answered:
        """The answer of `path` once it holds; asked again every 20 ms, since it is another one's commit."""
        async with asyncio.timeout(timeout_s):
            while True:
                answer = await self.office.get(path)
                if answer.status == 200 and holds(json.loads(answer.body)):
                    return answer
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_front(url: str, place: Place | None = None) -> AsyncIterator[Front]:
    """All of it at work."""
    async with AsyncExitStack() as stack:
        spine = await stack.enter_async_context(open_spine(url))
        office = await stack.enter_async_context(open_office(url, spine.bus, works=True))
        door = await stack.enter_async_context(receiving(spine, place))
        await stack.enter_async_context(working(spine, "persister", "timer"))
        yield Front(spine, door, office)
