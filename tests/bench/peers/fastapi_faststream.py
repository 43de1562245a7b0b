"""The same as users of FastAPI and FastStream write it. `python fastapi_faststream.py AMQP_URL SECRET` says its port."""

import hashlib
import hmac
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from faststream.rabbit import QueueType, RabbitBroker, RabbitQueue

AMQP_URL, SECRET = sys.argv[1], sys.argv[2].encode()
QUEUE = RabbitQueue("bench.fastapi_faststream", durable=True, queue_type=QueueType.QUORUM)
broker = RabbitBroker(AMQP_URL, logger=None)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with broker:
        await broker.start()
        await broker.declare_queue(QUEUE)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/in/{tenant}/{endpoint}", status_code=202)
async def hook(tenant: str, endpoint: str, request: Request) -> dict[str, str]:
    body = await request.body()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
        raise HTTPException(401)
    identifier = str(uuid4())
    await broker.publish(
        body,
        QUEUE,
        persist=True,
        mandatory=True,
        message_id=identifier,
        timestamp=datetime.now(UTC),
        content_type="application/json",
        headers={"tenant": tenant, "endpoint": endpoint, "http-headers": json.dumps(request.headers.items())},
    )
    return {"id": identifier}


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(json.dumps({"port": listening.getsockname()[1], "queue": QUEUE.name}), flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])
