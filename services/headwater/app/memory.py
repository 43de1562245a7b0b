"""Memory that was needed once goes back to the system: what imports leave behind, and what a large page left.

glibc keeps freed memory in its heap; without this an idle process shows the size of its busiest moment.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable

EVERY_S = 30.0
# Objects that are new between two looks for circles. Records come and go by the thousand: at Python's 700 the collector
# would look at each page several times while it is on its way.
YOUNG = 20_000


def _trimmer() -> Callable[[], object]:
    """Trim the heap by malloc_trim(3) of glibc; nothing where there is another C library."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda: None
    return lambda: trim(0)


async def give_back(ending: asyncio.Event) -> None:
    """After the start, and then every 30 s until `ending`, give unused memory back."""
    trim = _trimmer()
    gc.collect()
    gc.freeze()  # what lives now lives to the end: later collections need not look at it
    gc.set_threshold(YOUNG, 10, 10)
    while not ending.is_set():
        trim()
        try:
            async with asyncio.timeout(EVERY_S):
                await ending.wait()
        except TimeoutError:
            continue
