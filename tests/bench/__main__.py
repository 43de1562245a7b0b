"""`python -m tests.bench [--only NAME] [--quick]`: ratios against the bare libraries, measured in one run.

What is compared takes turns within a run, so that both meet the same machine; figures of different runs or
machines are not to be compared but by their ratios. Private servers on 127.0.0.1, durable settings.
"""

import argparse
import importlib
import shlex
import sys
import time

import uvloop
from tests.bench.figures import Figure, keep, table
from tests.bench.house import House

BENCHES = {
    "receive": "receiving webhooks, against a bare aiohttp handler",
    "queue_to_table": "from the queue to the table, against psql \\copy",
    "walk": "walking an API, against a plain loop",
    "walk_scale": "a million records, and a thousand streams at once",
    "walk_peers": "walking an API, against dlt and airbyte-cdk",
    "timers": "schedules, against APScheduler on PostgreSQL",
    "parts": "signatures and schedules alone",
}


async def run(names: list[str], *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    async with House() as house:
        for name in names:
            print(f"{name}: {BENCHES[name]} …", file=sys.stderr, flush=True)
            bench = importlib.import_module(f"tests.bench.{name}")
            figures += await bench.measure(house, quick=quick)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(BENCHES), help="may be given several times")
    parser.add_argument("--quick", action="store_true", help="small and short: to see that it works")
    chosen = parser.parse_args()
    began = time.monotonic()
    figures = uvloop.run(run(chosen.only or list(BENCHES), quick=chosen.quick))
    seconds = time.monotonic() - began
    print(table(figures))
    command = shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])
    print(f"\n{seconds:.0f} s; all samples: {keep(figures, command, seconds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
