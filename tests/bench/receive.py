"""Receiving: webhooks through the real receiver, confirmed by a quorum queue, against a bare aiohttp handler and peers.

All servers are up at the same time and take turns; what is measured of one round is compared within that round.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench import peers
from tests.bench.figures import Figure, ratio
from tests.bench.house import House, Program, apply
from tests.bench.load import SECRET, request_of

CONNECTIONS = 256  # a confirm waits for the disk, so that many must be under way
RATES = ((500, "<= 5"), (2000, "<= 12"), (5000, "<= 12"))
OPEN = 1000  # connections, for their memory
WARM_UP_S = 1.0
MANIFEST = f"""
version: 1
endpoints:
  - {{name: hooks, scheme: github, secrets: ["{SECRET}"]}}
"""
Found = dict[str, list[dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load, and the queue that it fills beside ours."""

    program: Program
    load: Program
    queue: str | None = None


async def measure(house: House, *, quick: bool) -> list[Figure]:
    database = await house.database()
    async with house.service(database, "receiver") as empty:
        figures = [Figure("receive.idle_rss", "MiB", [empty.rss_mib()], "<= 56")]
    await apply(database, MANIFEST)
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(house.service(database, "receiver"))
        figures += await _memory(receiver)
        programs = {
            "bare": await stack.enter_async_context(house.program("bare_handler")),
            "receiver": receiver,
        }
        for name, command in (await asyncio.to_thread(peers.commands)).items():
            programs[name] = await stack.enter_async_context(house.peer([*command, house.amqp_url, SECRET]))
        small = await _servers(house, stack, programs, 1024)
        large = await _servers(
            house, stack, {name: programs[name] for name in ("bare", "receiver")}, 16 * 1024
        )
        found = await _closed(house, small, 1 if quick else 4, 1.5 if quick else 4.0)
        figures += _of_small(found)
        found = await _closed(house, large, 1 if quick else 3, 1.5 if quick else 4.0)
        figures += _of_large(found)
        confirms = await stack.enter_async_context(house.program("confirms", "--amqp", house.amqp_url))
        paced = {name: small[name] for name in ("receiver", "bare")}
        paced["confirm"] = Server(confirms, confirms)
        disk = await stack.enter_async_context(house.program("disk", "--folder", house.folder))
        paced["disk"] = Server(disk, disk)
        for rate, goal in RATES:
            figures += await _open(house, paced, rate, goal, 1 if quick else 3, 2.0 if quick else 5.0)
        figures.append(Figure("receive.rss_after_load", "MiB", [receiver.rss_mib()]))
    return figures


async def _servers(
    house: House, stack: AsyncExitStack, programs: Mapping[str, Program], size: int
) -> dict[str, Server]:
    """The programs, each with a load generator of its own, warmed up."""
    servers = {}
    for name, program in programs.items():
        load = await stack.enter_async_context(house.program("load", "--port", program.port, "--bytes", size))
        await load.ask(f"{CONNECTIONS} {WARM_UP_S}")
        servers[name] = Server(program, load, program.told.get("queue"))
    return servers


async def _closed(house: House, servers: Mapping[str, Server], rounds: int, seconds: float) -> Found:
    found: Found = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            found[name].append(await _round(house, server, f"{CONNECTIONS} {seconds}"))
    return found


async def _round(house: House, server: Server, order: str) -> dict[str, float]:
    """What the load generator counts, and the processor time of each process by request."""
    house.purge(*([server.queue] if server.queue else []))
    parts = {"cpu": server.program.cpu_s, "broker_cpu": house.broker_cpu_s, "load_cpu": server.load.cpu_s}
    before = {part: read() for part, read in parts.items()}
    answer = await server.load.ask(order)
    return answer | {
        f"{part}_us": (read() - before[part]) / answer["count"] * 1e6 for part, read in parts.items()
    }


async def _open(
    house: House, servers: Mapping[str, Server], rate: int, goal: str, rounds: int, seconds: float
) -> list[Figure]:
    """The receiver at a rate, in turn with the bare handler, bare confirms and the bare disk: what of its time is the
    machine's own, the broker's and the disk's.
    """
    found: Found = {name: [] for name in servers}
    for _ in range(rounds):
        for name, samples in found.items():
            try:
                samples.append(await _round(house, servers[name], f"{CONNECTIONS} {seconds} {rate}"))
            except RuntimeError as error:  # the load generator gave up
                print(f"{name} at {rate}/s: {error}", file=sys.stderr)
                return []
    name = f"receive.open_{rate}"
    return [
        Figure(f"{name}.p99", "ms", _all(found["receiver"], "p99_ms"), goal, found),
        Figure(f"{name}.p50", "ms", _all(found["receiver"], "p50_ms")),
        Figure(f"{name}.per_s", "1/s", _all(found["receiver"], "per_s")),
        Figure(f"{name}.bare_p99", "ms", _all(found["bare"], "p99_ms")),
        Figure(f"{name}.confirm_p99", "ms", _all(found["confirm"], "p99_ms")),
        Figure(f"{name}.disk_p99", "ms", _all(found["disk"], "p99_ms")),
    ]


def _all(samples: Sequence[Mapping[str, float]], what: str) -> list[float]:
    return [sample[what] for sample in samples]


def _of_small(found: Found) -> list[Figure]:
    ours = found["receiver"]
    figures = _to_bare("receive.1_kib", found, ">= 0.50 x bare", "<= 1.5 x bare")
    for name in found.keys() - {"bare", "receiver"}:
        theirs = found[name]
        goal = f"{peers.WANTED[name]} x {name}"
        figures += [
            ratio(f"receive.to_{name}", _all(ours, "per_s"), _all(theirs, "per_s"), goal),
            ratio(f"receive.cpu_to_{name}", _all(theirs, "cpu_us"), _all(ours, "cpu_us")),
            Figure(f"receive.{name}_per_s", "1/s", _all(theirs, "per_s")),
            Figure(f"receive.{name}_cpu", "us/request", _all(theirs, "cpu_us")),
        ]
    return figures


def _of_large(found: Found) -> list[Figure]:
    return _to_bare("receive.16_kib", found, ">= 0.30 x bare", "")


def _to_bare(name: str, found: Found, requests: str, cpu: str) -> list[Figure]:
    ours, bare = found["receiver"], found["bare"]
    return [
        ratio(f"{name}.requests", _all(ours, "per_s"), _all(bare, "per_s"), requests),
        ratio(f"{name}.cpu_per_request", _all(ours, "cpu_us"), _all(bare, "cpu_us"), cpu),
        Figure(f"{name}.receiver_per_s", "1/s", _all(ours, "per_s"), details=found),
        Figure(f"{name}.bare_per_s", "1/s", _all(bare, "per_s")),
        Figure(f"{name}.receiver_cpu", "us/request", _all(ours, "cpu_us")),
        Figure(f"{name}.broker_cpu", "us/request", _all(ours, "broker_cpu_us")),
        Figure(f"{name}.load_cpu", "us/request", _all(ours, "load_cpu_us")),
        Figure(f"{name}.bare_cpu", "us/request", _all(bare, "cpu_us")),
        Figure(f"{name}.receiver_p99", f"ms, {CONNECTIONS} at once", _all(ours, "p99_ms")),
    ]


async def _memory(receiver: Program) -> list[Figure]:
    """Of the idle receiver with an endpoint in force, and of open connections that were used once each."""
    idle = receiver.rss_mib()
    held = []
    for number in range(OPEN):
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(request_of(number, 1024))
        await reader.readuntil(b"\r\n\r\n")
        held.append(writer)
    grown = receiver.rss_mib() - idle
    for writer in held:
        writer.close()
    return [
        Figure("receive.idle_rss_with_secrets", "MiB", [idle]),
        Figure("receive.rss_of_1000_connections", "MiB", [grown * 1000 / OPEN], "<= 10"),
    ]
