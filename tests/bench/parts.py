"""Parts alone, in this process: the verification of a signature, and the firing of due schedules."""

import json
import time
from functools import partial

import asyncpg
from tests.bench.figures import Figure
from tests.bench.house import House, worker
from tests.bench.load import body_of
from tests.support import webhook_signer

from headwater.plugins.signatures.presets import preset, preset_row
from headwater.plugins.signatures.verify import bind
from headwater.timer.fire import fire_due

PRESETS = ("github", "stripe", "standard_webhooks", "shopify", "slack")


async def measure(house: House, *, quick: bool) -> list[Figure]:
    return [*_verification(quick=quick), *await _firing(house, quick=quick)]


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
