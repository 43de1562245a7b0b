"""Turns: pages that come together are read one in each round of the event loop."""

import asyncio

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


async def test_each_turn_is_in_a_round_of_its_own_and_in_the_order_of_asking() -> None:
    turns, rounds = Turns(), Rounds()
    taken: list[tuple[int, int]] = []

    async def read(number: int) -> None:
        await turns.take()
        taken.append((number, rounds.now))

    await asyncio.gather(*map(read, range(20)))
    rounds.stop()

    assert [number for number, _ in taken] == list(range(20))
    assert len({at for _, at in taken}) == 20


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
