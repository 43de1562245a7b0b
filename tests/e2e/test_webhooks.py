"""Webhooks as real senders sign them, against the receiver as a process of its own."""

import asyncio
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from tests.support.fleet import Fleet, running_fleet
from tests.support.postgres import SessionServer, new_database
from tests.support.rabbitmq import Broker, purge
from tests.support.senders import standard_headers, standard_secret, stripe_headers

STANDARD = standard_secret()
STRIPE = "whsec_" + os.urandom(16).hex()
CAP_BYTES = 2 * 1024 * 1024

MANIFEST = f"""
version: 1
endpoints:
  - name: standard
    scheme: standard_webhooks
    secrets: ["${{env:STANDARD_SECRET}}"]
    limits: {{body_bytes: {CAP_BYTES}}}
    destination: {{table: events, mode: merge, key: id}}
  - name: stripe
    scheme: stripe
    secrets: ["${{env:STRIPE_SECRET}}"]
    destination: {{table: charges, mode: append}}
"""

BODIES = [
    b'{"id": 1, "text": "plain"}',
    '{ "id" :2,\r\n\t"text": "Ünïcode ✓ \\u00fc \\/",  "n": 1.0e2 }\n'.encode(),
    b'{"id": 3, "big": 12345678901234567890, "deep": {"a": [1, [2, [3]]]}}',
    json.dumps({"id": 4, "text": "x" * 1_500_000}).encode(),  # travels by reference
]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    document: Any


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: SessionServer,
    migrated_template: str,
    rabbit_broker: Broker,
) -> Iterator[Fleet]:
    purge(rabbit_broker.amqp_url)
    services = ("receiver", "timer+persister")
    with (
        new_database(postgres_server, migrated_template) as url,
        running_fleet(
            tmp_path_factory.mktemp("webhooks"), url, rabbit_broker.amqp_url, services=services
        ) as fleet,
    ):
        fleet.apply(MANIFEST, STANDARD_SECRET=STANDARD, STRIPE_SECRET=STRIPE)
        yield fleet


async def _post(fleet: Fleet, path: str, body: Any, headers: dict[str, str]) -> Answer:
    sent = io.BytesIO(body) if isinstance(body, bytes) else body
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{fleet.address('receiver')}/in/{path}", data=sent, headers=headers) as answer,
    ):
        return Answer(answer.status, dict(answer.headers), json.loads(await answer.read() or b"null"))


async def _delivery(fleet: Fleet, identifier: str) -> Any:
    return await fleet.until("SELECT * FROM delivery WHERE id = $1 AND state <> 'accepted'", identifier)


@pytest.mark.parametrize("number", range(len(BODIES)))
async def test_what_a_standard_webhooks_sender_signs_is_kept_byte_for_byte(fleet: Fleet, number: int):
    body = BODIES[number]

    answer = await _post(fleet, "default/standard", body, standard_headers(STANDARD, f"msg_{number}", body))

    assert answer.status == 202, answer
    delivery = await _delivery(fleet, answer.document["id"])
    assert (delivery["state"], delivery["provider_id"]) == ("done", f"msg_{number}")
    assert hashlib.sha256(delivery["body"]).digest() == hashlib.sha256(body).digest()
    assert delivery["body_sha256"] == hashlib.sha256(body).digest()
    row = (await fleet.fetch("SELECT * FROM hw_default.events WHERE id = $1", number + 1))[0]
    assert row["_delivery_id"] == delivery["id"]


async def test_what_stripe_signs_is_kept_byte_for_byte(fleet: Fleet):
    body = b'{\n  "id": "evt_1",\n  "object": "event",\n  "type": "charge.succeeded",\n  "amount": 1999\n}'

    answer = await _post(fleet, "default/stripe", body, stripe_headers(STRIPE, body))

    assert answer.status == 202, answer
    delivery = await _delivery(fleet, answer.document["id"])
    assert (delivery["state"], delivery["provider_id"], delivery["type"]) == (
        "done",
        "evt_1",
        "charge.succeeded",
    )
    assert hashlib.sha256(delivery["body"]).digest() == hashlib.sha256(body).digest()


async def test_a_webhook_sent_twice_is_one_delivery_and_a_mark(fleet: Fleet):
    body = b'{"id": 77}'

    answers = [
        await _post(fleet, "default/standard", body, standard_headers(STANDARD, "msg_twice", body))
        for _ in range(2)
    ]

    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].document == answers[1].document
    await fleet.until("SELECT 1 FROM delivery_duplicate WHERE delivery_id = $1", answers[0].document["id"])
    assert len(await fleet.fetch("SELECT 1 FROM delivery WHERE provider_id = 'msg_twice'")) == 1


async def test_a_body_that_is_no_json_is_kept_as_dead_with_reason_and_bytes(fleet: Fleet):
    body = b"this is no JSON"

    answer = await _post(fleet, "default/standard", body, standard_headers(STANDARD, "msg_text", body))

    assert answer.status == 202
    delivery = await _delivery(fleet, answer.document["id"])
    assert (delivery["state"], bytes(delivery["body"])) == ("dead", body)
    assert delivery["reason"]


def _wrong_key(body: bytes) -> dict[str, str]:
    return standard_headers(standard_secret(), "msg_bad", body)


def _altered(body: bytes) -> dict[str, str]:
    return standard_headers(STANDARD, "msg_bad", body + b" ")


def _old(body: bytes) -> dict[str, str]:
    return standard_headers(STANDARD, "msg_bad", body, datetime.now(UTC) - timedelta(minutes=6))


def _unsigned(_: bytes) -> dict[str, str]:
    return {}


@pytest.mark.parametrize("forge", [_wrong_key, _altered, _old, _unsigned])
async def test_a_signature_that_does_not_verify_gets_401_and_no_reason(fleet: Fleet, forge: Any):
    body = b'{"id": 5}'

    answer = await _post(fleet, "default/standard", body, forge(body))

    assert answer.status == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.document == {
        "type": "about:blank",
        "title": "The signature does not verify",
        "status": 401,
    }
    assert await fleet.fetch("SELECT 1 FROM delivery WHERE provider_id = 'msg_bad'") == []


@pytest.mark.parametrize("told", [True, False], ids=["by its length", "in chunks"])
async def test_a_body_over_the_cap_gets_413(fleet: Fleet, told: bool):
    body = b'{"id": 6, "x": "' + b"x" * CAP_BYTES + b'"}'
    headers = standard_headers(STANDARD, "msg_large", body)

    async def chunks() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    sent: Any = body if told else chunks()
    try:
        answer = await _post(fleet, "default/standard", sent, headers)
    except aiohttp.ClientOSError:  # it need not read what it refuses
        assert not told
    else:
        assert answer.status == 413
    assert await fleet.fetch("SELECT 1 FROM delivery WHERE provider_id = 'msg_large'") == []


@pytest.mark.parametrize(
    "path", ["default/nobody", "nobody/standard", "default/..%2Fstandard", "default/%00"]
)
async def test_an_unknown_endpoint_gets_404(fleet: Fleet, path: str):
    answer = await _post(fleet, path, b"{}", {})

    assert answer.status == 404
    assert answer.document["status"] == 404


@pytest.mark.long
async def test_a_body_that_stalls_costs_no_more_than_its_time(fleet: Fleet):
    """The neighbours are served while one sender does not go on."""
    host, port = fleet.address("receiver").removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /in/default/standard HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    started = time.monotonic()

    body = b'{"id": 8}'
    answer = await _post(fleet, "default/standard", body, standard_headers(STANDARD, "msg_beside", body))
    assert answer.status == 202
    async with asyncio.timeout(15):
        head = await reader.readline()

    assert head.split()[1] == b"408"
    assert time.monotonic() - started < 14
    writer.close()
    await writer.wait_closed()
