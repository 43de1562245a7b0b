"""Turns: pages that come together are read over several rounds of the event loop."""

import asyncio
from collections import Counter

from headwater.fetcher.turns import Turns


class Rounds:
    """Counts the rounds of the loop."""

    def __init__(self) -> None:
        self.now = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._next)

    def _next(self) -> None:
        self.now += 1
        self._handle = self._loop.call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


async def test_turns_are_spread_over_rounds_of_the_loop_in_the_order_of_asking() -> None:
    turns, rounds = Turns(), Rounds()
    taken: list[tuple[int, int]] = []

    async def read(number: int) -> None:
        await turns.take()
        taken.append((number, rounds.now))

    await asyncio.gather(*map(read, range(21)))
    rounds.stop()

    by_round = Counter(at for _, at in taken)
    assert [number for number, _ in taken] == list(range(21))
    assert list(by_round.values()) == [
        1,
        6,
        4,
        3,
        2,
        2,
        1,
        1,
        1,
    ]  # of 20 that wait 1 + 20 // 4, of 14 1 + 14 // 4, ...


async def test_a_turn_alone_comes_at_once() -> None:
    turns, rounds = Turns(), Rounds()
    for _ in range(3):
        before = rounds.now
        await turns.take()
        assert rounds.now == before
        await asyncio.sleep(0)
    rounds.stop()


async def test_who_was_cancelled_takes_no_turn_from_those_behind() -> None:
    turns = Turns()
    first, gone, *others = [asyncio.create_task(turns.take()) for _ in range(4)]
    await first
    gone.cancel()

    async with asyncio.timeout(5):
        await asyncio.gather(*others)

    assert gone.cancelled()
