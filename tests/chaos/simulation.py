"""The long form of the simulation: many seeds, then every mutant, with a ledger.

    python -m tests.chaos.simulation [--seeds 10000] [--first 0] [--workers 2] [--without-mutants]

The ledger is `simulation.json`, in the folder that `make chaos` names, else it is only printed.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from tests.support.ledgers import keep
from tests.support.simulation_mutants import MUTANTS
from tests.support.simulation_runner import WORKERS, Outcome, own_server, run_in_processes

PORTION = 500  # seeds between two lines of progress
CAUGHT_WITHIN = 400  # seeds in which a mutant must be found


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.simulation", description="The long simulation."
    )
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes at once")
    parser.add_argument("--without-mutants", action="store_true", help="the seeds alone")
    return parser.parse_args(given)


def _seeds(server: Any, chosen: argparse.Namespace) -> list[Outcome]:
    outcomes = []
    end = chosen.first + chosen.seeds
    for start in range(chosen.first, end, PORTION):
        outcome = run_in_processes(server, range(start, min(start + PORTION, end)), workers=chosen.workers)
        outcomes.append(outcome)
        print(f"seeds {start} to {start + len(outcome.reports) - 1}: {len(outcome.failed)} failed, "
              f"{len(outcome.reports) / outcome.took_s:.1f} seeds/s", flush=True)  # fmt: skip
        if outcome.failed:
            print(outcome.told(), flush=True)
    return outcomes


def _mutants(server: Any, chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    found = {}
    for name, mutant in MUTANTS.items():
        outcome = run_in_processes(server, range(CAUGHT_WITHIN), workers=chosen.workers, mutant=name)
        first = min((report["seed"] for report in outcome.failed), default=None)
        why = next((report["faults"][0] for report in outcome.failed), None)
        found[name] = {"rule": mutant.rule, "caught_by_seed": first, "fault": why}
        print(f"mutant {name}: {'NOT FOUND' if first is None else f'found by seed {first}'}", flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the long form; 0 only when no seed failed and every mutant was found."""
    chosen = _arguments(argv)
    with own_server() as server:
        outcomes = _seeds(server, chosen)
        mutants = {} if chosen.without_mutants else _mutants(server, chosen)
    failed = [report for outcome in outcomes for report in outcome.failed]
    took_s = sum(outcome.took_s for outcome in outcomes)
    count = sum(len(outcome.reports) for outcome in outcomes)
    missed = [name for name, found in mutants.items() if found["caught_by_seed"] is None]
    keep(
        "simulation",
        {
            "seeds": count,
            "failed": [{"seed": report["seed"], "faults": report["faults"]} for report in failed],
            "seeds_per_s": round(count / took_s, 2) if took_s else None,
            **{
                name: sum(o.total(name) for o in outcomes)
                for name in ("turns", "kills", "mishaps", "lock_waits", "deadlocks")
            },
            "mutants": mutants,
            "unexpected": len(failed) + len(missed),
            "is_exact": not failed and not missed,
        },
    )
    print(
        f"{count} seeds in {took_s:.0f} s, {len(failed)} failed; {len(mutants)} mutants, {len(missed)} not found"
    )
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
