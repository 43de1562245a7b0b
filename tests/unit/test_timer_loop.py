"""The timer's loops: woken by a bell, and by none while our own means are away."""

import asyncio
from typing import cast

from headwater.model.errors import Unavailable
from headwater.timer.service import Timer

NOBODY = cast("Timer", None)  # a loop asks nothing of its timer


async def test_a_bell_wakes_a_loop_that_rests() -> None:
    stop, rung, rounds = asyncio.Event(), asyncio.Event(), 0

    async def step() -> float:
        nonlocal rounds
        rounds += 1
        rung.set()
        if rounds == 3:
            stop.set()
        return 60.0

    async with asyncio.timeout(5):
        await Timer._loop(NOBODY, stop, step, rung)

    assert rounds == 3


async def test_no_bell_wakes_a_loop_whose_means_are_away() -> None:
    stop, rung, rounds = asyncio.Event(), asyncio.Event(), 0

    async def step() -> float:
        nonlocal rounds
        rounds += 1
        rung.set()
        if rounds == 2:
            stop.set()
        raise Unavailable("the broker is away")

    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        await Timer._loop(NOBODY, stop, step, rung)

    assert rounds == 2
    assert asyncio.get_running_loop().time() - began >= 0.2
