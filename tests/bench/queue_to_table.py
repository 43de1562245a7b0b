r"""From the queue to the table: what waits in a quorum queue until its last row is committed.

The persister is a process of its own, stopped (SIGSTOP) while its queue fills. It is compared with `psql \copy` of
the same rows into the same kind of table, and with a consumer that inserts message by message.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aio_pika
import asyncpg
import orjson
from tests.bench.figures import Figure, ratio
from tests.bench.house import House, Program, apply, psql, worker
from tests.bench.load import SECRET, body_of, signed_headers
from tests.bench.walk import SIZE, Stream, finished, manifest, start

from headwater.bus.port import Message
from headwater.bus.rabbitmq import RabbitBus
from headwater.contracts import webhook
from headwater.contracts.webhook import Receipt
from headwater.model.ids import derive_id, derive_key_id, to_millisecond
from headwater.model.secret import Secret
from headwater.store.database import Database

LOOK_S = 0.02
MAX_S = 120.0
HOOKS = f"""
version: 1
endpoints:
  - {{name: kept, scheme: github, secrets: ["{SECRET}"]}}
  - {{name: loaded, scheme: github, secrets: ["{SECRET}"], destination: {{table: hooks, mode: append}}}}
"""


async def measure(house: House, *, quick: bool) -> list[Figure]:
    rounds = 1 if quick else 3
    hooks, pages = (1000, 20) if quick else (20_000, 950)  # a walk goes ahead of its table by no more pages
    url = await house.database()
    figures = []
    async with worker(url) as database:
        one_by_one = await _message_by_message(house, url, 500 if quick else 3000)
        await apply(url, HOOKS)
        async with house.service(url, "persister") as persister:
            for endpoint in ("kept", "loaded"):
                figures += await _hooks(house, url, database, [persister], endpoint, hooks, rounds)
            async with house.service(url, "persister") as other:
                for endpoint in ("kept", "loaded"):
                    both = [persister, other]
                    figures += await _hooks(house, url, database, both, endpoint, hooks, rounds)
        figures += await _pages(house, url, database, pages, rounds, one_by_one)
    return figures


async def _until(database: Database, query: str, count: int) -> None:
    """Returns when `query` gives `count`."""
    async with asyncio.timeout(MAX_S):
        while await database.fetchval(query) < count:
            await asyncio.sleep(LOOK_S)


async def _emptied(url: str, table: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"TRUNCATE {table}")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _copied(house: House, url: str, table: str) -> float:
    r"""Seconds of `psql \copy` of the table's rows into a table of the same columns and indexes."""
    file = house.folder / f"{uuid4().hex}.copy"
    connection = await asyncpg.connect(url)
    await connection.execute("CHECKPOINT; DROP TABLE IF EXISTS public.copied")
    await connection.execute(f"CREATE TABLE public.copied (LIKE {table} INCLUDING ALL)")
    count = await connection.fetchval(f"SELECT count(*) FROM {table}")
    await psql(url, rf"\copy (SELECT * FROM {table}) TO '{file}'")
    began = time.perf_counter()
    await psql(url, rf"\copy public.copied FROM '{file}'")
    seconds = time.perf_counter() - began
    assert await connection.fetchval("SELECT count(*) FROM public.copied") == count
    await connection.close()
    await asyncio.to_thread(Path(file).unlink)
    return seconds


async def _thawed(
    house: House, persisters: Sequence[Program], all_there: Callable[[], Awaitable[None]]
) -> dict[str, float]:
    """Let the persisters go on; gives the seconds until all is there, and what was spent."""
    spent, server, broker = _cpu_s(persisters), house.server_cpu_s(), house.broker_cpu_s()
    began = time.perf_counter()
    for persister in persisters:
        persister.thaw()
    await all_there()
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "persister_cpu_s": _cpu_s(persisters) - spent,
        "postgres_cpu_s": house.server_cpu_s() - server,
        "broker_cpu_s": house.broker_cpu_s() - broker,
    }


def _cpu_s(programs: Sequence[Program]) -> float:
    return sum(program.cpu_s() for program in programs)


async def _hooks(
    house: House,
    url: str,
    database: Database,
    persisters: Sequence[Program],
    endpoint: str,
    count: int,
    rounds: int,
) -> list[Figure]:
    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    for _ in range(rounds):
        await _emptied(url, "headwater.delivery, headwater.dedupe_claim")
        for persister in persisters:
            persister.freeze()
        await _publish_hooks(house, endpoint, count)

        async def all_there() -> None:
            # By the keys of the last ones: counting every row again and again would cost the database more than
            # storing them does.
            last = f"tenant = 'default' AND endpoint = '{endpoint}' AND key >= '{_key(count - count // 4)}'"
            await _until(database, f"SELECT count(*) FROM dedupe_claim WHERE {last}", count // 4)
            await _until(database, "SELECT count(*) FROM delivery WHERE state = 'done'", count)

        ours.append(await _thawed(house, persisters, all_there))
        seconds = await _copied(house, url, "headwater.delivery")
        if endpoint == "loaded":
            seconds += await _copied(house, url, "hw_default.hooks")
            await _emptied(url, "hw_default.hooks")
        theirs.append(seconds)
    name = f"deliveries.{endpoint}" + (f".{len(persisters)}_persisters" if len(persisters) > 1 else "")
    rate = [count / one["seconds"] for one in ours]
    copy = [count / seconds for seconds in theirs]
    return [
        ratio(f"{name}.to_copy", rate, copy, r">= 0.45 x \copy", rounds=ours),
        Figure(f"{name}.product", "rows/s", rate),
        Figure(f"{name}.copy", "rows/s", copy),
        *_spent(name, ours, count),
    ]


def _spent(name: str, rounds: Sequence[Mapping[str, float]], count: int) -> list[Figure]:
    """Processor time a row of each that takes part."""
    return [
        Figure(f"{name}.cpu_{who}", "us/row", [one[f"{who}_cpu_s"] / count * 1e6 for one in rounds])
        for who in ("persister", "postgres", "broker")
    ]


async def _publish_hooks(house: House, endpoint: str, count: int) -> None:
    """Messages as the receiver makes them, confirmed."""
    bus = RabbitBus(Secret.of(house.amqp_url))
    await bus.open()
    try:
        for begin in range(0, count, 500):
            numbers = range(begin, min(begin + 500, count))
            await asyncio.gather(*(bus.publish(_hook(endpoint, number)) for number in numbers))
    finally:
        await bus.close()


def _key(number: int) -> str:
    return signed_headers(number, b"")["X-GitHub-Delivery"]


def _hook(endpoint: str, number: int) -> Message:
    body = body_of(number, 1024)
    headers = signed_headers(number, body)
    now = to_millisecond(datetime.now(UTC))
    key = headers["X-GitHub-Delivery"]
    receipt = Receipt(
        id=derive_key_id("delivery", "default", endpoint, key),
        receipt_id=derive_id(now, "receipt", endpoint, number),
        received_at=now,
        tenant="default",
        endpoint=endpoint,
        method="POST",
        url=f"http://127.0.0.1/in/default/{endpoint}",
        remote="127.0.0.1",
        headers=[list(pair) for pair in headers.items()],
        body=body,
        verification={"scheme": "github", "secret": 0, "timestamp": None},
        type="push",
        key=key,
    )
    return Message(webhook.TYPE, str(receipt.receipt_id), body, webhook.to_headers(receipt))


async def _pages(
    house: House, url: str, database: Database, pages: int, rounds: int, one_by_one: float
) -> list[Figure]:
    """Batches of 100 records, put there by real walks: appended, and merged by key into a table that has them."""
    names = {f"{mode}_{n}": Stream(mode, 0, pages) for mode in ("append", "merge") for n in range(rounds)}
    records = pages * SIZE
    figures = []
    async with house.program("paged_api", "--records", records) as api:
        await apply(url, manifest(f"http://127.0.0.1:{api.port}", names))
        async with (
            house.service(url, "timer", "fetcher") as walker,
            house.service(url, "persister") as persister,
        ):
            for mode, goal in (("append", ">= 0.55"), ("merge", ">= 0.45")):
                ours: list[dict[str, float]] = []
                theirs: list[float] = []
                for number in range(rounds):
                    table = f"{mode}_{number}"
                    persister.freeze()
                    run_id = await start(database, table)
                    await _fetched(walker, database, run_id, pages)

                    async def all_there(run_id: object = run_id) -> None:
                        await _until(database, f"SELECT received FROM run WHERE id = '{run_id}'", records)

                    ours.append(await _thawed(house, [persister], all_there))
                    await finished(database, run_id)
                    theirs.append(await _copied(house, url, f"hw_default.{table}"))
                rate = [records / one["seconds"] for one in ours]
                copy = [records / seconds for seconds in theirs]
                figures += [
                    ratio(f"pages.{mode}.to_copy", rate, copy, rf"{goal} x \copy", rounds=ours),
                    Figure(f"pages.{mode}.product", "rows/s", rate),
                    Figure(f"pages.{mode}.copy", "rows/s", copy),
                    *_spent(f"pages.{mode}", ours, records),
                ]
                if mode == "append":
                    inserts = [one_by_one] * rounds
                    figures.append(ratio("pages.append.to_insert", rate, inserts, ">= 15 x INSERT"))
    figures.append(Figure("insert_by_message", "rows/s", [one_by_one]))
    return figures


async def _fetched(walker: Program, database: Database, run_id: object, pages: int) -> None:
    """Returns when every page of the run is begun and nothing of it is left to publish."""
    query = f"SELECT count(*) FROM page WHERE run_id = '{run_id}'"
    await _until(database, query, pages)
    spent = -1.0
    async with asyncio.timeout(MAX_S):
        while walker.cpu_s() - spent > 0.005:  # it has come to rest
            spent = walker.cpu_s()
            await asyncio.sleep(0.25)


async def _message_by_message(house: House, url: str, count: int) -> float:
    """Rows a second of a plain consumer: parse a message, insert its row, acknowledge it; then the next."""
    connection = await aio_pika.connect(house.amqp_url)
    database = await asyncpg.connect(url)
    await database.execute(
        "CREATE TABLE public.one_by_one (id bigint, type text, amount double precision, "
        "created_at text, customer text, note text)"
    )
    async with connection, connection.channel(publisher_confirms=False) as channel:
        arguments = {"x-queue-type": "quorum"}
        queue = await channel.declare_queue(f"bench.{uuid4().hex}", durable=True, arguments=arguments)
        for number in range(count):
            await channel.default_exchange.publish(
                aio_pika.Message(body_of(number, 1024), delivery_mode=2), queue.name
            )
        await channel.set_qos(prefetch_count=100)
        taken = 0
        began = time.perf_counter()
        async with queue.iterator() as messages:
            async for message in messages:
                row = orjson.loads(message.body)
                await database.execute(
                    "INSERT INTO public.one_by_one VALUES ($1, $2, $3, $4, $5, $6)", *row.values()
                )
                await message.ack()
                taken += 1
                if taken == count:
                    break
        seconds = time.perf_counter() - began
        await queue.delete(if_unused=False, if_empty=False)
    await database.close()
    return count / seconds
