"""Timers side by side over one database, killed and frozen at random, with books of every boundary."""

import asyncio
import base64
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from tests.support.fleet import Fleet
from tests.support.places import new_folder
from tests.support.processes import Child, Children

from headwater.app.embedded import EmbeddedPostgres

SETTLE_S = 5
VERSION = "00000000-0000-8000-8000-000000000001"


@contextmanager
def timers_over(migrated_folder: Path, count: int) -> Iterator[tuple[Fleet, list[Child]]]:
    """So many timers in processes of their own, ready, over a PostgreSQL of their own that is their bus as well."""
    folder = new_folder("timers")
    shutil.copytree(migrated_folder, folder / "postgres")
    server = EmbeddedPostgres(folder / "postgres", durable=False)
    key = base64.b64encode(os.urandom(32)).decode()
    try:
        asyncio.run(server.start())
        with Children(folder, HEADWATER_DATABASE_URL=server.url, HEADWATER_SECRET_KEY=key) as children:
            timers = [children.start("run", "timer") for _ in range(count)]
            for timer in timers:
                timer.ready()
            try:
                yield Fleet(children, server.url), timers
            finally:
                for timer in timers:
                    if timer.code is None:
                        os.kill(timer.pid, signal.SIGCONT)
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder, ignore_errors=True)


async def write_schedules(url: str, count: int, seconds: int) -> datetime:
    """`count` schedules, each due every second for `seconds` seconds, the first ones soon; gives the first second."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "headwater"})
    try:
        await connection.execute("INSERT INTO tenant (name) VALUES ('default') ON CONFLICT DO NOTHING")
        await connection.execute(
            "INSERT INTO source (tenant, name, definition) VALUES ('default', 'far', '{}')"
        )
        await connection.execute(
            "INSERT INTO stream_version (id, tenant, source, stream, definition) VALUES ($1, 'default', 'far', 's', '{}')",
            VERSION,
        )
        await connection.execute(
            "INSERT INTO stream (tenant, source, name, version_id)"
            " SELECT 'default', 'far', 's' || n, $2::uuid FROM generate_series(1, $1::int) AS n",
            count,
            VERSION,
        )
        first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SETTLE_S)
        definition = {
            "name": "",
            "streams": [""],
            "cron": "* * * * * *",
            "timezone": "UTC",
            "catch_up": {"all": 1000},
            "overlap": {"allow": 1000},
            "ends_at": (first + timedelta(seconds=seconds - 1)).isoformat(),
        }
        await connection.execute(
            """INSERT INTO schedule (tenant, name, definition, next_at)
               SELECT 'default', 'c' || n, $1::text::jsonb || jsonb_build_object('name', 'c' || n,
                      'streams', jsonb_build_array('far.s' || n)), $2 FROM generate_series(1, $3::int) AS n""",
            json.dumps(definition),
            first,
            count,
        )
        await connection.execute("SELECT pg_notify('headwater_config', '')")
    finally:
        await connection.close()
    return first


async def disturb(timers: Sequence[Child], draw: random.Random, done: asyncio.Event) -> dict[str, int]:
    """Until `done`: SIGKILL and a new start, or SIGSTOP for up to some seconds, to any of them at any time."""
    kills = freezes = 0
    while not await _within(done, draw.uniform(0.3, 2.0)):
        timer = draw.choice(timers)
        if draw.random() < 0.5:
            await asyncio.to_thread(timer.kill)
            timer.start_again()
            kills += 1
        elif timer.code is None:
            os.kill(timer.pid, signal.SIGSTOP)
            freezes += 1
            try:
                await _within(done, draw.uniform(0.2, 6.0))
            finally:
                os.kill(timer.pid, signal.SIGCONT)
    return {"kills": kills, "freezes": freezes}


async def _within(done: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        return False
    return True


async def ledger_of(url: str, first: datetime, count: int, seconds: int) -> dict[str, Any]:
    """Each boundary of each schedule against the run rows, and these against what was announced."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "headwater"})
    try:
        rows = await connection.fetch("SELECT id, schedule, due_at, state, published_at FROM run")
        told = await connection.fetch(
            "SELECT id, convert_from(body, 'UTF8') AS body FROM headwater_bus.message WHERE queue = 'headwater.run.due'"
        )
    finally:
        await connection.close()
    wanted = {(f"c{n + 1}", first + timedelta(seconds=s)) for n in range(count) for s in range(seconds)}
    made = [(row["schedule"], row["due_at"]) for row in rows]
    announced = [str(json.loads(row["body"])["run_id"]) for row in told]
    ids = {str(row["id"]) for row in rows}
    return {
        "attempted": len(wanted),
        "stored": len(made),
        "lost": len(wanted - set(made)),
        "duplicated": len(made) - len(set(made)),
        "unexpected": len(set(made) - wanted),
        "announced": len(set(announced)),
        "unannounced": len(ids - set(announced)),
        "announced_again": len(announced) - len(set(announced)),
        "longest_lateness_s": max(
            ((row["published_at"] - row["due_at"]).total_seconds() for row in rows if row["published_at"]),
            default=None,
        ),
    }
