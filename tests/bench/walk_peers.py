"""Walks against other programs that do the same: dlt into the same database, airbyte-cdk to nowhere.

They are installed, in the versions that `walk_peers.txt` names, into an environment of their own under var/bench. All ask
the same API, and take turns. Their imports are done before the clock starts; so is the start of our services. airbyte-cdk is
measured as a command too, start and end included, since that is how each of its syncs runs. It has rounds of its own: what
dlt loads is vacuumed while whoever comes next is measured, and airbyte-cdk has no use for the database.
"""

import asyncio
import hashlib
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.bench.figures import Figure, ratio
from tests.bench.house import House, apply, worker
from tests.bench.walk import SERVICES, SIZE, Stream, manifest, product

AIRBYTE, DLT = "airbyte-cdk", "dlt"
ENVIRONMENT = Path("var/bench/walk_peers")
_RECORD = b'"type":"RECORD"'
REQUIREMENTS = Path(__file__).with_name("walk_peers.txt")


@dataclass(frozen=True, slots=True)
class Race:
    """Walks that take turns with those of `peer`. `ours` and `theirs` are pages; at a latency they ask for fewer, since
    they take long.
    """

    name: str
    peer: str
    delay_ms: int
    ours: int
    theirs: int
    rounds: int
    parallel: int


async def measure(house: House, *, quick: bool) -> list[Figure]:
    races = [
        Race("read", AIRBYTE, 0, 1000, 1000, 3, 16),
        Race("0_ms", DLT, 0, 1000, 1000, 3, 16),
        Race("50_ms", DLT, 50, 600, 60, 2, 64),
    ]
    if quick:
        races = [
            Race("read", AIRBYTE, 0, 100, 100, 1, 16),
            Race("0_ms", DLT, 0, 100, 100, 1, 16),
            Race("50_ms", DLT, 50, 100, 10, 1, 64),
        ]
    python = await _environment()
    url = await house.database()
    figures = []
    async with AsyncExitStack() as stack:
        services = {name: await stack.enter_async_context(house.service(url, name)) for name in SERVICES}
        database = await stack.enter_async_context(worker(url))
        for race in races:
            pages = max(race.ours, race.theirs)
            async with house.program("paged_api", "--records", pages * SIZE) as api:
                base = f"http://127.0.0.1:{api.port}"
                names = {
                    f"race_{race.name}_{number}": Stream("merge", race.delay_ms, race.ours, race.parallel)
                    for number in range(race.rounds)
                }
                await apply(url, manifest(base, names))
                folder = house.folder / f"peers_{race.name}"
                folder.mkdir()
                dlt = await stack.enter_async_context(
                    house.script(
                        python, "peer_dlt", "--api", base, "--database", _of_tcp(url), "--folder", folder
                    )
                )
                cdk = await stack.enter_async_context(
                    house.script(python, "peer_airbyte", "--api", base, "--folder", folder)
                )
                found: dict[str, list[float]] = {
                    "headwater": [],
                    "defaults": [],
                    "best": [],
                    "airbyte": [],
                    "airbyte_command": [],
                }
                for name in names:
                    for settings in ("defaults", "best") if race.peer == DLT else ():
                        told = await dlt.ask(f"{race.delay_ms} {race.theirs} {settings}")
                        assert told["records"] == race.theirs * SIZE, told
                        found[settings].append(told["records"] / told["seconds"])
                    if race.peer == AIRBYTE:
                        told = await cdk.ask("0")
                        found["airbyte"].append(told["records"] / told["seconds"])
                        seconds = await _command_s(python, base, folder, race.theirs * SIZE)
                        found["airbyte_command"].append(race.theirs * SIZE / seconds)
                    ours = await product(house, database, services, name, race.ours * SIZE)
                    found["headwater"].append(race.ours * SIZE / ours["seconds"])
                figures += _figures(race, found)
    return figures


def _figures(race: Race, found: dict[str, list[float]]) -> list[Figure]:
    name = f"peers.{race.name}"
    goals = (
        {"defaults": ">= 5 x dlt", "best": ">= 4 x dlt"} if not race.delay_ms else {"defaults": ">= 25 x dlt"}
    )
    figures = [
        ratio(f"{name}.to_dlt_{settings}", found["headwater"], found[settings], goals.get(settings, ""))
        for settings in ("defaults", "best")
        if found[settings]
    ]
    if found["airbyte"]:
        figures.append(ratio(f"{name}.to_airbyte", found["headwater"], found["airbyte"]))
        figures.append(
            ratio(f"{name}.to_airbyte_command", found["headwater"], found["airbyte_command"], ">= 3 x read")
        )
    return figures + [Figure(f"{name}.{who}", "records/s", rates) for who, rates in found.items() if rates]


async def _command_s(python: Path, base: str, folder: Path, records: int) -> float:
    """Seconds of airbyte-cdk's read as each sync starts it: a process that ends, its messages read from its output."""
    script = Path(__file__).with_name("peer_airbyte.py")
    command = [str(python), str(script), "--api", base, "--folder", str(folder), "--command"]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    count, tail = 0, b""
    while part := await process.stdout.read(2**18):
        read = tail + part
        count += read.count(_RECORD)
        tail = read[-len(_RECORD) + 1 :]
    seconds = time.perf_counter() - began
    if await process.wait() != 0 or count != records:
        raise RuntimeError(f"airbyte-cdk gave {count} records, status {process.returncode}")
    return seconds


async def _environment() -> Path:
    """The peers' Python; installed when the requirements changed."""
    python = ENVIRONMENT / "bin" / "python"
    mark, wanted = ENVIRONMENT / "installed", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text() == wanted:
        return python
    await _run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    await _run(str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS))
    mark.write_text(wanted)
    return python


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait() != 0:
        raise RuntimeError(f"failed: {' '.join(command)}")


def _of_tcp(url: str) -> str:
    """The address with a host and a password, which dlt wants; the folder of the socket stays in the query."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = parts.hostname or "localhost"
    port = parts.port or int(query.get("port", ["5432"])[0])
    socket = f"?host={query['host'][0]}" if "host" in query else ""
    return f"postgresql://{parts.username}:{parts.password or 'none'}@{host}:{port}{parts.path}{socket}"
