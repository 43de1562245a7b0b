"""Seeds of the simulation by hand.

python -m tests.simulation --seed 17            one seed, with what went wrong and its trace where something did
python -m tests.simulation --seeds 0:500        many
python -m tests.simulation --seed 17 --twice    whether the seed runs the same way twice
python -m tests.simulation --seeds 0:60 --mutant no_settled_check
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.support.simulation import Report
from tests.support.simulation_mutants import MUTANTS
from tests.support.simulation_runner import own_database, own_server, run_seeds, simulation, tell


def _range(text: str) -> range:
    return range(*(int(part) for part in text.split(":")))


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Seeds of the simulation."
    )
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--seeds", type=_range, default=range(20), help="FROM:TO[:STEP]")
    parser.add_argument("--url", help="a migrated database to take over (default: a server of its own)")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with this fault put into the code")
    parser.add_argument("--trace", action="store_true", help="print every turn of the seed")
    parser.add_argument("--twice", action="store_true", help="run each seed twice and compare")
    parser.add_argument("--reports", action="store_true", help="print reports as JSON, for another process")
    return parser.parse_args(given)


def _show(report: Report, *, trace: bool) -> None:
    if trace or report.faults:
        print("\n".join(report.lines if trace else report.lines[-60:]))
    found = report.findings
    print(
        f"seed {report.seed}: {report.turns} turns, {report.virtual_s:.0f} s of virtual time, {found.kills} kills, "
        f"{found.mishaps} mishaps, {report.lock_waits} waits for locks, digest {report.digest}"
    )
    for fault in report.faults:
        print(f"    {fault}")


def main(given: Sequence[str] | None = None) -> int:
    """Run what was chosen; 1 when a seed failed."""
    chosen = _arguments(given)
    seeds = range(chosen.seed, chosen.seed + 1) if chosen.seed is not None else chosen.seeds
    failed = 0
    with ExitStack() as stack:
        url = chosen.url or stack.enter_context(own_database(stack.enter_context(own_server()), "simulation"))
        if chosen.mutant is not None:
            stack.enter_context(MUTANTS[chosen.mutant].at_work())
        made = stack.enter_context(simulation(url))
        for report in run_seeds(made, (seed for seed in seeds for _ in range(2 if chosen.twice else 1))):
            failed += bool(report.faults)
            if chosen.reports:
                tell(report)
            else:
                _show(report, trace=chosen.trace)
            if chosen.mutant is not None and report.faults:
                break  # it is caught
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
