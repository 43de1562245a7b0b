"""Parts alone: the verification of a signature, the digest of a page, the firing of due schedules, and what COPY costs the
database in either of its forms.
"""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import asyncpg
import psutil
from tests.bench.figures import Figure, ratio
from tests.bench.house import House, worker
from tests.bench.load import body_of
from tests.bench.paged_api import record
from tests.support import webhook_signer

from headwater.contracts.codec import dumps
from headwater.plugins.destinations import Batch, Mode, PostgresDestination, Table
from headwater.plugins.destinations.packing import pack, packing_of
from headwater.plugins.destinations.rendering import render, written_columns
from headwater.plugins.signatures.presets import preset, preset_row
from headwater.plugins.signatures.verify import bind
from headwater.plugins.walk.select import digest_of
from headwater.timer.fire import fire_due

PRESETS = ("github", "stripe", "standard_webhooks", "shopify", "slack")


async def measure(house: House, *, quick: bool) -> list[Figure]:
    figures = [*_verification(quick=quick), *_digest(quick=quick), *await _firing(house, quick=quick)]
    for name, mode, key in (("copy", Mode.APPEND, ()), ("copy.unique_index", Mode.MERGE, ("id",))):
        figures += await _copying(house, name, Table("bench", "copied", mode, key), quick=quick)
    return figures


def _verification(*, quick: bool) -> list[Figure]:
    count, rounds = (500, 2) if quick else (3000, 5)
    now = time.time()
    figures = []
    for name in PRESETS:
        sent = webhook_signer.send(dict(preset_row(name)), at_s=now, body=body_of(1, 1024))
        verifier = bind(preset(name), [sent.secret])
        check = partial(verifier.verify, sent.request, at_s=now, tolerance_s=300.0, context={})
        if not check().valid:
            raise RuntimeError(f"the signature of {name} does not verify: {check()}")
        samples = []
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(count):
                check()
            samples.append((time.perf_counter() - began) / count * 1e6)
        figures.append(Figure(f"verify.{name}", "us", samples, "<= 30"))
    return figures


def _digest(*, quick: bool) -> list[Figure]:
    """The digest of a page of 100 records of 1 KiB, and how much longer SHA-256 takes."""
    page = dumps([record(number) for number in range(100)])
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: digest_of(page),
        "sha256": lambda: hashlib.sha256(page).digest(),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(2 if quick else 5):
        for way, digest in ways.items():
            began = time.perf_counter()
            for _ in range(200):
                digest()
            found[way].append((time.perf_counter() - began) / 200 * 1e6)
    return [
        Figure("digest.page", "us", found["ours"]),
        ratio("digest.sha256_to_ours", found["sha256"], found["ours"]),
    ]


async def _firing(house: House, *, quick: bool) -> list[Figure]:
    """Due schedules claimed, their run rows made and their next due times set; run by run, as the timer does."""
    count = 500 if quick else 5000
    url = await house.database()
    superuser = await asyncpg.connect(url)
    await superuser.execute("INSERT INTO headwater.tenant (name) VALUES ('default') ON CONFLICT DO NOTHING")
    await superuser.execute(
        "INSERT INTO headwater.schedule (tenant, name, definition, state, next_at) "
        "SELECT 'default', 's' || n, jsonb_set($1::jsonb, '{name}', to_jsonb('s' || n)), 'active', "
        "date_trunc('hour', now()) FROM generate_series(1, $2::int) AS n",
        json.dumps({"name": "", "streams": ["api.things"], "cron": "0 * * * *"}),
        count,
    )
    await superuser.close()
    fired = 0
    async with worker(url) as database:
        began = time.perf_counter()
        while fired < count:
            async with database.transaction() as connection:
                fired += await fire_due(connection)
        seconds = time.perf_counter() - began
    return [Figure("timer.fire", "schedules/s", [count / seconds])]


async def _copying(house: House, name: str, table: Table, *, quick: bool) -> list[Figure]:
    """The database's processor time a row of COPY, as text and in its binary form, of records of 1 KiB as walks load."""
    pages, rounds = (10, 1) if quick else (200, 5)
    connection = await asyncpg.connect(await house.database())
    server = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    now, run_id = datetime.now(UTC), uuid4()
    batches = [
        Batch([record(n) for n in range(page * 100, page * 100 + 100)], now, run_id, page=page)
        for page in range(pages)
    ]
    plan = await PostgresDestination().prepare(connection, table, batches)
    packing = packing_of(plan)
    assert plan.selected is not None
    assert packing is not None
    selection = plan.selected.selection
    forms = {
        "text": (written_columns(plan), [chunk.data for chunk in render(plan, batches, selection)]),
        "binary": (packing.columns, list(pack(packing, batches, selection))),
    }
    found: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(rounds):
        for form, (columns, data) in forms.items():
            await connection.execute("TRUNCATE bench.copied; CHECKPOINT")
            before = sum(server.cpu_times()[:2])
            await connection.copy_to_table(
                "copied", schema_name="bench", columns=columns, source=_each(data), format=form
            )
            found[form].append((sum(server.cpu_times()[:2]) - before) / len(selection.records) * 1e6)
    await connection.close()
    return [Figure(f"{name}.{form}", "us/row", samples) for form, samples in found.items()]


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
