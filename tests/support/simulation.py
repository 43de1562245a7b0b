"""The simulation of DESIGN.md §2.13: all rooms over the memory bus and real SQL, under trouble drawn from a seed.

`Simulation.open()` prepares a database for many seeds; `run(seed, judge)` tells what is wrong at the end, if anything.
Time, order and trouble follow from the seed alone (see simulation_time.py), so that a seed can be looked at again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import asyncpg
from tests.support.simulation_content import START
from tests.support.simulation_manifest import CRM, EMPTY, SHOP, SQL, TABLES
from tests.support.simulation_plan import STREAMS, Plan, draw_plan
from tests.support.simulation_process import Findings
from tests.support.simulation_time import SimulationLoop, StuckError
from tests.support.simulation_world import World

from headwater.contracts.manifest_text import parse_manifest
from headwater.control.apply import apply_manifest
from headwater.fetcher import pages as fetcher_pages
from headwater.fetcher import service as fetcher_service
from headwater.model.secret import Secret
from headwater.plugins.destinations import Batch, Mode, PostgresDestination, Table
from headwater.receiver import safekeeping
from headwater.store.database import _set_up
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics
from headwater.timer import service as timer_service

LANES = 20
NET_S = 20.0  # the timer's look without a bell, in virtual seconds; each costs real statements
KEY = Secret.of("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


_SHAPES = {"people": (Mode.MERGE, ("id",)), "notes": (Mode.MERGE, ("id",)), "stock": (Mode.MERGE, ("sku",))}
_MARKED = {name for name, (_, _, _, mode) in STREAMS.items() if mode == "append"}
_SALE = {"sku": 1, "number": 1, "text": "x"}


@dataclass(slots=True)
class Report:
    """What became of one seed. `faults` is empty when every invariant holds."""

    seed: int
    faults: list[str]
    turns: int
    lock_waits: int
    deadlocks: int
    virtual_s: float
    digest: str
    lines: list[str]
    findings: Findings
    states: dict[str, int] = field(default_factory=dict)


class Simulation:
    """A database made ready for seeds, one after another."""

    def __init__(self, loop: SimulationLoop, url: str) -> None:
        self.loop = loop
        self._url = url
        self.metrics = Metrics()
        self.keyring = Keyring.of(KEY)
        self.connections: list[asyncpg.Connection] = []
        self.client_of: Callable[[object], Any] = lambda _: None
        self._has_tables = False
        self._pids: dict[int, int] = {}
        self._watch: asyncpg.Connection = None
        self._hand: asyncpg.Connection = None

    async def open(self) -> None:
        """Configure the database, and connect."""
        self._hand = await asyncpg.connect(self._url)
        await _set_up(self._hand)
        for manifest in (SHOP, CRM):
            parsed, _ = parse_manifest(manifest, "simulation.yml", {})
            async with self._hand.transaction():
                await self._hand.execute("SET LOCAL search_path = headwater, pg_temp")
                await apply_manifest(self._hand, self.keyring, parsed)
        await self._hand.execute(SQL)
        name = await self._hand.fetchval("SELECT quote_ident(current_database())")
        await self._hand.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '100ms'")
        self._watch = await asyncpg.connect(self._url)
        for _ in range(LANES):
            connection = await asyncpg.connect(self._url, server_settings=_SETTINGS)
            await _set_up(connection)
            self.connections.append(connection)
        self._pids = {one.get_server_pid(): lane for lane, one in enumerate(self.connections)}

    async def close(self) -> None:
        for connection in (*self.connections, self._watch, self._hand):
            await connection.close(timeout=5)

    async def empty(self, *, fresh: bool) -> None:
        """Nothing is left of the seed before. `fresh`: nor are the destination tables."""
        await self._hand.execute(EMPTY)
        if not fresh and self._has_tables:
            await self._hand.execute("; ".join(f"DELETE FROM {TABLES[name]}.{name}" for name in TABLES))
            return
        await self._hand.execute(
            "DROP SCHEMA IF EXISTS hw_default CASCADE; DROP SCHEMA IF EXISTS hw_acme CASCADE"
        )
        self._has_tables = not fresh
        if self._has_tables:
            await self._make_tables()

    async def _make_tables(self) -> None:
        """The tables as the first records of each stream and endpoint make them."""
        for name, schema in TABLES.items():
            mode, key = _SHAPES.get(name, (Mode.APPEND, ()))
            record = _SALE if name in {"sales", "stock"} else {"id": 1, "updated": 1, "note": "x"}
            record = {**record, "seen": 1} if name in _MARKED else record
            table = Table(schema, name, mode, key)
            async with self._hand.transaction():
                await self._hand.execute("SET LOCAL ROLE headwater_loader")
                await PostgresDestination().prepare(self._hand, table, [Batch([record], START)])

    async def rows_of(self, table: str) -> list[dict[str, Any]]:
        schema = TABLES[table]
        if not await self._hand.fetchval("SELECT to_regclass($1)::text", f"{schema}.{table}"):
            return []
        return [dict(row) for row in await self._hand.fetch(f'SELECT * FROM "{schema}"."{table}"')]

    async def fetch(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._hand.fetch(query, *values)]

    def _client(self, clock: object) -> Any:
        """What a fetcher has in place of an HTTP client: it leads to the API of the seed at work."""
        return self.client_of(clock)

    async def waits_for_lock(self, lanes: list[int]) -> dict[int, set[int]]:
        pids = [self.connections[lane].get_server_pid() for lane in lanes]
        rows = await self._watch.fetch(
            "SELECT pid, pg_blocking_pids(pid) AS by FROM unnest($1::int[]) AS p (pid)", pids
        )
        waits = {
            self._pids[row["pid"]]: {self._pids[pid] for pid in row["by"] if pid in self._pids}
            for row in rows
        }
        return {lane: by for lane, by in waits.items() if by}

    async def tell_time(self, virtual_s: float) -> None:
        micros = int((START.timestamp() + virtual_s) * 1_000_000)
        await self._hand.execute(f"SELECT setval('headwater.sim_clock', {micros})")

    def run(self, seed: int, judge: Callable[["World"], Awaitable[list[str]]]) -> Report:
        """One seed from beginning to end, on the simulation's own loop."""
        plan = draw_plan(seed)
        loop = self.loop
        loop.run_until_complete(self.empty(fresh=plan.is_fresh))
        loop.virtual_s = 0.0
        loop.run_until_complete(self.tell_time(0.0))
        world = World(self, plan)
        faults: list[str] = []
        with self._scaled(plan):
            loop.begin(world.turns)
            task = loop.create_task(world.live())
            try:
                loop.run_until_complete(task)
            except (StuckError, TimeoutError, AssertionError, BaseExceptionGroup) as error:
                faults.append(f"the end was not reached: {type(error).__name__}: {_leaves(error)}")
            finally:
                loop.end()
        if faults:
            faults += loop.run_until_complete(_state_of(self, world))
            loop.run_until_complete(self._abandon())
        else:
            faults += loop.run_until_complete(judge(world))
        return Report(
            seed,
            faults,
            world.turns.given,
            world.turns.lock_waits,
            world.turns.deadlocks,
            loop.virtual_s,
            world.digest.hexdigest(),
            list(world.lines),
            world.findings,
        )

    async def _abandon(self) -> None:
        """After a seed that did not end: all its tasks and connections go, new ones come."""
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for connection in self.connections:
            connection.terminate()
        for _ in range(5):
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        self.connections = []
        for _ in range(LANES):
            connection = await asyncpg.connect(self._url, server_settings=_SETTINGS)
            await _set_up(connection)
            self.connections.append(connection)
        self._pids = {one.get_server_pid(): lane for lane, one in enumerate(self.connections)}

    @contextlib.contextmanager
    def _scaled(self, plan: Plan) -> Iterator[None]:
        """What is measured in mebibytes or seconds in production, in the simulation's own measure."""
        with ExitStack() as stack:
            for module, name, value in (
                (timer_service, "NET_S", NET_S),
                (fetcher_pages, "MAX_INLINE_BYTES", plan.inline_bytes),
                (safekeeping, "MAX_MESSAGE_BODY_BYTES", 2000),
                (fetcher_service, "HttpClient", self._client),
            ):
                stack.enter_context(patch.object(module, name, value))
            yield


_SETTINGS = {
    "role": "headwater_worker",
    "search_path": "headwater, pg_catalog, pg_temp",  # our clock before the system's
    "timezone": "UTC",
    "jit": "off",
    "lock_timeout": "20000",
}


def _leaves(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_leaves(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"


async def _state_of(simulation: Simulation, world: World) -> list[str]:
    """What still waits, for people."""
    depth = {name: count for name, count in (await world.memory.depth()).items() if count}
    lines = [f"queues: {depth}"]
    for query in (
        "SELECT id, stream, state, attempt, mode, admitted_at, published_at, parked_until, progress_at, error_kind FROM headwater.run WHERE state IN ('queued', 'running')",
        "SELECT id, type, not_before FROM headwater.outbox",
        "SELECT * FROM headwater.stream_slot",
        "SELECT p.number, p.attempt, p.settled_at IS NOT NULL AS settled, p.run_id FROM headwater.page p JOIN headwater.run r ON r.id = p.run_id AND r.state = 'running' ORDER BY 4, 2, 1",
        "SELECT w.* FROM headwater.walk w JOIN headwater.run r ON r.id = w.run_id AND r.state = 'running'",
    ):
        lines += [f"  {row}" for row in await simulation.fetch(query)]
    lines += [f"  dead: {letter.type} {letter.id} {letter.headers}" for letter in world.dead_letters()]
    return lines
