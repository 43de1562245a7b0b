"""Waiting for what is late: a clear line, back-off, and an end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from headwater.model.clock import Clock
from headwater.model.errors import HeadwaterError, Unavailable

logger = logging.getLogger("headwater.app")
T = TypeVar("T")
_FIRST_S = 0.5
_LONGEST_S = 5.0


class Unreachable(HeadwaterError):
    """Something the service needs did not come within its time."""


async def until_there(
    what: str, attempt: Callable[[], Awaitable[T]], *, timeout_s: float, clock: Clock, mend: str
) -> T:
    """What `attempt` gives, tried again while it raises Unavailable. Raises: Unreachable after `timeout_s`; with 0 it
    is tried once.
    """
    started = clock.monotonic()
    pause_s = _FIRST_S
    while True:
        try:
            return await attempt()
        except Unavailable as error:
            left_s = timeout_s - (clock.monotonic() - started)
            if left_s <= 0:
                within = f" within {timeout_s:g} s" if timeout_s else ""
                raise Unreachable(f"{what} did not answer{within} ({error}); {mend}") from error
            logger.warning("%s is not there yet (%s); trying for another %.0f s", what, error, left_s)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, _LONGEST_S)


@asynccontextmanager
async def unless(ending: asyncio.Event) -> AsyncIterator[Callable[[], object]]:
    """Cuts the body short, in order and without an error, when `ending` is set.

    The body calls what it is given as soon as it looks at `ending` itself.
    """
    task = asyncio.current_task()
    assert task is not None
    watch = asyncio.ensure_future(ending.wait())
    watch.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
    try:
        yield watch.cancel
    except asyncio.CancelledError:
        if watch.cancelled() or not watch.done() or task.uncancel():
            raise  # somebody else asked for it
    finally:
        watch.cancel()
