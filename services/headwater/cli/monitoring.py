"""`monitor`: what is wrong, on the screen; exit code 1 when something is."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

from headwater.cli.asking import Counter, open_counter
from headwater.cli.exits import Exit
from headwater.cli.printing import form_of, moment_text, print_json, print_table, print_yaml
from headwater.control.monitor import Monitor, show_monitor
from headwater.model.errors import ConfigError
from headwater.settings import Settings


async def monitor(chosen: argparse.Namespace, settings: Settings) -> int:
    """Look once, or again and again until it is ended."""
    if chosen.watch is not None and not 0.5 <= chosen.watch <= 86_400:
        raise ConfigError(f"--watch {chosen.watch:g}: give seconds from 0.5 to 86400")
    async with open_counter(chosen, settings, with_bus=True) as counter:
        code = await _look(chosen, counter)
        while chosen.watch is not None:
            await asyncio.sleep(chosen.watch)
            if sys.stdout.isatty() and form_of(chosen) == "table":
                sys.stdout.write("\x1b[H\x1b[2J")
            code = await _look(chosen, counter)
    return code


async def _look(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(Monitor, show_monitor)
    form = form_of(chosen)
    if form == "json":
        print_json(found)
    elif form == "yaml":
        print_yaml(found)
    else:
        _show(found)
    sys.stdout.flush()
    return Exit.OK if found["status"] == "ok" else Exit.FAILURE


def _show(found: dict[str, Any]) -> None:
    faults = [each for each in found["problems"] if each["severity"] == "error"]
    word = "nothing is wrong" if not faults else f"{len(faults)} things are wrong"
    print(
        f"{found['tenant']}: {word if len(faults) != 1 else 'one thing is wrong'} ({_at(found['checked_at'])})"
    )
    for each in found["problems"]:
        mark = "!" if each["severity"] == "error" else "-"
        since = f" since {_at(each['since'])}" if each["since"] else ""
        print(f"{mark} {each['kind']}  {each['subject']}{since}\n    {each['what']}\n    {each['next']}")
    counts = found["counts"]
    rows = [
        (kind, ", ".join(f"{count} {state}" for state, count in sorted(counts[kind].items())) or "none")
        for kind in ("runs", "schedules", "deliveries", "notifications")
    ]
    rows += [("dead letters", counts["dead_letters"]), ("outbox", counts["outbox"])]
    busy = {name: depth for name, depth in (found["queues"] or {}).items() if depth}
    rows.append(("queues", ", ".join(f"{name} {depth}" for name, depth in busy.items()) or "empty"))
    print()
    print_table(("", "of the last day"), rows, empty="")


def _at(moment: datetime) -> str:
    return f"{moment_text(moment.astimezone(UTC))} UTC"
