"""Running seeds: one after another in this process, or shared out over several."""

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from tests.support.places import new_folder
from tests.support.simulation import Report, Simulation
from tests.support.simulation_oracle import judge
from tests.support.simulation_time import SimulationLoop

from headwater.app.embedded import EmbeddedPostgres
from headwater.store.migrate import migrate

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
_PREFIX = "report "


@contextmanager
def own_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for this run alone."""
    folder = new_folder("simulation")
    server = EmbeddedPostgres(folder, durable=False)
    with asyncio.Runner() as runner:
        try:
            runner.run(server.start())
            yield server
        finally:
            runner.run(server.stop())
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_database(server: EmbeddedPostgres, name: str) -> Iterator[str]:
    """The URL of a migrated database of its own."""

    async def make() -> None:
        connection = await asyncpg.connect(server.url)
        await connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        await connection.close()
        await migrate(server.url_of(name))

    async def drop() -> None:
        connection = await asyncpg.connect(server.url)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(make())
        try:
            yield server.url_of(name)
        finally:
            runner.run(drop())


@contextmanager
def simulation(url: str) -> Iterator[Simulation]:
    """A simulation on the database at `url`, which it takes over. Services are quiet meanwhile: they log each fault."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    loop = SimulationLoop()
    asyncio.set_event_loop(loop)
    made = Simulation(loop, url)
    try:
        loop.run_until_complete(made.open())
        yield made
        loop.run_until_complete(made.close())
    finally:
        loop.close()
        asyncio.set_event_loop(None)
        logging.disable(before)


def run_seeds(made: Simulation, seeds: Iterable[int]) -> Iterator[Report]:
    """The reports of these seeds, as they come."""
    for seed in seeds:
        yield made.run(seed, judge)


def document_of(report: Report) -> dict[str, Any]:
    """What of a report goes through a pipe; the last lines of the trace only where something is wrong."""
    return {
        "seed": report.seed,
        "faults": report.faults,
        "turns": report.turns,
        "lock_waits": report.lock_waits,
        "deadlocks": report.deadlocks,
        "virtual_s": round(report.virtual_s),
        "kills": report.findings.kills,
        "mishaps": report.findings.mishaps,
        "digest": report.digest,
        "trace": report.lines[-40:] if report.faults else [],
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of many seeds."""

    reports: Sequence[Mapping[str, Any]]
    took_s: float

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        return [report for report in self.reports if report["faults"]]

    def total(self, name: str) -> int:
        return sum(report[name] for report in self.reports)

    def told(self) -> str:
        """The failed seeds with their faults and how to see them again."""
        lines = []
        for report in self.failed:
            lines.append(
                f"seed {report['seed']}; see it again: python -m tests.simulation --seed {report['seed']}"
            )
            lines += [f"    {fault}" for fault in report["faults"][:12]]
        return "\n".join(lines)


def run_in_processes(
    server: EmbeddedPostgres, seeds: range, *, workers: int = WORKERS, mutant: str | None = None
) -> Outcome:
    """The seeds shared out over processes, each with a database of its own. A mutant is run until one catches it."""
    started = time.monotonic()
    with ExitStack() as stack:
        children = []
        for number in range(workers):
            url = stack.enter_context(own_database(server, f"simulation_{os.getpid()}_{number}"))
            share = seeds[number::workers]
            command = [sys.executable, "-m", "tests.simulation", "--url", url, "--reports",
                       "--seeds", f"{share.start}:{share.stop}:{share.step}"]  # fmt: skip
            if mutant is not None:
                command += ["--mutant", mutant]
            children.append(stack.enter_context(_child(command)))
        texts = _texts(children, may_stop=mutant is not None)
    told = [_reports(text) for text in texts]
    codes = [child.returncode for child in children]
    found = [any(report["faults"] for report in reports) for reports in told]
    stopped = {-signal.SIGKILL} if mutant is not None and any(found) else set()
    if any(code not in {int(has), *stopped} for code, has in zip(codes, found, strict=True)):
        raise RuntimeError(f"a process of the simulation ended with {codes}:\n" + "\n".join(texts)[-4000:])
    reports = [report for each in told for report in each]
    return Outcome(sorted(reports, key=lambda report: report["seed"]), time.monotonic() - started)


def _texts(children: Sequence["subprocess.Popen[str]"], *, may_stop: bool) -> list[str]:
    """What they printed, once they have ended; `may_stop`: the rest are stopped when one has found a fault."""
    with ThreadPoolExecutor(len(children)) as pool:
        told = [pool.submit(child.communicate) for child in children]
        for _ in as_completed(told):
            if may_stop and any(child.returncode == 1 for child in children):
                for child in children:
                    child.kill()
        return [each.result()[0] for each in told]


def _reports(text: str) -> list[dict[str, Any]]:
    """What a process told of its seeds; one that was stopped may leave half a line."""
    whole = (line for line in text.splitlines(keepends=True) if line.endswith("\n"))
    return [json.loads(line.removeprefix(_PREFIX)) for line in whole if line.startswith(_PREFIX)]


@contextmanager
def _child(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def _environment() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "services"), os.environ.get("PYTHONPATH")]))
    }


def tell(report: Report) -> None:
    """Print a report for another process."""
    print(_PREFIX + json.dumps(document_of(report), default=str), flush=True)
