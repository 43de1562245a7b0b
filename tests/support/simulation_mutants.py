"""Faults to be put into the code while the simulation runs: a check that cannot fail proves nothing.

Each takes away one of the guards on which "nothing lost, nothing doubled" rests (DESIGN.md §2).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from headwater.persister import closing, residue
from headwater.store import completion, cursors, deliveries, ledger, outbox, runs
from headwater.timer.relay import Relay


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault. `rule` is the paragraph of DESIGN.md that it breaks."""

    rule: str
    at_work: Callable[[], AbstractContextManager[Any]]


def _query(module: Any, name: str, old: str, new: str) -> Callable[[], AbstractContextManager[Any]]:
    """A named query with a part replaced; the part must be there, so that a mutant cannot fade away."""

    def at_work() -> AbstractContextManager[Any]:
        text = module._Q[name]
        assert old in text, f"{name} does not hold {old!r} any more: mend the mutant"
        return patch.dict(module._Q, {name: text.replace(old, new)})

    return at_work


def _both(
    one: Callable[[], AbstractContextManager[Any]], other: Callable[[], AbstractContextManager[Any]]
) -> Callable[[], AbstractContextManager[Any]]:
    """A rule that two guards keep: without both."""

    @contextmanager
    def at_work() -> Iterator[None]:
        with one(), other():
            yield

    return at_work


def _attribute(target: Any, name: str, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    assert hasattr(target, name), name
    return lambda: patch.object(target, name, value)


async def _outbox_removed_first(self: Relay) -> bool:
    """The relay that forgets what it owes before the broker has it."""
    async with self._database.transaction() as connection:
        rows = await outbox.claim(connection, 200, 16 * 1024 * 1024)
        await outbox.remove(connection, [row.id for row in rows])
    for row in rows:
        await self._bus.publish(_message_of(row))
    return bool(rows)


def _message_of(row: Any) -> Any:
    from headwater.timer import relay

    return relay._message(row)


async def _finished_at_once(connection: Any, row: Any) -> None:
    """What follows from a commit, left out of it."""


async def _no_residue(connection: Any, destination: Any, table: Any, work: Any) -> None:
    """Rows of unfinished attempts stay."""


async def _no_break(connection: Any, run_id: Any, attempt: int) -> None:
    """Every chain of pages holds."""


@contextmanager
def _cursor_after_partial() -> Iterator[None]:
    with patch.object(closing.StopReason, "is_complete", property(lambda _: True)):
        yield


MUTANTS: dict[str, Mutant] = {
    "no_settled_check": Mutant(
        "§2.3 a settled page is not loaded again", _query(ledger, "lock", "p.is_settled OR ", "")
    ),
    "no_token_check": Mutant(
        "§2.4 pages form one chain", _query(ledger, "lock", "p.token_digest <> d.token_digest", "false")
    ),
    "no_chain_check": Mutant("§2.4 pages form one chain", _attribute(completion, "chain_break", _no_break)),
    "cancelled_runs_take_rows": Mutant(
        "§2.4 a run that is final takes no more rows",
        _query(completion, "advance_run", "AND attempt = $3 AND state = 'running'", "AND $3 > 0"),
    ),
    "final_states_change": Mutant(
        "§2.8 one final state", _query(runs, "finish", "AND state IN ('queued', 'running')", "")
    ),
    "publish_before_commit": Mutant(
        "§2.1 what follows from a commit is a row of it", _attribute(Relay, "_outbox", _outbox_removed_first)
    ),
    "finished_is_not_owed": Mutant(
        "§2.1 what follows from a commit is a row of it", _attribute(runs, "_announce", _finished_at_once)
    ),
    "residue_stays": Mutant(
        "§2.5 the first load removes what unfinished attempts left",
        _attribute(residue, "remove", _no_residue),
    ),
    "old_attempts_begin_pages": Mutant(
        "§2.2 what comes from an older attempt is dropped",
        _query(
            ledger, "begin", "WHERE state = 'running' AND attempt = run_attempt", "WHERE state = 'running'"
        ),
    ),
    "slot_is_kept": Mutant(
        "§2.8 every way to a final state frees the stream",
        _query(runs, "release_slot", "run_id = $4", "run_id <> $4"),
    ),
    "two_runs_of_a_stream": Mutant(
        "§2.8 one cursor-moving run per stream",
        _both(
            _query(runs, "waiting", "r.at_once IS NOT NULL OR (", "true OR ("),
            _query(runs, "admit", "c.is_beside OR c.id IN", "true OR c.id IN"),
        ),
    ),
    "cursor_without_compare": Mutant(
        "§2.8 the cursor moves by compare-and-set",
        _query(cursors, "move", "WHERE c.version = $6", ""),
    ),
    "deliveries_without_claims": Mutant(
        "§4 duplicates are marks on the first one",
        _query(
            deliveries,
            "claim",
            "ON CONFLICT (tenant, endpoint, key) DO NOTHING",
            "ON CONFLICT (tenant, endpoint, key) DO UPDATE SET receipt_id = excluded.receipt_id",
        ),
    ),
}
