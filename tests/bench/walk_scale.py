"""Walks of many records, and many walks at once: memory that does not grow, and no stream that waits for another's limit."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from tests.bench.figures import Figure
from tests.bench.house import House, Program, apply, worker
from tests.bench.walk import SERVICES, SIZE, Stream, manifest, product, start

from headwater.store.database import Database

LOOK_S = 0.2
PATIENCE_S = 300.0
PAGES_OF_EACH = 4  # of each of many streams


async def measure(house: House, *, quick: bool) -> list[Figure]:
    many, most, streams = (10_000, 30_000, 60) if quick else (100_000, 1_000_000, 1000)
    url = await house.database()
    figures = []
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(house.program("paged_api", "--records", most))
        base = f"http://127.0.0.1:{api.port}"
        services = {name: await stack.enter_async_context(house.service(url, name)) for name in SERVICES}
        database = await stack.enter_async_context(worker(url))
        figures += await _memory(house, database, services, url, base, (many, most))
        figures += await _fairness(database, url, base, streams)
    return figures


async def _memory(
    house: House,
    database: Database,
    services: Mapping[str, Program],
    url: str,
    base: str,
    sizes: tuple[int, int],
) -> list[Figure]:
    """The most memory that each service had while it walked few and many records, 16 pages in flight."""
    names = {f"of_{records}": Stream("merge", 0, records // SIZE, 16) for records in sizes}
    await apply(url, manifest(base, names))
    figures = []
    for name, records in zip(names, sizes, strict=True):
        peaks: dict[str, float] = {}
        async with _watched(services, peaks):
            spent = await product(house, database, services, name, records)
        figures.append(Figure(f"walk_scale.{records}.product", "records/s", [records / spent["seconds"]]))
        figures += [
            Figure(f"walk_scale.{records}.most_memory_{service}", "MiB", [peak], "<= 120")
            for service, peak in peaks.items()
        ]
    return figures


@asynccontextmanager
async def _watched(services: Mapping[str, Program], peaks: dict[str, float]) -> AsyncIterator[None]:
    """Note the most memory of each service while the body runs."""

    async def look() -> None:
        while True:
            for name, program in services.items():
                peaks[name] = max(peaks.get(name, 0.0), program.rss_mib())
            await asyncio.sleep(LOOK_S)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        yield
        looking.cancel()


async def _fairness(database: Database, url: str, base: str, streams: int) -> list[Figure]:
    """How long the free half of the streams takes, alone and beside a half that waits for its source's limit."""
    half = streams // 2
    alone, beside = ([f"{group}_{number}" for number in range(half)] for group in ("alone", "beside"))
    held = [f"held_{number}" for number in range(half)]
    await apply(
        url, _sources(base, {"free": ([*alone, *beside], ""), "held": (held, "{requests: 1, per_s: 5}")})
    )
    took_alone = await _took_s(database, "free", alone)
    for name in held:
        await start(database, name, source="held")
    await _until(database, "SELECT count(*) >= 5 FROM page WHERE not_before IS NOT NULL")
    took_beside = await _took_s(database, "free", beside)
    waiting = await database.fetchval(
        "SELECT count(*) FROM run WHERE source = 'held' AND finished_at IS NULL"
    )
    if not waiting:
        raise RuntimeError("nothing waited for a limit any more: the comparison says nothing")
    return [
        Figure(
            f"walk_scale.{half}_streams_beside_{half}_that_wait",
            "x alone",
            [took_beside / took_alone],
            "<= 1.5",
            {"alone_s": took_alone, "beside_s": took_beside, "still_waiting": waiting},
        )
    ]


def _sources(base: str, of: Mapping[str, tuple[list[str], str]]) -> str:
    lines = ["version: 1", "sources:"]
    for source, (names, limit) in of.items():
        lines += [f"  - name: {source}", f"    base_url: {base}", '    network: {allow: ["127.0.0.0/8"]}']
        lines += [f"    rate_limit: {limit}"] if limit else []
        lines.append("    streams:")
        for name in names:
            lines += [
                f"      - name: {name}",
                "        request: {path: /records}",
                "        pagination: {type: cursor, cursor_path: next}",
                "        records: {path: items}",
                f"        limits: {{max_pages: {PAGES_OF_EACH}}}",
                f"        destination: {{table: many_{source}, mode: append}}",
            ]
    return "\n".join(lines) + "\n"


async def _took_s(database: Database, source: str, names: list[str]) -> float:
    """Seconds until every one of these streams, started at once, has ended."""
    began = time.perf_counter()
    runs = [await start(database, name, source=source) for name in names]
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval(
            "SELECT count(*) FROM run WHERE id = ANY($1::uuid[]) AND finished_at IS NULL", runs
        ):
            await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began


async def _until(database: Database, question: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await database.fetchval(question):
            await asyncio.sleep(LOOK_S)
