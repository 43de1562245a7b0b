"""Receiving: webhooks through the real receiver, confirmed by a quorum queue, against a bare aiohttp handler."""

from tests.bench.figures import Figure, ratio
from tests.bench.house import House, Program, apply
from tests.bench.load import SECRET

CONNECTIONS = 64
MANIFEST = f"""
version: 1
endpoints:
  - {{name: hooks, scheme: github, secrets: ["{SECRET}"]}}
"""


async def measure(house: House, *, quick: bool) -> list[Figure]:
    database = await house.database()
    await apply(database, MANIFEST)
    figures = []
    async with house.program("bare_handler") as bare, house.service(database, "receiver") as receiver:
        for size, rounds, goal in ((1024, 3, ">= 0.50"), (16 * 1024, 2, ">= 0.30")):
            figures += await _of_size(house, bare, receiver, size, 1 if quick else rounds, goal, quick=quick)
        figures.append(Figure("receive.rss_after_load", "MiB", [receiver.rss_mib()]))
    return figures


async def _of_size(
    house: House, bare: Program, receiver: Program, size: int, rounds: int, goal: str, *, quick: bool
) -> list[Figure]:
    seconds = 1.0 if quick else 3.0
    found: dict[str, list[dict[str, float]]] = {"bare": [], "receiver": []}
    servers = (("bare", bare), ("receiver", receiver))
    async with (
        house.program("load", "--port", bare.port, "--bytes", size) as load_bare,
        house.program("load", "--port", receiver.port, "--bytes", size) as load_receiver,
    ):
        loads = {"bare": load_bare, "receiver": load_receiver}
        for name, _ in servers:
            await loads[name].ask(f"{CONNECTIONS} 0.5")
        for _ in range(rounds):
            for name, server in servers:
                house.purge()
                before = server.cpu_s()
                answer = await loads[name].ask(f"{CONNECTIONS} {seconds}")
                answer["cpu_us"] = (server.cpu_s() - before) / answer["count"] * 1e6
                found[name].append(answer)
    house.purge()

    def of(name: str, what: str) -> list[float]:
        return [answer[what] for answer in found[name]]

    kib = f"{size // 1024}_kib"
    return [
        ratio(f"receive.{kib}.requests", of("receiver", "per_s"), of("bare", "per_s"), f"{goal} x bare"),
        ratio(
            f"receive.{kib}.cpu_per_request",
            of("receiver", "cpu_us"),
            of("bare", "cpu_us"),
            "<= 1.5 x bare" if size == 1024 else "",
        ),
        Figure(f"receive.{kib}.receiver_per_s", "1/s", of("receiver", "per_s"), details=found),
        Figure(f"receive.{kib}.bare_per_s", "1/s", of("bare", "per_s")),
        Figure(f"receive.{kib}.receiver_cpu", "us/request", of("receiver", "cpu_us")),
        Figure(f"receive.{kib}.bare_cpu", "us/request", of("bare", "cpu_us")),
        Figure(f"receive.{kib}.receiver_p99", f"ms, {CONNECTIONS} at once", of("receiver", "p99_ms")),
    ]
