"""Webhooks as real senders sign them, and a steady load of them with its books.

The signatures come from the providers' own libraries (`standardwebhooks`, `stripe`), never from our code.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import asyncpg
import standardwebhooks
import stripe

PAUSE_S = 0.05  # after an answer that was no 202
GAP_S = 0.005  # between two webhooks of one worker: a steady load, not a flood


def standard_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(24)).decode()


def standard_headers(secret: str, identifier: str, body: bytes, at: datetime | None = None) -> dict[str, str]:
    """What a sender by Standard Webhooks adds to `body` (UTF-8)."""
    moment = at or datetime.now(UTC)
    signature = standardwebhooks.Webhook(secret).sign(identifier, moment, body.decode())
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }


def stripe_headers(secret: str, body: bytes, at_s: int | None = None) -> dict[str, str]:
    """What Stripe adds to `body` (UTF-8)."""
    moment_s = int(time.time()) if at_s is None else at_s
    signature = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, moment_s)
    return {"stripe-signature": signature, "content-type": "application/json; charset=utf-8"}


@dataclass
class Books:
    """What was sent and what became of it. `lost` must be empty: a 202 whose delivery is not there."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)  # 0: none, the connection was cut
    acknowledged_at_s: list[float] = field(default_factory=list)  # monotonic
    bodies: dict[str, bytes] = field(default_factory=dict)  # SHA-256
    stored: Counter[str] = field(default_factory=Counter)
    altered: set[str] = field(default_factory=set)

    @property
    def lost(self) -> set[str]:
        return self.acknowledged - set(self.stored)

    @property
    def duplicated(self) -> set[str]:
        return {identifier for identifier, count in self.stored.items() if count > 1}

    @property
    def unexpected(self) -> set[str]:
        return set(self.stored) - self.attempted

    def ledger(self) -> dict[str, int]:
        return {
            "attempted": len(self.attempted),
            "acknowledged": len(self.acknowledged),
            "stored": len(self.stored),
            "lost": len(self.lost),
            "duplicated": len(self.duplicated),
            "unexpected": len(self.unexpected),
            "altered": len(self.altered),
        }

    def acknowledged_since(self, moment_s: float) -> int:
        return sum(at_s >= moment_s for at_s in self.acknowledged_at_s)


@dataclass(frozen=True)
class Sender:
    """A provider that signs by Standard Webhooks."""

    url: str
    secret: str
    name: str = "m"

    async def send(self, session: aiohttp.ClientSession, books: Books, identifier: str, body: bytes) -> int:
        """One attempt; gives the status, 0 for none."""
        books.attempted.add(identifier)
        books.bodies[identifier] = hashlib.sha256(body).digest()
        headers = standard_headers(self.secret, identifier, body)
        try:
            async with session.post(self.url, data=body, headers=headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = 0
        books.answers[status] += 1
        if status == 202:
            books.acknowledged.add(identifier)
            books.acknowledged_at_s.append(time.monotonic())
        return status


async def _send_until(
    sender: Sender, books: Books, numbers: "itertools.count[int]", stop: asyncio.Event
) -> None:
    """Half of what was not accepted is sent again, as providers do; the other half is not, so no loss can hide."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        while not stop.is_set():
            number = next(numbers)
            identifier = f"{sender.name}-{number}"
            body = json.dumps({"id": number, "text": "ü" * (number % 50), "by": sender.name}).encode()
            while await sender.send(session, books, identifier, body) != 202:
                await asyncio.sleep(PAUSE_S)
                if number % 2 or stop.is_set():
                    break
            await asyncio.sleep(GAP_S)


@asynccontextmanager
async def load(sender: Sender, books: Books, workers: int = 4) -> AsyncIterator[None]:
    """Webhooks come as fast as they are taken, by `workers` at once, as long as the context is open."""
    stop, numbers = asyncio.Event(), itertools.count()
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(_send_until(sender, books, numbers, stop))
        try:
            yield
        finally:
            stop.set()


async def count_stored(books: Books, database_url: str, endpoint: str, prefix: str) -> None:
    """Enter into the books what table `delivery` has of the sender with this name."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT provider_id, body_sha256, body, state FROM headwater.delivery"
            " WHERE endpoint = $1 AND starts_with(provider_id, $2)",
            endpoint,
            prefix + "-",
        )
    finally:
        await connection.close()
    books.stored = Counter(row["provider_id"] for row in rows if row["state"] == "done")
    settled = {row["provider_id"]: hashlib.sha256(row["body"]).digest() for row in rows}
    books.altered = {
        name for name, digest in settled.items() if name in books.bodies and books.bodies[name] != digest
    } | {row["provider_id"] for row in rows if settled[row["provider_id"]] != row["body_sha256"]}


async def until_stored(
    books: Books, database_url: str, endpoint: str, prefix: str, timeout_s: float = 90.0
) -> None:
    """Returns when every acknowledged webhook is a delivery; fails with the books after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        await count_stored(books, database_url, endpoint, prefix)
        if not books.lost:
            return
        assert time.monotonic() < deadline, f"{books.ledger()} {books.answers} lost: {sorted(books.lost)[:5]}"
        await asyncio.sleep(0.1)
