"""Time and order of the simulation: an event loop whose clock stands still while anything can be done, and turns.

Whoever wants to touch the world (a statement, a publish, a request to the API) asks for a turn. Turns are given
one at a time, in an order drawn from the seed, and only when nobody has anything left to do without one. So the
interleaving of all handlers follows from the seed, although the SQL is real. A statement that has to wait for a
lock keeps its turn open and lets the others go on; it ends where PostgreSQL lets it end.

Time passes when nobody asks for a turn: then it leaps to the next timer. A turn itself takes a moment of time.
"""

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

LOCK_LOOK_S = 0.002  # real: a statement that takes longer is asked whether it waits for a lock
MOMENTS_S = (0.0, 0.0, 0.001, 0.001, 0.002, 0.005, 0.02)  # virtual: how long a turn takes

TELL_S = 0.05  # the database's clock may be so far behind: each correction is a statement


class StuckError(AssertionError):
    """Nobody can go on, and no time will ever wake anybody."""


class _Selector(selectors.DefaultSelector):
    """Asks the turns what to do whenever the loop has nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: Turns | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        turns = self.turns
        if turns is None:  # setting up: time is real
            return super().select(timeout)
        if timeout is not None and timeout <= 0:
            return super().select(0) if turns.is_io_open else []
        return turns.idle(timeout, super().select)


class SimulationLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual while `turns` are set; before and after it is frozen."""

    def __init__(self) -> None:
        self.virtual_s = 0.0
        self._own_selector = _Selector()
        super().__init__(self._own_selector)

    def time(self) -> float:
        return self.virtual_s

    def begin(self, turns: "Turns") -> None:
        self._own_selector.turns = turns

    def end(self) -> None:
        self._own_selector.turns = None


@dataclass(slots=True, eq=False)
class Turn:
    """`act` is started when the turn is given; None: the turn itself is all that was asked for.

    `lane` is what only one turn at a time can use (a connection), by number.
    """

    label: str
    lane: int
    act: Callable[[], Awaitable[Any]] | None
    future: "asyncio.Future[Any]"
    task: "asyncio.Task[Any] | None" = None
    ends_transaction: bool = False

    @property
    def order(self) -> tuple[int, str]:
        return (self.lane, self.label)


@dataclass(slots=True)
class Turns:
    """Gives turns. `waits_for_lock` tells which of these lanes wait for a lock, and for which lanes they wait;
    `tell_time` sets the database's clock; `trace` hears what happens, in order.
    """

    loop: SimulationLoop
    random: random.Random
    waits_for_lock: Callable[[list[int]], Awaitable[dict[int, set[int]]]]
    tell_time: Callable[[float], Awaitable[None]]
    trace: Callable[[str], None] = lambda _: None
    given: int = 0
    _waiting: list[Turn] = field(default_factory=list)
    _busy_lanes: set[int] = field(default_factory=set)
    _current: Turn | None = None
    _blocked: list[Turn] = field(default_factory=list)
    _held_by: dict[int, set[int]] = field(default_factory=dict)
    _look: "asyncio.Task[Any] | None" = None
    _look_again: bool = False
    _told_s: float = -1.0
    lock_waits: int = 0
    deadlocks: int = 0

    @property
    def is_io_open(self) -> bool:
        return self._current is not None or self._look is not None or bool(self._blocked)

    async def take(
        self,
        label: str,
        lane: int = -1,
        act: Callable[[], Awaitable[Any]] | None = None,
        *,
        ends_transaction: bool = False,
    ) -> Any:
        """Wait for a turn and do `act` in it; gives its result or raises its error."""
        turn = Turn(label, lane, act, self.loop.create_future(), ends_transaction=ends_transaction)
        self._waiting.append(turn)
        return await turn.future

    def later(
        self, label: str, lane: int, act: Callable[[], Awaitable[Any]], done: Callable[[], None]
    ) -> None:
        """A turn that nobody waits for: the server cleaning up after a client that went away."""
        future = self.loop.create_future()
        future.add_done_callback(lambda ended: (ended.cancelled() or ended.exception(), done()))
        self._waiting.append(Turn(label, lane, act, future, ends_transaction=True))

    def idle(self, timeout: float | None, select: Callable[[float | None], list[Any]]) -> list[Any]:
        """Called when the loop has nothing to do for `timeout` seconds (None: for ever)."""
        if self._look is not None:
            return select(None)
        if self._current is not None:
            events = select(LOCK_LOOK_S)
            if not events and self._current is not None:
                self._start_look([self._current])
            return events
        if self._look_again and self._blocked:
            self._look_again = False
            self._start_look(list(self._blocked))
            return []
        ready = self._ready()
        if ready:
            self._give(ready[self.random.randrange(len(ready))] if len(ready) > 1 else ready[0])
        elif self._is_deadlock():
            self._look_again = True
            return select(None)  # PostgreSQL ends it, in its own time
        elif timeout is not None:
            self.loop.virtual_s += timeout
        else:
            raise StuckError("nothing can go on, and nothing waits for time")
        return []

    def _is_deadlock(self) -> bool:
        """Whether some of those that wait for locks wait for nobody else than one another."""
        lanes = {turn.lane for turn in self._blocked}
        while lanes:
            free = {lane for lane in lanes if self._held_by.get(lane, set()) - lanes}
            if not free:
                self.deadlocks += 1
                self.trace(f"deadlock of {sorted(lanes)}")
                return True
            lanes -= free
        return False

    def _ready(self) -> list[Turn]:
        if not self._waiting:
            return []
        self._waiting = [turn for turn in self._waiting if not turn.future.done()]
        ready = [turn for turn in self._waiting if turn.lane < 0 or turn.lane not in self._busy_lanes]
        ready.sort(key=lambda turn: turn.order)
        return ready

    def _give(self, turn: Turn) -> None:
        self.given += 1
        self._waiting.remove(turn)
        self.loop.virtual_s += self.random.choice(MOMENTS_S)
        self.trace(turn.label)
        if turn.act is None:
            turn.future.set_result(None)
            return
        self._busy_lanes.add(turn.lane)
        self._current = turn
        turn.task = self.loop.create_task(self._act(turn.act))
        turn.task.add_done_callback(lambda _: self._acted(turn))

    async def _act(self, act: Callable[[], Awaitable[Any]]) -> Any:
        if abs(self.loop.virtual_s - self._told_s) >= TELL_S:
            self._told_s = self.loop.virtual_s
            await self.tell_time(self.loop.virtual_s)
        return await act()

    def _acted(self, turn: Turn) -> None:
        """The statement came back. One that waited for a lock is heard when its lock is known to be free."""
        if turn is self._current:
            self._current = None
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        assert turn.task is not None
        self._busy_lanes.discard(turn.lane)
        if turn.ends_transaction:
            self._look_again = True
        error = turn.task.exception()  # also marks it as seen
        if turn.future.done():
            return
        if error is not None:
            turn.future.set_exception(error)
        else:
            turn.future.set_result(turn.task.result())

    def _start_look(self, turns: list[Turn]) -> None:
        self._look = self.loop.create_task(self._look_at(turns))

    async def _look_at(self, turns: list[Turn]) -> None:
        """Which of these still wait for a lock. The first that does not is the one that goes on."""
        try:
            waiting = await self.waits_for_lock([turn.lane for turn in turns])
        finally:
            self._look = None
        for turn in turns:
            if turn.lane in waiting:
                self._held_by[turn.lane] = waiting[turn.lane]
                if turn is self._current:
                    self._current = None
                    self._blocked.append(turn)
                    self.lock_waits += 1
                    self.trace(f"{turn.label} waits for a lock")
            elif turn in self._blocked:
                self._blocked.remove(turn)
                self._look_again = True
                assert turn.task is not None
                self._current = turn
                if turn.task.done():
                    self._acted(turn)
                return
