"""`headwater up` and `headwater run`: services in this process until a signal ends them."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from headwater import __version__
from headwater.cli.faults import run_and_report
from headwater.cli.main import SERVICES
from headwater.settings import misspelt, read_settings
from headwater.telemetry.logs import set_up_logs

logger = logging.getLogger("headwater.app")


def say(text: str = "") -> None:
    """A line for people, at once."""
    print(text, flush=True)


def serve(chosen: argparse.Namespace) -> int:
    """Run what was chosen; gives the exit code."""
    say(f"headwater {__version__}")
    names = _names(chosen)
    if not names:
        print("headwater: nothing is left to run; drop a --without", file=sys.stderr)
        return 2
    return run_and_report(_serve(chosen, names))


def _names(chosen: argparse.Namespace) -> tuple[str, ...]:
    if chosen.command == "run":
        return tuple(dict.fromkeys(chosen.services))
    return tuple(name for name in SERVICES if name not in chosen.without)


async def _serve(chosen: argparse.Namespace, names: Sequence[str]) -> int:
    ending = asyncio.Event()
    _end_on_signals(ending)
    settings = read_settings()
    set_up_logs(settings.log_level, settings.log_format)
    for told in misspelt():
        logger.warning("%s", told)
    from headwater.app.descriptors import allow_connections  # noqa: PLC0415 - as below
    from headwater.app.run import Announcer, run_services  # noqa: PLC0415 - heavy: after what may be refused at once

    allow_connections()
    is_up = chosen.command == "up"
    async with AsyncExitStack() as stack:
        demo = None
        if is_up and chosen.demo:
            from headwater.app.demo import Demo  # noqa: PLC0415 - only where it is asked for

            demo = await stack.enter_async_context(Demo(say).prepared())
        return await run_services(
            settings,
            names,
            ending,
            Announcer(say),
            rabbitmq=is_up and chosen.rabbitmq,
            may_migrate=is_up,
            story=demo,
            once=not is_up and chosen.once,
        )


def _end_on_signals(ending: asyncio.Event) -> None:
    """The first signal ends in order, the second at once."""

    def on_signal() -> None:
        if ending.is_set():
            os._exit(130)
        say("\nheadwater: ending; finishing what is in hand (once more to end at once)")
        ending.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
