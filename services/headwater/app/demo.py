"""The demo of `headwater up --demo`: a walk of its own small API and signed webhooks, before the reader's eyes."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import aiohttp
import orjson

from headwater.app.demo_api import demo_api
from headwater.app.ground import Ground
from headwater.contracts.manifest_text import parse_manifest
from headwater.control.apply import apply_manifest
from headwater.model.errors import HeadwaterError
from headwater.model.names import quote_identifier, schema_for
from headwater.settings.resources import resource
from headwater.store import deliveries, runs
from headwater.store.runs import NewRun

TENANT = "default"
PAYMENTS = 20
_STEP_S = 0.05  # between two looks at what is going on
_TIME_S = 45.0  # the demo gives up telling after this; the services go on
_FINAL = ("succeeded", "partial", "failed", "cancelled", "skipped")


def missing_from_path(program: str, path: str) -> str | None:
    """The folder of `program` where a shell with this `path` would not find it; None where it would."""
    name = Path(program).name
    return None if shutil.which(name, path=path) else str(Path(program).absolute().parent)


class DemoError(HeadwaterError):
    """The demo did not go as it should; the services go on."""


class Demo:
    """One demo: its API lives as long as the context of `prepared`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._token = secrets.token_urlsafe(16)
        self._webhook_key = os.urandom(24)
        self._github_secret = secrets.token_urlsafe(24)
        self._api_url = ""

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[Self]:
        async with demo_api(self._token) as url:
            self._api_url = url
            yield self

    async def tell(self, ground: Ground, address: str, ending: asyncio.Event) -> None:
        """Walk, receive, and show what came of it."""
        try:
            async with asyncio.timeout(_TIME_S):
                await self._tell(ground, address)
        except (TimeoutError, aiohttp.ClientError) as error:
            self._say(f"demo: it did not get to its end ({type(error).__name__}: {error}); see the log above")
        if not ending.is_set():
            self._say("\nCtrl-C ends it; the data stays for the next start.")

    async def _tell(self, ground: Ground, address: str) -> None:
        await self._apply(ground)
        self._say("\ndemo: a small API of 2,000 orders is walked by its Link header ...")
        await self._walk(ground)
        self._say(f"demo: {PAYMENTS} signed webhooks, one sent twice, and one with a forged signature ...")
        await self._receive(ground, address)
        await self._show(ground)
        self._next_steps(ground, address)

    async def _apply(self, ground: Ground) -> None:
        text = resource("examples", "demo.yml").read_text(encoding="utf-8")
        environment = {
            "DEMO_API_URL": self._api_url,
            "DEMO_API_TOKEN": self._token,
            "DEMO_WEBHOOK_SECRET": "whsec_" + base64.b64encode(self._webhook_key).decode(),
            "DEMO_GITHUB_SECRET": self._github_secret,
        }
        manifest, _ = parse_manifest(text, "examples/demo.yml", environment)
        async with ground.api.as_tenant(TENANT, admin=True) as connection:
            await apply_manifest(connection, ground.keyring, manifest)

    async def _walk(self, ground: Ground) -> None:
        new = NewRun(
            TENANT, "demo", "orders", datetime.now(UTC), "cli", key="demo", priority=0, started_by="demo"
        )
        async with ground.worker.transaction() as connection:
            run_id = await runs.insert(connection, new)
        ground.bell.ring()
        shown = -1
        while True:
            run = await self._run(ground, run_id)
            if run["pages"] != shown and run["state"] == "running":
                shown = run["pages"]
                self._say(
                    f"      page {shown:>3}   {run['inserted'] + run['updated'] + run['unchanged']:>5} rows"
                )
            if run["state"] in _FINAL:
                break
            await asyncio.sleep(_STEP_S)
        took_s = (run["finished_at"] - run["created_at"]).total_seconds()
        counts = (
            f"{run['pages']} pages, {run['received']} records, {run['inserted']} new rows in {took_s:.1f} s"
        )
        self._say(f"      run {run_id} {run['state']}: {counts}")

    async def _run(self, ground: Ground, run_id: UUID) -> Any:
        async with ground.worker.connection() as connection:
            run = await runs.get(connection, run_id)
        if run is None:
            raise DemoError("the run is not there")
        return run

    async def _receive(self, ground: Ground, address: str) -> None:
        statuses: dict[int, int] = {}
        async with aiohttp.ClientSession() as session:
            first = self._payment(1)
            for headers, body in [
                *(self._payment(number) for number in range(1, PAYMENTS + 1)),
                first,
                self._forged(),
            ]:
                status = await self._post(session, f"{address}/in/{TENANT}/payments", headers, body)
                statuses[status] = statuses.get(status, 0) + 1
        told = ", ".join(f"{count} answered {status}" for status, count in sorted(statuses.items()))
        self._say(f"      {told}")
        while True:
            async with ground.worker.connection() as connection:
                done = await deliveries.count_by_state(connection)
            if done.get("done", 0) >= PAYMENTS and not done.get("accepted"):
                return
            await asyncio.sleep(_STEP_S)

    async def _post(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes
    ) -> int:
        for _ in range(40):  # the endpoint is known as soon as the receiver has heard of it
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status != 404:
                    return answer.status
            await asyncio.sleep(_STEP_S)
        return 404

    def _payment(self, number: int) -> tuple[dict[str, str], bytes]:
        body = orjson.dumps(
            {"id": number, "order": number * 7, "amount_cents": 100 * number, "currency": "EUR"}
        )
        return self._signed(f"msg_demo_{number}", body, self._webhook_key), body

    def _forged(self) -> tuple[dict[str, str], bytes]:
        body = b'{"id": 666, "amount_cents": 1}'
        return self._signed("msg_forged", body, b"not the key"), body

    def _signed(self, identifier: str, body: bytes, key: bytes) -> dict[str, str]:
        """Standard Webhooks: HMAC-SHA256 over id.timestamp.body."""
        at = str(int(datetime.now(UTC).timestamp()))
        digest = hmac.digest(key, f"{identifier}.{at}.".encode() + body, hashlib.sha256)
        signature = "v1," + base64.b64encode(digest).decode()
        return {"webhook-id": identifier, "webhook-timestamp": at, "webhook-signature": signature}

    async def _show(self, ground: Ground) -> None:
        schema = quote_identifier(schema_for(TENANT))
        self._say("\ndemo: what is in the tables now")
        for table, columns in (
            ("orders", "id, reference, status, amount_cents"),
            ("payments", "id, amount_cents, currency"),
        ):
            async with ground.worker.transaction() as connection:
                await connection.execute("SET LOCAL ROLE headwater_loader")
                count = await connection.fetchval(f"SELECT count(*) FROM {schema}.{table}")  # noqa: S608 - our own names
                rows = await connection.fetch(f"SELECT {columns} FROM {schema}.{table} ORDER BY id LIMIT 3")  # noqa: S608 - as above
            self._say(f"      {schema_for(TENANT)}.{table}: {count} rows")
            for row in rows:
                self._say("        " + "   ".join(f"{name}={value}" for name, value in row.items()))
        async with ground.worker.connection() as connection:
            marks = await connection.fetchval("SELECT count(*) FROM delivery_duplicate")
        self._say(f"      duplicates marked: {marks}")

    def _next_steps(self, ground: Ground, address: str) -> None:
        self._say("\nnext, in another terminal:")
        if ground.means.data_folder_is_ours:
            self._say(f"      export HEADWATER_DATA_DIR={ground.settings.data_dir}")
        if (missing := missing_from_path(sys.argv[0], os.environ.get("PATH", ""))) is not None:
            self._say(f"      export PATH={missing}:$PATH")
        self._say("      headwater runs list            # orders are fetched again each minute")
        self._say("      headwater deliveries list      # what the webhooks brought")
        self._say("      headwater apply your.yml       # your own sources and endpoints; see examples/")
        self._say(f"      curl {address}/metrics")
