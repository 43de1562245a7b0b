"""Schedules: how late runs are, alone and many at once, with few and a million schedules stored; against APScheduler.

Lateness is `published_at - due_at` of the run rows: the moment at which the broker's confirm of `run.due` was written
down, so a little later than the confirm itself. All of it by the database's clock, with every run row written.
"""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from tests.bench.figures import Figure, ratio
from tests.bench.house import House, Program, worker
from tests.bench.timers_peer import PEER, peer_python

from headwater.bus.port import Message
from headwater.bus.rabbitmq import RabbitBus
from headwater.contracts.timetable import timetable_of_times
from headwater.control.schedule_preview import PreviewRequest, Wanted, preview_of
from headwater.model.ids import derive_key_id
from headwater.store import schedules
from headwater.timer.announce import message_of

SETTLE_S = 4.0
PATIENCE_S = 180.0
STORED = 1_000_000


async def measure(house: House, *, quick: bool) -> list[Figure]:
    lone, many, most = (5, 1000, 2000) if quick else (30, 10_000, 100_000)
    stored = 20_000 if quick else STORED
    figures = _preview()
    url = await house.database()
    database = await asyncpg.connect(url, server_settings={"search_path": "headwater"}, command_timeout=600)
    try:
        await _streams(database, max(lone, most))
        async with house.service(url, "timer") as timer:
            empty = await _lone(database, lone, "few")
            figures += _lateness("timers.lone", empty, "p50 <= 10 ms, p99 <= 50 ms")
            figures += _lateness("timers.lone_confirm", await _lone_confirms(house.amqp_url, lone))
            figures.append(Figure("timers.idle_memory", "MiB", [timer.rss_mib()], "<= 60"))
            burst = await _burst(database, many, "burst")
            figures += _lateness(f"timers.{many}_at_once", burst, "p99 <= 600 ms")
            theirs = await _peer(url, many)
            figures.append(
                ratio(
                    f"timers.{many}_at_once.apscheduler_to_ours_p99",
                    [_percentile(theirs, 99)],
                    [_percentile(burst, 99)],
                    ">= 15",
                    theirs_p50_ms=_percentile(theirs, 50),
                    theirs_p99_ms=_percentile(theirs, 99),
                )
            )
            figures += await _flood(house, timer, database, most)
        await _store(database, stored)
        async with house.service(url, "timer"):
            full = await _lone(database, lone, "full")
            figures += _lateness(f"timers.lone_of_{stored}", full, "as without them")
        figures.append(await _claims(url, database, stored))
    finally:
        await database.close()
    return figures


async def _flood(house: House, timer: Program, database: asyncpg.Connection, count: int) -> list[Figure]:
    """The most at once, with the processor time of each program, and the broker's confirms alone beside it."""
    house.purge()
    before = timer.cpu_s(), house.server_cpu_s(), house.broker_cpu_s()
    late = await _burst(database, count, "flood")
    spent = timer.cpu_s() - before[0], house.server_cpu_s() - before[1], house.broker_cpu_s() - before[2]
    house.purge()
    alone_s = await _publisher_alone(house.amqp_url, count)
    house.purge()
    last_s = max(late) / 1000
    # the database's is with the bench's own: writing the schedules down, moving them to their second, cleaning up
    told = {
        f"{name}_us_each": round(seconds / count * 1e6, 1)
        for name, seconds in zip(("timer", "database", "broker"), spent, strict=True)
    }
    return [
        Figure(f"timers.{count}_at_once.last", "s", [last_s], "<= 4", told),
        ratio(
            f"timers.{count}_at_once.to_publisher_alone",
            [last_s],
            [alone_s],
            "<= 1.5",
            publisher_s=round(alone_s, 2),
        ),
    ]


async def _publisher_alone(amqp_url: str, count: int) -> float:
    """Seconds until the broker has confirmed as many `run.due`, which cost nothing to make."""
    bus = RabbitBus(amqp_url)
    await bus.open()
    try:
        messages = [_due(number) for number in range(count)]
        began = time.perf_counter()
        results = []
        for start in range(0, count, 1000):
            results += [bus.post(message) for message in messages[start : start + 1000]]
            await asyncio.sleep(0)
        for result in results:
            await result
        return time.perf_counter() - began
    finally:
        await bus.close()


async def _lone_confirms(amqp_url: str, count: int) -> list[float]:
    """Milliseconds until the broker has confirmed a `run.due`, with nothing before it: one each second."""
    bus = RabbitBus(amqp_url)
    await bus.open()
    late = []
    try:
        for number in range(count):
            await asyncio.sleep(1.0)
            message = _due(number)
            began = time.perf_counter()
            await bus.publish(message)
            late.append((time.perf_counter() - began) * 1000)
    finally:
        await bus.close()
    return late


def _due(number: int) -> Message:
    return message_of(
        {
            "id": derive_key_id(number),
            "attempt": 1,
            "tenant": "default",
            "stream_version": UUID(int=number),
        }
    )


def _percentile(samples: list[float], percent: int) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _lateness(name: str, samples: list[float], goal: str = "") -> list[Figure]:
    return [
        Figure(f"{name}.p50", "ms", [_percentile(samples, 50)], goal),
        Figure(f"{name}.p99", "ms", [_percentile(samples, 99)], goal),
    ]


def _preview() -> list[Figure]:
    """Ten due times with words and warnings, an expression and a zone that nobody asked for before."""
    samples = []
    for minute in range(60):
        words = PreviewRequest(cron=f"{minute} 6 * * MON-FRI", timezone="Europe/Berlin")
        began = time.perf_counter()
        preview_of(words, "", {}, datetime.now(UTC), Wanted())
        samples.append((time.perf_counter() - began) * 1000)
    assert timetable_of_times(words, "", None, {}).crons
    return [Figure("timers.preview_of_10", "ms", [sorted(samples)[len(samples) // 2]], "<= 2")]


async def _streams(database: asyncpg.Connection, count: int) -> None:
    await database.execute("INSERT INTO tenant (name) VALUES ('default') ON CONFLICT DO NOTHING")
    await database.execute("INSERT INTO source (tenant, name, definition) VALUES ('default', 'far', '{}')")
    await database.execute(
        "INSERT INTO stream_version (id, tenant, source, stream, definition)"
        " VALUES ('00000000-0000-8000-8000-000000000001', 'default', 'far', 's', '{}')"
    )
    await database.execute(
        "INSERT INTO stream (tenant, source, name, version_id)"
        " SELECT 'default', 'far', 's' || n, '00000000-0000-8000-8000-000000000001' FROM generate_series(1, $1::int) AS n",
        count,
    )


async def _insert(
    database: asyncpg.Connection, prefix: str, count: int, first: datetime, step_s: int
) -> None:
    """Schedules `prefix1`, …: each of a stream of its own, due daily at its second."""
    definition = json.dumps({"name": "", "streams": [""], "cron": "", "timezone": "UTC"})
    await database.execute(
        """INSERT INTO schedule (tenant, name, definition, next_at)
           SELECT 'default', $1 || n,
                  $2::text::jsonb || jsonb_build_object('name', $1 || n, 'streams', jsonb_build_array('far.s' || n),
                        'cron', to_char(d.at AT TIME ZONE 'UTC', 'SS MI HH24 * * *')), d.at
             FROM generate_series(1, $3::int) AS n
            CROSS JOIN LATERAL (SELECT $4::timestamptz + make_interval(secs => $5::int * (n - 1)) AS at) AS d""",
        prefix,
        definition,
        count,
        first,
        step_s,
    )


async def _lone(database: asyncpg.Connection, count: int, prefix: str) -> list[float]:
    """One schedule due each second, one after the other."""
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SETTLE_S)
    await _insert(database, prefix, count, begin, 1)
    await database.execute("SELECT pg_notify('headwater_config', '')")
    return await _published(database, prefix, count)


async def _burst(database: asyncpg.Connection, count: int, prefix: str) -> list[float]:
    """All due in the same second, which comes when they are written and the database has settled."""
    far = datetime.now(UTC) + timedelta(days=2)
    await _insert(database, prefix, count, far, 0)
    await database.execute("VACUUM ANALYZE schedule, stream, run, stream_slot")
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SETTLE_S + count // 20_000)
    await database.execute(
        """UPDATE schedule SET next_at = $2, definition = definition || jsonb_build_object('cron',
                  to_char($2::timestamptz AT TIME ZONE 'UTC', 'SS MI HH24 * * *')) WHERE name LIKE $1 || '%'""",
        prefix,
        begin,
    )
    await database.execute("SELECT pg_notify('headwater_config', '')")
    return await _published(database, prefix, count)


async def _published(database: asyncpg.Connection, prefix: str, count: int) -> list[float]:
    """The lateness of each run in milliseconds, when all are published. Their slots are given back."""
    where = "schedule LIKE $1 || '%' AND published_at IS NOT NULL"
    # asked first, since it costs nothing while the timer is at work
    still_due = "SELECT min(next_at) < now() + interval '1 hour' FROM schedule WHERE state = 'active' AND next_at IS NOT NULL"
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval(still_due) or (
            await database.fetchval(f"SELECT count(*) FROM run WHERE {where}", prefix) < count
        ):
            await asyncio.sleep(0.25)
    rows = await database.fetch(
        f"SELECT extract(epoch FROM published_at - due_at) * 1000 AS late FROM run WHERE {where}", prefix
    )
    await database.execute("UPDATE run SET state = 'cancelled', finished_at = now() WHERE state = 'queued'")
    await database.execute("DELETE FROM stream_slot")
    return [float(row["late"]) for row in rows]


async def _store(database: asyncpg.Connection, count: int) -> None:
    """Schedules that are due far from now."""
    await _insert(database, "stored", count, datetime.now(UTC) + timedelta(days=30), 0)
    await database.execute(
        "UPDATE schedule SET next_at = next_at + random() * interval '30 days' WHERE name LIKE 'stored%'"
    )
    await database.execute("VACUUM ANALYZE schedule")


async def _claims(url: str, database: asyncpg.Connection, stored: int) -> Figure:
    """A twentieth of the stored schedules are due: claimed and written down as advanced, a thousand at a time."""
    due = max(stored // 20, 1000)
    await database.execute(
        "UPDATE schedule SET next_at = now() - interval '1 hour'"
        " WHERE name IN (SELECT 'stored' || n FROM generate_series(1, $1::int) AS n)",
        due,
    )
    await database.execute("VACUUM ANALYZE schedule")
    claimed, spent_s = 0, 0.0
    async with worker(url) as pool:
        while True:
            async with pool.transaction() as connection:
                began = time.perf_counter()
                rows = await schedules.claim_due(connection, 1000)
                spent_s += time.perf_counter() - began
                later = datetime.now(UTC) + timedelta(days=1)
                await schedules.advance(
                    connection, [schedules.Advance(row["tenant"], row["name"], None, later) for row in rows]
                )
            claimed += len(rows)
            if len(rows) < 1000:
                break
    return Figure(
        f"timers.claims_of_{stored}", "schedules/s", [claimed / spent_s], ">= 50,000", {"claimed": claimed}
    )


async def _peer(url: str, count: int) -> list[float]:
    """APScheduler with its job store in the same PostgreSQL: the lateness of each job in milliseconds."""
    python = await peer_python()
    process = await asyncio.create_subprocess_exec(
        python, str(PEER), url, str(count), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S * 2):
        told = await process.stdout.read()
        if await process.wait() != 0:
            raise RuntimeError("APScheduler's process failed")
    return [float(each) for each in json.loads(told)]
