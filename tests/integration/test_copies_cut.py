"""COPY over a network that stands still and is cut: nobody waits for ever, and nothing is left of it."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.support.proxy import Proxy, proxy_to

from headwater.model.errors import Unavailable
from headwater.model.secret import Secret
from headwater.store.database import Database

PIECE = b"x" * 65_535 + b"\n"
PIECES = 500  # more than the buffers on the way hold


class Sender:
    """Rows in pieces; the network stands still from the tenth piece on, and `is_stuck` once no more is asked for."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.asked = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            self.asked += 1
            if self.asked == 10:
                self._proxy.stall()
            yield PIECE

    async def is_stuck(self) -> None:
        """Returns when no piece was asked for during many turns of the loop."""
        asked, turns = -1, 0
        while asked != self.asked or asked < 10 or turns < 200:
            asked, turns = self.asked, turns + 1 if asked == self.asked else 0
            await asyncio.sleep(0.001)


async def copy(database: Database, sender: Sender) -> None:
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE letters (letter text)")
        await connection.copy_to_table("letters", source=sender.pieces(), format="text")


@pytest.mark.parametrize("how", ["cut", "stall"])
async def test_a_copy_whose_connection_is_lost_in_the_middle_ends_and_the_next_one_goes(
    far_database: str, lake: asyncpg.Connection, how: str
) -> None:
    parts = urlsplit(far_database)
    assert parts.hostname is not None
    assert parts.port is not None
    async with proxy_to(parts.hostname, parts.port) as proxy, asyncio.timeout(20):
        url = far_database.replace(f":{parts.port}", f":{proxy.listening_port}")
        database = Database(Secret.of(url), None, size=1, copy_s=60.0 if how == "cut" else 0.5)
        await database.open()
        sender = Sender(proxy)
        copying = asyncio.create_task(copy(database, sender))
        await sender.is_stuck()

        if how == "cut":
            proxy.cut()
        with pytest.raises(Unavailable):
            await copying
        proxy.resume()

        assert sender.asked < PIECES
        assert await database.fetchval("SELECT 1") == 1
        assert await lake.fetchval("SELECT to_regclass('letters')") is None
        await database.close()
