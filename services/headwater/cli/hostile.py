"""`hostile-api`: an API that misbehaves, for tests of whoever walks APIs."""

import argparse
import asyncio
import json
import signal
import sys

from headwater.app.hostile import CASES, HostileApi
from headwater.app.hostile.manifest import catalogue_of, manifest_of
from headwater.cli.exits import Exit
from headwater.cli.printing import print_json, print_table
from headwater.control.export import as_yaml
from headwater.model.errors import ConfigError

MAX_PORT = 65_535


async def hostile_api(chosen: argparse.Namespace) -> int:
    """List the catalogue, print its manifest, or serve it until a signal comes."""
    if not 0 <= chosen.port <= MAX_PORT:
        raise ConfigError(f"--port {chosen.port}: give a number from 0 (any that is free) to {MAX_PORT}")
    base = f"http://127.0.0.1:{chosen.port}"
    if chosen.list:
        _tell(base, as_json=chosen.json)
    elif chosen.manifest:
        told = manifest_of(base)
        sys.stdout.write(json.dumps(told, indent=2) + "\n" if chosen.json else as_yaml(told).decode())
    else:
        await _serve(chosen.port)
    return Exit.OK


def _tell(base: str, *, as_json: bool) -> None:
    catalogue = catalogue_of(base)
    if as_json:
        print_json(catalogue)
        return
    columns = ("state", "stop_reason", "error", "rows", "rejected", "warnings")
    rows = [[one["name"], *(one["outcome"][name] for name in columns)] for one in catalogue]
    print_table(("name", *columns), rows, empty="")


async def _serve(port: int) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    try:
        async with HostileApi({name: case.behaviour for name, case in CASES.items()}, port) as api:
            print(
                f"{len(CASES)} behaviours at {api.url()}/<name>/items; GET {api.url()}/ lists them",
                flush=True,
            )
            await ending.wait()
    except OSError as error:
        raise ConfigError(f"--port {port}: {error.strerror}; choose another one") from error
