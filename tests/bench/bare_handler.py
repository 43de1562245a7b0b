"""What the receiver is compared with: an aiohttp handler on uvloop that reads the body and answers 202."""

import asyncio
import json

import uvloop
from aiohttp import web


async def hook(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=202)


async def main() -> None:
    application = web.Application(client_max_size=32 * 1024 * 1024)
    application.router.add_post("/in/{tenant}/{endpoint}", hook)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
