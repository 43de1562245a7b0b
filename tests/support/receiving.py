"""A receiver behind its real HTTP port, over the bus and database of a spine; and senders that sign."""

import asyncio
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from tests.support.spine import Spine

from headwater.app.clock import SystemClock
from headwater.app.server import serving
from headwater.bus.port import Bus
from headwater.http.plain import PlainRequest
from headwater.http.short import Reply, ShortWay
from headwater.model.secret import Secret
from headwater.receiver.service import Place, Receiver
from headwater.store.bell import Bell
from headwater.store.database import Database

SECRET = "it is a secret"
_AT_ONCE_BYTES = 2**20  # the client asks for larger bodies piece by piece


@dataclass
class Door:
    """The port of a receiver. `answers` are status, headers and body; `short_count` went the short way."""

    port: int
    receiver: Receiver
    session: aiohttp.ClientSession
    spool: Database
    short_count: int = 0

    async def break_spool(self) -> None:
        """Take the receiver's own pool away."""
        await self.spool.close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def send(
        self,
        path: str,
        body: bytes | Any = b"{}",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        secret: str | None = SECRET,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """What the receiver answers to a request signed as GitHub does (unsigned without a secret)."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {} if secret is None else {"X-Hub-Signature-256": signature(raw, secret)}
        data = raw if len(raw) <= _AT_ONCE_BYTES else io.BytesIO(raw)
        async with self.session.request(
            method, self.base + path, data=data, headers={**told, **(headers or {})}, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers, await answer.read()


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def manifest(**endpoint: Any) -> str:
    """A manifest with one endpoint `orders` of scheme github, unless the parts say otherwise."""
    first = {"name": "orders"}
    if "scheme" not in endpoint and "definition" not in endpoint:
        first["scheme"] = "github"
    given = {**first, "secrets": [SECRET], **endpoint}
    return json.dumps({"version": 1, "endpoints": [given]})


@asynccontextmanager
async def receiving(
    spine: Spine, place: Place | None = None, bus: Bus | None = None, *, head_s: float = 15.0
) -> AsyncIterator[Door]:
    """A receiver at work, its snapshot loaded."""
    stop = asyncio.Event()
    spool = Database(Secret.of(spine.url), "headwater_worker", size=4)
    await spool.open()
    try:
        async with (
            Bell(spine.worker).running() as bell,
            aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session,
        ):
            receiver = Receiver(
                spine.worker,
                spool,
                Secret.of(spine.url),
                bus or spine.bus,
                spine.keyring,
                bell,
                SystemClock(),
                spine.metrics,
                place or Place("http://127.0.0.1"),
            )
            async with asyncio.TaskGroup() as group:
                task = group.create_task(receiver.run(stop), name="receiver")
                door = Door(0, receiver, session, spool)
                way = receiver.short_way()

                def take(request: PlainRequest, reply: Reply) -> bool:
                    is_taken = way.take(request, reply)
                    door.short_count += is_taken
                    return is_taken

                try:
                    await loaded(receiver, task)
                    async with serving(
                        receiver.routes(),
                        "127.0.0.1",
                        0,
                        spine.metrics,
                        head_s=head_s,
                        short=ShortWay(way.beginning, take),
                    ) as door.port:
                        yield door
                finally:
                    stop.set()
    finally:
        await spool.close()


async def loaded(receiver: Receiver, task: "asyncio.Task[None]") -> None:
    """Returns when the receiver has its first snapshot."""
    async with asyncio.timeout(10):
        while await receiver.ready() is not None:
            assert not task.done(), task
            await asyncio.sleep(0.01)


async def queued(spine: Spine) -> int:
    """How many webhooks wait in their queue."""
    return (await spine.bus.depth())["headwater.webhook.received"]
