"""A webhook receiver as users of FastAPI and aio-pika write it: verify, publish to a quorum queue, confirm, 202.

`python fastapi_aio_pika.py AMQP_URL SECRET` says its port.
"""

import hashlib
import hmac
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import aio_pika
import uvicorn
from fastapi import FastAPI, HTTPException, Request

QUEUE = "bench.fastapi_aio_pika"
AMQP_URL, SECRET = sys.argv[1], sys.argv[2].encode()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    connection = await aio_pika.connect_robust(AMQP_URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/in/{tenant}/{endpoint}", status_code=202)
async def hook(tenant: str, endpoint: str, request: Request) -> dict[str, str]:
    body = await request.body()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
        raise HTTPException(401)
    identifier = str(uuid4())
    message = aio_pika.Message(
        body,
        headers={"tenant": tenant, "endpoint": endpoint, "http-headers": json.dumps(request.headers.items())},
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=identifier,
        timestamp=datetime.now(UTC),
    )
    await request.app.state.exchange.publish(message, routing_key=QUEUE, mandatory=True)
    return {"id": identifier}


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(json.dumps({"port": listening.getsockname()[1], "queue": QUEUE}), flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])
