"""What a bench gives: figures with all their samples, printed as a table and kept as JSON."""

import json
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path("var/bench")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing, a sample for each round. `goal` says what is to be reached, where there is a goal."""

    name: str
    unit: str
    samples: Sequence[float]
    goal: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def ratio(name: str, of: Sequence[float], to: Sequence[float], goal: str = "", **details: Any) -> Figure:
    """The ratio of two samples in each round: both were taken one after the other, under the same load."""
    return Figure(name, "ratio", [a / b for a, b in zip(of, to, strict=True)], goal, details)


def table(figures: Iterable[Figure]) -> str:
    rows = [("figure", "median", "unit", "lowest", "highest", "goal")]
    rows += [
        (f.name, _number(f.median), f.unit, _number(min(f.samples)), _number(max(f.samples)), f.goal)
        for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in {0, 2, 5} else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def keep(figures: Sequence[Figure], command: str, seconds: float) -> Path:
    """Write the figures beside those of other runs; gives the file."""
    now = datetime.now(UTC)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "command": command,
        "seconds": round(seconds, 1),
        "machine": {"python": platform.python_version(), "system": platform.platform(), "cores": _cores()},
        "figures": [{**asdict(figure), "median": figure.median} for figure in figures],
    }
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
