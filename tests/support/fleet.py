"""Every service in a process of its own on RabbitMQ and PostgreSQL, as docker-compose.yml runs them."""

import asyncio
import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from tests.support.processes import Child, Children

SERVICES = ("receiver", "timer", "fetcher", "persister", "notifier", "control")
ADMIN_KEY = "hw_e2e_" + "k" * 40
FINAL = ("succeeded", "partial", "failed", "cancelled", "skipped")


@dataclass
class Fleet:
    """The services by name, and what a test needs to drive them."""

    children: Children
    database_url: str
    services: dict[str, Child] = field(default_factory=dict)

    def address(self, service: str) -> str:
        return self.services[service].address

    def start(self, *names: str) -> None:
        """Start services, all at once, and wait until each is ready. Names joined by + share a process."""
        for together in names:
            child = self.children.start("run", *together.split("+"))
            self.services |= dict.fromkeys(together.split("+"), child)
        for child in self.services.values():
            child.ready()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One call of the REST API with the administrator's key; gives status and document."""
        request = urllib.request.Request(
            f"{self.address('control')}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": ADMIN_KEY, "Content-Type": "application/json"} | headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def apply(self, manifest: str, **environment: str) -> None:
        """`headwater apply`, from a file."""
        path = self.children.folder / "manifest.yml"
        path.write_text(manifest, encoding="utf-8")
        applied = self.children.run("apply", str(path), **environment)
        assert applied.code == 0, applied.output

    def begin_run(self, stream: str, *arguments: str) -> str:
        """`headwater runs start`; gives the run's id."""
        started = self.children.run("runs", "start", stream, "--json", *arguments)
        assert started.code == 0, started.output
        return str(json.loads(started.output)["id"])

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """Rows as the database's superuser sees them."""
        connection = await asyncpg.connect(self.database_url, server_settings={"search_path": "headwater"})
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def until(self, query: str, *values: Any, timeout_s: float = 60.0) -> Any:
        """The first row of `query` as soon as it has one; asked every 50 ms, since the answer is a commit's."""
        connection = await asyncpg.connect(self.database_url, server_settings={"search_path": "headwater"})
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    row = await connection.fetchrow(query, *values)
                    if row is not None:
                        return row
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"waited {timeout_s:g} s in vain for: {query} {values}") from None
        finally:
            await connection.close()

    async def final(self, run_id: str, timeout_s: float = 60.0) -> Mapping[str, Any]:
        """The run's row once it has ended."""
        query = "SELECT * FROM run WHERE id = $1 AND state = ANY($2)"
        return await self.until(query, run_id, list(FINAL), timeout_s=timeout_s)


@contextmanager
def running_fleet(
    folder: Path,
    database_url: str,
    amqp_url: str,
    *,
    management_url: str | None = None,
    services: Sequence[str] = SERVICES,
    **environment: str,
) -> Iterator[Fleet]:
    """The services at work until the context ends; the database is migrated already."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "HEADWATER_DATABASE_URL": database_url,
        "HEADWATER_AMQP_URL": amqp_url,
        "HEADWATER_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
        "HEADWATER_ADMIN_KEY": ADMIN_KEY,
    }
    if management_url is not None:
        given["HEADWATER_RABBITMQ_MANAGEMENT_URL"] = management_url
    with Children(folder, **given | environment) as children:
        fleet = Fleet(children, database_url)
        fleet.start(*services)
        yield fleet
