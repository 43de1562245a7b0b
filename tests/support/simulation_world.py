"""One seed of the simulation at work: all services over one bus and one database, and what happens from outside."""

import asyncio
import contextlib
import hashlib
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

from tests.support.simulation_api import Api, client_for
from tests.support.simulation_bus import Weather
from tests.support.simulation_content import POISON, START, add_bad, receipt_for, shelves_for
from tests.support.simulation_database import Lanes
from tests.support.simulation_plan import PROCESSES, SCHEDULE_STREAMS, SCHEDULES, STREAMS, Plan
from tests.support.simulation_process import Findings, Process, Sent
from tests.support.simulation_time import SimulationLoop, Turns

from headwater.bus.chaos import SeededChaos
from headwater.bus.envelope import REASON_HEADER
from headwater.bus.memory import MemoryBus
from headwater.bus.port import Message
from headwater.bus.topology import DEAD_QUEUE
from headwater.contracts.webhook import Receipt
from headwater.fetcher.service import Fetcher
from headwater.model.run import RunState
from headwater.model.secret import Secret
from headwater.persister.service import Persister
from headwater.receiver.safekeeping import Kept, Safekeeping
from headwater.store import cursors, runs
from headwater.store.keyring import Keyring
from headwater.store.runs import NewRun, Outcome
from headwater.telemetry.metrics import Metrics
from headwater.timer.service import Timer

CALM_AFTER_S = 90.0  # trouble ends so long after the last deed at the latest
PATIENCE_S = 2400.0  # virtual: by then everything has come to its end
TRACE_LINES = 600


class SimulatedClock:
    """The virtual time as the services read it."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.virtual_s)

    def monotonic(self) -> float:
        return self._loop.virtual_s


class SimulatedBell:
    """Wakes the timers, unless the seed loses the ring."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def ring(self) -> None:
        """Each timer hears it, or does not."""
        world = self._world
        for event in world.rung:
            if world.calm or world.draw.random() >= max(world.plan.bell_loss, 0.4):
                event.set()


class Ground(Protocol):
    """What a world stands on: the loop, the real connections, and what all seeds share (see `Simulation`)."""

    loop: SimulationLoop
    metrics: Metrics
    keyring: Keyring
    connections: list[Any]
    client_of: Callable[[object], Any]

    async def waits_for_lock(self, lanes: list[int]) -> dict[int, set[int]]: ...

    async def tell_time(self, virtual_s: float) -> None: ...

    async def fetch(self, query: str, *values: Any) -> list[dict[str, Any]]: ...

    async def rows_of(self, table: str) -> list[dict[str, Any]]: ...


class World:
    """One seed at work."""

    def __init__(self, simulation: Ground, plan: Plan) -> None:
        self.simulation = simulation
        self.plan = plan
        self.loop = simulation.loop
        self.lines: deque[str] = deque(maxlen=TRACE_LINES)
        self.digest = hashlib.blake2b(digest_size=8)
        self.draw = random.Random(f"world {plan.seed}")
        self.calm = False
        self.rung: list[asyncio.Event] = []  # by what there is to relay
        self.changed: list[asyncio.Event] = []  # by changes of the configuration
        self.findings = Findings()
        self.poison: set[str] = set()
        self.turns = Turns(
            self.loop,
            random.Random(f"turns {plan.seed}"),
            simulation.waits_for_lock,
            simulation.tell_time,
            self.trace,
        )
        self.lanes = Lanes(simulation.connections, self.turns)
        self.clock = SimulatedClock(self.loop)
        self.weather = Weather(
            SeededChaos(random.Random(f"bus {plan.seed}"), **{**_FAIR, **plan.bus}), self._taken
        )
        self.memory = MemoryBus(chaos=self.weather, now=self.clock.now)
        self.api = Api(random.Random(f"api {plan.seed}"), plan.manners, shelves_for(plan))
        self.bell = SimulatedBell(self)
        works = {"timer": (self._timer, 3), "fetcher": (self._fetcher, 4), "persister": (self._persister, 4),
                 "receiver": (self._receiver, 3)}  # fmt: skip
        self.processes = [Process(self, name, *works[name.partition("-")[0]]) for name in PROCESSES]
        self.outside = Process(self, "outside", self._timer, 4)
        self.inbox: asyncio.Queue[tuple[dict[str, Any], asyncio.Future[Sent]]] = asyncio.Queue()
        self._last_receipt = START

    def _taken(self, message: Message) -> None:
        """The bus stores a message: a body that it names must be gone in the end, and poison must die."""
        if message.id in self.poison:
            self.findings.poison.add(message.id)
        if message.type == "batch.ready" and message.id not in self.poison:
            named = json.loads(message.body)["payload_id"]
        else:
            named = message.headers.get("payload-id")
        if named:
            self.findings.named_payloads[named] = self.clock.now()

    def trace(self, line: str) -> None:
        text = f"{self.loop.virtual_s:9.3f} {line}"
        self.lines.append(text)
        self.digest.update(text.encode())

    # The services, each as production runs it; what leads out of the process is the simulation's.

    async def _timer(self, process: Process) -> None:
        timer = Timer(process.database, Secret.of(""), process.bus, self.bell, self.simulation.metrics)  # type: ignore[arg-type]
        work, changed = asyncio.Event(), asyncio.Event()
        self.rung.append(work)
        self.changed.append(changed)
        stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(timer._loop(stop, timer._fire, changed))
                group.create_task(timer._loop(stop, timer._relay_round, work))
                group.create_task(timer._relay.announcer.run(stop))
                group.create_task(timer._loop(stop, timer._reap, asyncio.Event()))
        finally:
            self.rung.remove(work)
            self.changed.remove(changed)

    async def _fetcher(self, process: Process) -> None:
        fetcher = Fetcher(
            process.database,
            process.bus,
            self.simulation.keyring,
            self.bell,
            self.clock,
            self.simulation.metrics,  # type: ignore[arg-type]
        )
        self.simulation.client_of = client_for(self.api, self.turns, process)
        await fetcher.run(asyncio.Event())

    async def _persister(self, process: Process) -> None:
        await Persister(process.database, process.bus, self.bell, self.simulation.metrics).run(
            asyncio.Event()
        )  # type: ignore[arg-type]

    async def _receiver(self, process: Process) -> None:
        keeper = Safekeeping(process.bus, process.database, self.bell, self.clock)  # type: ignore[arg-type]
        try:
            async with keeper.running():
                while True:
                    request, answer = await self.inbox.get()
                    task = self.loop.create_task(self._receive(keeper, request, answer))
                    process.extra.add(task)
                    task.add_done_callback(process.extra.discard)
        finally:
            keeper.offers.abandon()

    async def _receive(
        self, keeper: Safekeeping, request: dict[str, Any], answer: "asyncio.Future[Sent]"
    ) -> None:
        receipt = self._receipt(request)
        sent = Sent(receipt, False, request["kind"])
        self.findings.sent.append(sent)
        try:
            sent.is_kept = await keeper.keep(receipt) is not Kept.NOWHERE
        finally:
            if not answer.done():
                answer.set_result(sent)

    def _receipt(self, request: dict[str, Any]) -> Receipt:
        self._last_receipt = max(self.clock.now(), self._last_receipt + timedelta(milliseconds=1))
        return receipt_for(request, self._last_receipt)

    # What happens from outside.

    async def deeds(self) -> None:
        began = self.loop.virtual_s
        async with asyncio.TaskGroup() as group:
            for deed in self.plan.deeds:
                await asyncio.sleep(max(0.0, began + deed.at_s - self.loop.virtual_s))
                self.trace(f"deed: {deed.kind} {deed.arguments}")
                group.create_task(getattr(self, f"_do_{deed.kind}")(**deed.arguments))

    async def _do_start(self, stream: str, mode: str, attempts_max: int, priority: int, key: str) -> NewRun:
        tenant, source, *_ = STREAMS[stream]
        run = NewRun(
            tenant,
            source,
            stream,
            self.clock.now(),
            "api",
            key=key,
            mode=mode,
            priority=priority,
            attempts_max=attempts_max,
        )
        self.findings.started[run.id] = run
        self.findings.touched.add(stream)
        for _ in range(self.draw.choice((1, 1, 2))):  # a client that did not hear the answer asks again
            async with self.outside.database.transaction() as connection:
                await runs.insert(connection, run)
        self.bell.ring()
        return run

    async def _do_due(self, schedule: str) -> None:
        boundary = self.clock.now() - timedelta(seconds=self.draw.choice((0, 1, 60)))
        boundary = boundary.replace(microsecond=0)  # boundaries are whole seconds
        row = await self.outside.database.fetchrow(
            "UPDATE schedule SET next_at = $3, state = 'active', definition = definition || jsonb_build_object('once', $3)"
            " WHERE tenant = $1 AND name = $2 AND next_at IS NULL AND (last_due_at IS NULL OR last_due_at < $3) RETURNING name",
            SCHEDULES[schedule], schedule, boundary,
        )  # fmt: skip
        if row is not None:
            self.findings.boundaries.append((schedule, boundary))
            self.findings.touched.update(SCHEDULE_STREAMS[schedule])
        for event in self.changed:
            event.set()

    async def _do_cancel(self) -> None:
        rows = await self.outside.database.fetch(
            "SELECT id FROM run WHERE state IN ('queued', 'running') ORDER BY state DESC, id"
        )
        if rows:
            async with self.outside.database.transaction() as connection:
                await runs.finish(connection, self.draw.choice(rows)["id"], Outcome(RunState.CANCELLED))
            self.bell.ring()

    async def _do_reset(self, stream: str) -> None:
        tenant, source, *_ = STREAMS[stream]
        async with self.outside.database.connection() as connection:
            await cursors.reset(connection, tenant, source, stream)

    async def _do_grow(self, stream: str) -> None:
        self.api.shelves[stream].add(self.draw.randint(1, 5), "new")

    async def _do_change(self, stream: str) -> None:
        self.api.shelves[stream].change(self.draw, "changed")

    async def _do_bad(self, stream: str) -> None:
        add_bad(self.api.shelves[stream], self.draw)

    async def _do_webhook(self, **request: Any) -> None:
        """A sender that tries again, with the same id and body, until it hears 202."""
        for _ in range(20):
            answer: asyncio.Future[Sent] = self.loop.create_future()
            self.inbox.put_nowait((request, answer))
            try:
                async with asyncio.timeout(5.0):
                    sent = await answer
            except TimeoutError:
                continue
            if sent.is_kept:
                if self.draw.random() < 0.15:  # and some do not believe it
                    continue
                return
            await asyncio.sleep(self.draw.choice((0.1, 2.0)))

    async def _do_poison(self, number: int) -> None:
        """A message that nobody can read."""
        kind, body, headers = self.draw.choice(POISON)
        message = Message(kind, f"poison-{number}", body, headers)
        self.poison.add(message.id)
        with contextlib.suppress(Exception):
            await self.memory.publish(message)

    # The whole.

    async def live(self) -> None:
        """Everything from the first deed to the end of the last message."""
        async with self._announcements(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(process.live()) for process in self.processes]
            await self.deeds()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.draw.choice((0.0, 1.0, CALM_AFTER_S))):
                    await self._come_to_rest()
            self.trace("calm")
            self.calm = self.weather.calm = self.api.calm = True
            self.bell.ring()
            await self._come_to_rest()
            self.trace("last runs")
            await self._last_runs()
            await self._come_to_rest()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _last_runs(self) -> None:
        """One run more of each stream that was walked: what failed runs left must be gone, and nothing may be missing."""
        for stream in sorted(self.findings.touched):
            await self._do_start(stream, "auto", 3, 0, "last")

    async def _come_to_rest(self) -> None:
        """Returns when nothing is owed, queued, running or on its way. Fails when that takes too long."""
        end_s = self.loop.virtual_s + PATIENCE_S
        while True:
            assert self.loop.virtual_s < end_s, f"something waits for ever: {self._in_queues()}"
            depth = await self.memory.depth()
            busy = sum(count for name, count in depth.items() if name != DEAD_QUEUE)
            died = self.unexpected_dead_letters()
            assert not died, f"dead letters: {died}"
            if not busy and await self.outside.database.fetchval(_OWED) == 0:
                return
            await asyncio.sleep(1.0)

    def _in_queues(self) -> str:
        """What is in the queues, in whose hand, for people."""
        found = []
        for name, queue in self.memory._queues.items():
            if queue.stored_count and name != DEAD_QUEUE:
                ready = [message.id for message in queue._ready]
                held = [[delivery.message.id for delivery in consumer.held] for consumer in queue._consumers]
                found.append(f"{name}: ready {ready}, in hand {held}, {len(queue._waiting)} delayed")
        return "; ".join(found)

    @asynccontextmanager
    async def _announcements(self) -> AsyncIterator[None]:
        """Who hears `run.finished`: the notifier's place."""

        async def hear(messages: Any) -> None:
            for message in messages:
                body = json.loads(message.body)
                self.findings.announced.setdefault(body["run_id"], []).append((message.id, message.body))

        async with self.memory.consume("headwater.run.finished", hear, linger_s=0.0):
            yield

    def unexpected_dead_letters(self) -> list[str]:
        return [
            f"{letter.type} {letter.id}: {letter.headers.get(REASON_HEADER)}"
            for letter in self.dead_letters()
            if letter.id not in self.findings.poison
        ]

    def dead_letters(self) -> list[Message]:
        return list(self.memory._queues[DEAD_QUEUE]._ready)


_FAIR = {"lost": 0.0, "unknown": 0.0, "twice": 0.0, "late": 0.0, "longest_delay_s": 0.0, "reorder": 0.0,
         "drop_acknowledgement": 0.0}  # fmt: skip
_OWED = """SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM run WHERE state IN ('queued', 'running'))
                + (SELECT count(*) FROM stream_slot) + (SELECT count(*) FROM run_end)
                + (SELECT count(*) FROM schedule WHERE next_at IS NOT NULL)"""
