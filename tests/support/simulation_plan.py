"""From a seed to what happens in its simulation: the weather, the manners of the API, and who does what when."""

import random
from dataclasses import dataclass, field
from typing import Any

from tests.support.simulation_api import Manners
from tests.support.simulation_bus import Shape

STREAMS = {
    # stream: tenant, source, how it pages, mode
    "orders": ("default", "shop", "offset", "append"),
    "events": ("default", "shop", "cursor", "append"),
    "people": ("acme", "crm", "link", "merge"),
    "notes": ("acme", "crm", "page", "merge"),
    "visits": ("default", "shop", "url", "append"),
}
INCREMENTAL = frozenset({"events", "people"})
SCHEDULES = {"shop-often": "default", "crm-often": "acme"}
SCHEDULE_STREAMS = {"shop-often": ("orders", "events"), "crm-often": ("people", "notes")}
PROCESSES = ("timer-1", "timer-2", "fetcher-1", "fetcher-2", "persister-1", "persister-2", "receiver-1")


@dataclass(slots=True)
class Rates:
    """Shares of turns from 0 to 1: what happens to statements, publishes and requests."""

    lost: float = 0.0
    unknown_commit: float = 0.0
    locked: float = 0.0
    cut: float = 0.0
    killed: float = 0.0


@dataclass(slots=True)
class Deed:
    """One thing that somebody outside does. `at_s` is virtual."""

    at_s: float
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """Everything about one seed that is drawn beforehand."""

    seed: int
    rates: Rates
    manners: Manners
    shape: Shape
    bus: dict[str, float]
    bell_loss: float
    inline_bytes: int
    is_fresh: bool
    deeds: list[Deed]
    first_records: dict[str, int]
    has_bad: bool


def draw_plan(seed: int) -> Plan:
    """The plan of a seed. Some seeds have all kinds of trouble, some one kind, a few none."""
    draw = random.Random(f"plan {seed}")
    kinds = {kind for kind in ("bus", "database", "processes", "api", "changes") if draw.random() < 0.6}
    if draw.random() < 0.05:
        kinds = set()
    strong = draw.choice((0.5, 1.0, 1.0, 2.0))
    return Plan(
        seed=seed,
        rates=_rates(draw, kinds, strong),
        manners=_manners(draw, kinds, strong),
        shape=Shape(
            batch=draw.choice((1, 2, 8, 64)),
            linger_s=draw.choice((0.0, 0.02, 0.2)),
            concurrency=draw.choice((1, 2, 4)),
            full=0.03 * strong if "bus" in kinds and draw.random() < 0.4 else 0.0,
        ),
        bus=_bus(draw, strong) if "bus" in kinds else {},
        bell_loss=draw.choice((0.0, 0.2, 1.0)) if "processes" in kinds else 0.0,
        inline_bytes=draw.choice((1, 120, 1_000_000)),
        is_fresh=draw.random() < 0.1,
        deeds=_deeds(draw, kinds),
        first_records={name: draw.choice((0, 1, 5, 9)) for name in STREAMS},
        has_bad=draw.random() < 0.3,
    )


def _bus(draw: random.Random, strong: float) -> dict[str, float]:
    return {
        "lost": draw.choice((0.0, 0.03, 0.1)) * strong,
        "unknown": draw.choice((0.0, 0.03, 0.1)) * strong,
        "twice": draw.choice((0.0, 0.2, 0.5)),
        "late": draw.choice((0.0, 0.1, 0.4)),
        "longest_delay_s": draw.choice((0.05, 2.0, 40.0)),
        "reorder": draw.choice((0.0, 0.5, 1.0)),
        "drop_acknowledgement": draw.choice((0.0, 0.1, 0.3)),
    }


def _rates(draw: random.Random, kinds: set[str], strong: float) -> Rates:
    rates = Rates()
    if "database" in kinds:
        rates.lost = 0.006 * strong
        rates.unknown_commit = 0.05 * strong
        rates.locked = 0.006 * strong
    if "processes" in kinds:
        rates.cut = 0.008 * strong
        rates.killed = 0.004 * strong
    return rates


def _manners(draw: random.Random, kinds: set[str], strong: float) -> Manners:
    manners = Manners(loops=draw.random() < 0.3, slow=draw.choice((0.0, 0.3)))
    if "changes" in kinds:
        manners.varies_sizes = draw.random() < 0.5
        manners.varies_cursors = draw.random() < 0.3
    if "api" in kinds:
        manners.busy = draw.choice((0.0, 0.1, 0.2)) * strong
        manners.broken = draw.choice((0.0, 0.1)) * strong
        manners.refuses = draw.choice((0.0, 0.0, 0.03))
        manners.park = draw.choice((0.0, 0.0, 0.02))
    return manners


def _deeds(draw: random.Random, kinds: set[str]) -> list[Deed]:
    span = draw.choice((0.5, 5.0, 60.0))
    deeds = [_start(draw, number) for number in range(draw.choice((1, 1, 2)))]
    deeds += [
        Deed(0.0, "due", {"schedule": draw.choice(list(SCHEDULES))}) for _ in range(draw.choice((0, 0, 1)))
    ]
    deeds += [Deed(0.0, "webhook", _webhook(draw, number)) for number in range(draw.choice((0, 3, 8)))]
    deeds += [Deed(0.0, "poison", {"number": number}) for number in range(draw.choice((0, 0, 2)))]
    deeds += [Deed(0.0, "cancel", {}) for _ in range(draw.choice((0, 0, 1, 2)))]
    deeds += [
        Deed(0.0, "reset", {"stream": draw.choice(sorted(INCREMENTAL))})
        for _ in range(draw.choice((0, 0, 0, 1)))
    ]
    if "changes" in kinds:
        deeds += [
            Deed(0.0, draw.choice(("grow", "change", "bad")), {"stream": draw.choice(list(STREAMS))})
            for _ in range(draw.randint(1, 6))
        ]
    for deed in deeds:
        deed.at_s = draw.uniform(0.0, span)
    return sorted(deeds, key=lambda deed: deed.at_s)


def _start(draw: random.Random, number: int) -> Deed:
    mode = draw.choice(("auto", "auto", "auto", "full", "dry_run"))
    arguments = {
        "stream": draw.choice(list(STREAMS)),
        "mode": mode,
        "attempts_max": draw.choice((1, 2, 3)),
        "priority": draw.choice((0, 2)),
        "key": f"run {number}",
    }
    return Deed(0.0, "start", arguments)


def _webhook(draw: random.Random, number: int) -> dict[str, Any]:
    """A webhook; some have a provider's id, some of these an id that was used before, with any body."""
    kind = draw.choice(("good", "good", "good", "list", "mixed", "no json", "no object", "large"))
    return {
        "endpoint": draw.choice(("sales", "stock")),
        "provider_id": draw.choice((None, f"d{number}", f"d{draw.randint(0, 3)}")),
        "kind": kind,
        "number": number,
        "sku": draw.randint(1, 3),
    }
