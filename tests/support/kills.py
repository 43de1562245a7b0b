"""Killing parts of a fleet in the midst of work, with books of what became of the work.

Each function is one scenario, short in `make test` and long in `make chaos`; it gives a ledger and asserts nothing.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from tests.support.fleet import FINAL, SERVICES, Fleet, running_fleet
from tests.support.flights import Flights, sum_of_table
from tests.support.places import new_folder
from tests.support.rabbitmq import SETTLING_S, end_at_once, private_node, require_binaries
from tests.support.senders import Books, Sender, load, standard_secret, until_stored

from headwater.app.embedded import EmbeddedPostgres
from headwater.app.private_rabbitmq import PrivateRabbit

ENDPOINT = "load"
ENOUGH = 100  # webhooks before the first kill and after each restart
PATIENCE_S = 90.0

MANIFEST_HEAD = """
version: 1
endpoints:
  - name: load
    scheme: standard_webhooks
    secrets: ["${env:LOAD_SECRET}"]
    destination: {table: loaded, mode: append}
sources:
  - name: flights
    base_url: ${env:FLIGHTS_URL}
    network: {allow: ["127.0.0.0/8"]}
    streams:
"""
_STREAM = """\
      - name: {name}
        request: {{path: /flights/flights.json, params: {{_shape: array, _size: {size}, _nocount: 1}}}}
        pagination: {{type: link, delay_s: {delay_s}}}
        destination: {{table: "{table}", mode: append}}
"""


@dataclass
class Ground:
    """A fleet whose broker and database may be killed as well."""

    fleet: Fleet
    rabbit: PrivateRabbit
    postgres: EmbeddedPostgres
    secret: str  # of the endpoint `load`

    def crash_of(self, name: str, *, pause_s: float = 0.0) -> Callable[[], Awaitable[None]]:
        """What kills `name` (a service, rabbitmq or postgresql) and starts it again, `pause_s` seconds later."""

        async def crash() -> None:
            if name in SERVICES:
                await kill_service(self.fleet, name)
                return
            server: Any = self.rabbit if name == "rabbitmq" else self.postgres
            await server.kill()
            await asyncio.sleep(pause_s)
            await server.start()

        return crash


@contextmanager
def open_ground(
    migrated_folder: Path, flights_url: str, streams: list[str], page_size: int, delay_s: float = 0.0
) -> Iterator[Ground]:
    """Broker, database and every service as processes of their own, the manifest applied."""
    require_binaries()
    folder = new_folder("kills")
    shutil.copytree(migrated_folder, folder / "postgres")
    postgres, rabbit = EmbeddedPostgres(folder / "postgres", durable=False), private_node(folder / "rabbit")
    try:
        asyncio.run(_start(postgres, rabbit))
        with running_fleet(folder / "fleet", postgres.url, rabbit.amqp_url) as fleet:
            secret = standard_secret()
            fleet.apply(manifest(streams, page_size, delay_s), LOAD_SECRET=secret, FLIGHTS_URL=flights_url)
            yield Ground(fleet, rabbit, postgres, secret)
    finally:
        asyncio.run(_stop(postgres, rabbit))
        shutil.rmtree(folder, ignore_errors=True)


async def _start(postgres: EmbeddedPostgres, rabbit: PrivateRabbit) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(postgres.start())
        group.create_task(rabbit.start())
    await asyncio.sleep(SETTLING_S)  # a younger quorum queue does not outlive its broker


async def _stop(postgres: EmbeddedPostgres, rabbit: PrivateRabbit) -> None:
    await asyncio.gather(postgres.stop(), end_at_once(rabbit))


def table_of(stream: str) -> str:
    return f"of_{stream}"


def manifest(streams: list[str], page_size: int, delay_s: float = 0.0) -> str:
    """An endpoint for load, and one stream a scenario, each with a table of its own. Append: nothing hides twice."""
    return MANIFEST_HEAD + "".join(
        _STREAM.format(name=name, size=page_size, table=table_of(name), delay_s=delay_s) for name in streams
    )


async def kill_service(fleet: Fleet, service: str) -> None:
    """SIGKILL, and the same command again."""
    child = fleet.services[service]
    child.kill()
    child.start_again()
    await asyncio.to_thread(child.ready)


async def walk_under_kills(
    fleet: Fleet,
    stream: str,
    flights: Flights,
    crash: Callable[[], Awaitable[object]],
    *,
    kills: int,
    first_page: int,
    pages_between: int,
    timeout_s: float = PATIENCE_S,
) -> dict[str, Any]:
    """Walk the flights; `crash` after so many pages, and again, while the walk goes on."""
    run_id = await asyncio.to_thread(fleet.begin_run, f"flights.{stream}")
    started, done = time.monotonic(), 0
    for kill in range(kills):
        reached = first_page + kill * pages_between
        row = await fleet.until(
            "SELECT * FROM run WHERE id = $1 AND (pages >= $2 OR state = ANY($3))",
            run_id,
            reached,
            list(FINAL),
            timeout_s=timeout_s,
        )
        if row["state"] in FINAL:
            break
        await crash()
        done += 1
    run = await fleet.final(run_id, timeout_s)
    told = {
        "kills": done,
        "state": run["state"],
        "error": run["error_message"],
        "took_s": round(time.monotonic() - started, 1),
        "longest_gap_s": await _longest_gap_s(fleet, run_id),
    }
    return told | await table_ledger(fleet.database_url, f"hw_default.{table_of(stream)}", flights)


async def walks_under_kills(
    fleet: Fleet,
    stream: str,
    flights: Flights,
    crash: Callable[[], Awaitable[object]],
    *,
    kills: int,
    **how: Any,
) -> dict[str, Any]:
    """Walks until all kills are done, each into an empty table; gives the last ledger, which may be an unsound one."""
    total: dict[str, Any] = {}
    done = 0
    while done < kills:
        if total:
            await fleet.fetch(f"TRUNCATE hw_default.{table_of(stream)}")
        ledger = await walk_under_kills(fleet, stream, flights, crash, kills=kills - done, **how)
        done += ledger["kills"]
        total = ledger | {"kills": done, "walks": total.get("walks", 0) + 1}
        if ledger["state"] != "succeeded" or not is_sound(ledger) or not ledger["kills"]:
            break
    return total


async def _longest_gap_s(fleet: Fleet, run_id: str) -> float:
    """The longest time between two settled pages of a run."""
    rows = await fleet.fetch(
        "SELECT max(gap) AS gap FROM (SELECT settled_at - lag(settled_at) OVER (ORDER BY settled_at) AS gap"
        " FROM page WHERE run_id = $1) AS gaps",
        run_id,
    )
    return round(rows[0]["gap"].total_seconds(), 1) if rows[0]["gap"] is not None else 0.0


async def table_ledger(database_url: str, table: str, flights: Flights) -> dict[str, Any]:
    """How a table compares with the source: rows lost, doubled, and never there; and the sum over all columns."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(f"SELECT id FROM {table}")
    finally:
        await connection.close()
    ids = [row["id"] for row in rows]
    source = flights.ids()
    return {
        "attempted": len(source),
        "stored": len(ids),
        "lost": len(source - set(ids)),
        "duplicated": len(ids) - len(set(ids)),
        "unexpected": len(set(ids) - source),
        "is_exact": await sum_of_table(database_url, flights.columns, table) == flights.truth,
    }


async def webhooks_under_kills(
    fleet: Fleet,
    secret: str,
    name: str,
    crash: Callable[[], Awaitable[object]],
    *,
    kills: int = 1,
    workers: int = 4,
    timeout_s: float = PATIENCE_S,
    books: Books | None = None,
) -> tuple[Books, dict[str, Any]]:
    """A steady load of webhooks; `crash` (which also mends) in the midst of it, and again; then all must be there."""
    books = books or Books()
    sender = Sender(f"{fleet.address('receiver')}/in/default/{ENDPOINT}", secret, name)
    async with load(sender, books, workers):
        await _accepted(books, ENOUGH, timeout_s)
        for _ in range(kills):
            await crash()
            await _accepted(books, len(books.acknowledged) + ENOUGH, timeout_s)
    await until_stored(books, fleet.database_url, ENDPOINT, name, timeout_s)
    answers = {str(status): count for status, count in sorted(books.answers.items())}
    rows = await rows_ledger(fleet.database_url, books, name)
    return books, {"kills": kills, "answers": answers} | books.ledger() | rows


async def rows_ledger(database_url: str, books: Books, name: str) -> dict[str, int]:
    """The destination table of the load: one row for each delivery."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT id FROM hw_default.loaded WHERE by = $1", name)
    finally:
        await connection.close()
    ids = [f"{name}-{row['id']}" for row in rows]
    return {
        "rows": len(ids),
        "rows_lost": len(books.acknowledged - set(ids)),
        "rows_duplicated": len(ids) - len(set(ids)),
    }


async def _accepted(books: Books, count: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while len(books.acknowledged) < count:
        assert time.monotonic() < deadline, f"no {count} accepted: {books.ledger()} {books.answers}"
        await asyncio.sleep(0.02)


def is_sound(ledger: dict[str, Any]) -> bool:
    """Nothing lost, nothing doubled, nothing from nowhere."""
    faults = ("lost", "duplicated", "unexpected", "altered", "rows_lost", "rows_duplicated")
    return not any(ledger.get(name) for name in faults) and ledger.get("is_exact", True)
