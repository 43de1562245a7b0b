"""The short way reads a connection's bytes in the order in which they came."""

import asyncio

from aiohttp import web

from headwater.http.incoming import Guard, GuardedRunner
from headwater.http.plain import PlainRequest
from headwater.http.short import Reply, ShortConnection, ShortWay

DONE = b"HTTP/1.1 204 No Content\r\n\r\n"
PATIENCE_S = 10


def request(body: bytes) -> bytes:
    return b"POST /in/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_bytes_that_come_right_after_an_answer_are_read_behind_those_that_waited() -> None:
    taken: asyncio.Queue[tuple[PlainRequest, Reply]] = asyncio.Queue()

    def take(plain: PlainRequest, reply: Reply) -> bool:
        taken.put_nowait((plain, reply))
        return True

    guard = Guard(lambda _: None)
    runner = GuardedRunner(web.Application(), guard, shutdown_timeout=1, short=ShortWay(b"POST /in/", take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    second = request(b"second")
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(request(b"first") + second[:-3])
            plain, reply = await taken.get()
            assert plain.body == b"first"

            connection = getattr(reply, "__self__")  # noqa: B009 - the type of a reply does not tell it
            assert isinstance(connection, ShortConnection)
            reply(DONE)
            connection.data_received(second[-3:])  # in the same turn of the loop, as a readable socket may
            plain, reply = await taken.get()
            reply(DONE)

            assert plain.body == b"second"
            assert await reader.readexactly(2 * len(DONE)) == DONE * 2
    finally:
        writer.close()
        await runner.cleanup()
