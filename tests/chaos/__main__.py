"""`make chaos`: every long form of the fault tests, with a ledger.

    python -m tests.chaos [--only kills|simulation] [--seeds 10000] [--kills 20] [-k EXPRESSION]

The ledgers stand as JSON in `var/chaos/<time>/`; the summary is printed at the end. The exit code is 0 only when
everything held.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.ledgers import FOLDER, kept

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (
    "kills",
    "attempted",
    "acknowledged",
    "stored",
    "lost",
    "duplicated",
    "unexpected",
    "is_exact",
    "longest_gap_s",
)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="The long forms of the fault tests."
    )
    parser.add_argument("--only", choices=("kills", "simulation"), help="one half alone")
    parser.add_argument("--seeds", type=int, default=10_000, help="interleavings of the simulation (10000)")
    parser.add_argument("--kills", type=int, default=20, help="kills of each part (20)")
    parser.add_argument("-k", dest="expression", help="long tests whose names match, as in pytest")
    return parser.parse_args(given)


def _tests(folder: Path, chosen: argparse.Namespace) -> int:
    """The long tests, in a pytest of their own."""
    command = [sys.executable, "-m", "pytest", "-m", "long", "-v", "tests"]
    if chosen.expression:
        command += ["-k", chosen.expression]
    environment = os.environ | {FOLDER: str(folder), "HEADWATER_CHAOS_KILLS": str(chosen.kills)}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _simulation(folder: Path, chosen: argparse.Namespace) -> int:
    """The simulation of many seeds, in a process of its own."""
    command = [sys.executable, "-m", "tests.chaos.simulation", "--seeds", str(chosen.seeds)]
    started = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env=os.environ | {FOLDER: str(folder)}, check=False).returncode
    took = {"seeds": chosen.seeds, "exit_code": code, "took_s": round(time.monotonic() - started, 1)}
    (folder / "simulation-run.json").write_text(json.dumps(took, indent=2) + "\n", encoding="utf-8")
    return code


def _shown(value: Any) -> str:
    return "-" if value is None else "yes" if value is True else "NO" if value is False else str(value)


def _print_summary(ledgers: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [["", *COLUMNS]]
    rows += [[name, *(_shown(ledger.get(column)) for column in COLUMNS)] for name, ledger in ledgers.items()]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def main(given: Sequence[str] | None = None) -> int:
    """Run what was chosen; gives the exit code."""
    chosen = _arguments(given)
    folder = ROOT / "var" / "chaos" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True)
    halves = {"kills": _tests, "simulation": _simulation}
    codes = {name: work(folder, chosen) for name, work in halves.items() if chosen.only in (None, name)}
    print(f"\nledgers in {folder.relative_to(ROOT)}:")
    _print_summary(dict(kept(folder)))
    for name, code in codes.items():
        print(f"{name}: {'all held' if code == 0 else f'FAILED (exit code {code})'}")
    return max(codes.values(), key=abs)


if __name__ == "__main__":
    sys.exit(main())
