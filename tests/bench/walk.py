"""Walking: the whole product (run row, messages over RabbitMQ, ledger, rows, closing) against a plain loop."""

import asyncio
import dataclasses
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, cast

from tests.bench.figures import Figure, ratio
from tests.bench.house import House, Program, apply, worker

from headwater.store import runs
from headwater.store.bell import WORK
from headwater.store.database import Database
from headwater.store.runs import NewRun

SIZE = 100  # records a page
SERVICES = ("timer", "fetcher", "persister")
MAX_S = 120.0
ONE_PAGE, SLICES = "one_page", "slices"


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: `goal` is what the ratio must reach: to a plain loop, or, with pages in flight at once, to what
    the latency allows for so many.
    """

    delay_ms: int
    pages: int
    rounds: int
    goal: str
    parallel: int = 1

    @property
    def name(self) -> str:
        return f"walk.{self.delay_ms}_ms" + (f".{self.parallel}_in_flight" if self.parallel > 1 else "")

    def stream(self, number: int) -> str:
        return f"{self.name.replace('.', '_')}_{number}"


class Stream(NamedTuple):
    """How a stream loads, what its pages take, how many there are, and how many are asked for at once."""

    mode: str
    delay_ms: int
    pages: int
    parallel: int = 1

    @property
    def pagination(self) -> str:
        if self.parallel == 1:
            return "{type: cursor, cursor_path: next}"
        return f"{{type: page, page_param: page, total: total, parallel: {self.parallel}}}"


def manifest(base: str, streams: Mapping[str, Stream]) -> str:
    """A source on the paged API; streams by name."""
    lines = ["version: 1", "sources:", "  - name: api", f"    base_url: {base}"]
    lines += ['    network: {allow: ["127.0.0.0/8"]}', "    streams:"]
    for name, stream in streams.items():
        lines += [
            f"      - name: {name}",
            f"        request: {{path: /records, params: {{delay_ms: {stream.delay_ms}}}}}",
            f"        pagination: {stream.pagination}",
            "        records: {path: items}",
            f"        limits: {{max_pages: {stream.pages}}}",
            f"        destination: {{table: {name}, mode: {stream.mode}, key: id}}",
        ]
    return "\n".join(lines) + "\n"


def empty_slices(past_the_end: int) -> str:
    """One more stream: 200 slices of time, one after the other, in none of which is anything."""
    return (
        f"      - name: {SLICES}\n"
        f"        request: {{path: /records, params: {{cursor: c{past_the_end}}}}}\n"
        "        pagination: {type: window, start: 2026-01-01T00:00:00Z, end: 2026-07-20T00:00:00Z, step_s: 86400,"
        " start_param: from, end_param: to}\n"
        "        records: {path: items}\n"
        f"        destination: {{table: {SLICES}, mode: append}}\n"
    )


async def start(database: Database, stream: str, source: str = "api") -> object:
    """Insert a run and ring; gives its id."""
    async with database.transaction() as connection:
        run_id = await runs.insert(
            connection, NewRun("default", source, stream, datetime.now(UTC), "api", key=stream, priority=0)
        )
    await database.execute("SELECT pg_notify($1, '')", WORK)
    return run_id


async def finished(database: Database, run_id: object) -> Mapping[str, object]:
    """The run, when it has ended."""
    async with asyncio.timeout(MAX_S):
        while True:
            row = await database.fetchrow(
                "SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id
            )
            if row is not None:
                return dict(row)
            await asyncio.sleep(0.05)


def lasted_s(run: Mapping[str, object]) -> float:
    """From the run's row to its final state, by the database's clock."""
    made, ended = cast("datetime", run["created_at"]), cast("datetime", run["finished_at"])
    return (ended - made).total_seconds()


async def product(
    house: House, database: Database, services: Mapping[str, Program], stream: str, records: int
) -> dict[str, float]:
    """Seconds of one walk from the run's row to its final state, and who spent how much processor time."""
    before = {name: one.cpu_s() for name, one in services.items()}
    before |= {"postgres": house.server_cpu_s(), "broker": house.broker_cpu_s()}
    run = await finished(database, await start(database, stream))
    after = {name: one.cpu_s() for name, one in services.items()}
    after |= {"postgres": house.server_cpu_s(), "broker": house.broker_cpu_s()}
    if run["inserted"] != records:
        raise RuntimeError(f"the walk of {stream} ended wrong: {run}")
    return {"seconds": lasted_s(run), **{f"{name}_cpu_s": after[name] - before[name] for name in after}}


async def measure(house: House, *, quick: bool) -> list[Figure]:
    cases = [
        Case(0, 1000, 3, ">= 0.4 x loop"),
        Case(50, 100, 2, ">= 0.95 x loop"),
        Case(50, 600, 2, ">= 0.85 x 16 / latency", 16),
    ]
    if quick:
        cases = [dataclasses.replace(case, pages=case.pages // 10, rounds=1) for case in cases]
    url = await house.database()
    records = max(case.pages for case in cases) * SIZE
    figures = []
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(house.program("paged_api", "--records", records))
        base = f"http://127.0.0.1:{api.port}"
        names = {
            case.stream(number): Stream("merge", case.delay_ms, case.pages, case.parallel)
            for case in cases
            for number in range(case.rounds)
        }
        streams = manifest(base, names | {ONE_PAGE: Stream("merge", 0, 1)})
        await apply(url, streams + empty_slices(records // SIZE))
        plain = await stack.enter_async_context(
            house.program("plain_loop", "--api", f"{base}/records", "--database", url)
        )
        services = {name: await stack.enter_async_context(house.service(url, name)) for name in SERVICES}
        database = await stack.enter_async_context(worker(url))
        for case in cases:
            figures += await _case(house, database, services, plain, case)
        figures.append(await _one_page(database, runs=3 if quick else 30))
        run = await finished(database, await start(database, SLICES))
        figures.append(Figure("walk.slice", "ms", [lasted_s(run) / cast("int", run["requests"]) * 1000]))
        figures += [
            Figure(f"walk.rss_{name}_after", "MiB", [program.rss_mib()]) for name, program in services.items()
        ]
    return figures


async def _one_page(database: Database, *, runs: int) -> Figure:
    """Milliseconds of a run of one page, from its row to its end, where no other work is at hand."""
    took = []
    for _ in range(runs):
        run = await finished(database, await start(database, ONE_PAGE))
        took.append(lasted_s(run) * 1000)
        await asyncio.sleep(0.3)  # the services fall quiet
    return Figure("walk.one_page", "ms", took)


async def _case(
    house: House, database: Database, services: Mapping[str, Program], plain: Program, case: Case
) -> list[Figure]:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for number in range(case.rounds):
        if case.parallel == 1:
            theirs.append(await plain.ask(f"{case.delay_ms} {case.pages}"))
        else:  # what the latency allows
            theirs.append({"seconds": case.pages / case.parallel * case.delay_ms / 1000})
        ours.append(await product(house, database, services, case.stream(number), case.pages * SIZE))
    name = case.name
    count = case.pages * SIZE
    product_rate = [count / one["seconds"] for one in ours]
    loop_rate = [count / one["seconds"] for one in theirs]
    spent = {key: [one[key] for one in ours] for key in ours[0] if key.endswith("_cpu_s")}
    return [
        ratio(name, product_rate, loop_rate, case.goal, cpu=spent),
        Figure(f"{name}.product", "records/s", product_rate),
        Figure(f"{name}.{'loop' if case.parallel == 1 else 'allowed'}", "records/s", loop_rate),
        *(
            Figure(f"{name}.cpu_{key.removesuffix('_cpu_s')}", "us/record", [s / count * 1e6 for s in values])
            for key, values in spent.items()
        ),
    ]
