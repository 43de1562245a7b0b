"""DESIGN.md §2.13: whatever happens to messages, processes, commits and the API, every promise holds in the end."""

import pytest
from tests.support.simulation_mutants import MUTANTS
from tests.support.simulation_runner import run_in_processes

from headwater.app.embedded import EmbeddedPostgres

SEEDS = range(140)  # the long form has ten thousand
SHOWN = ("no_settled_check", "publish_before_commit")  # the long form has all of them
CAUGHT_WITHIN = range(40)


def test_every_promise_holds_under_140_seeds_of_trouble(postgres_server: EmbeddedPostgres) -> None:
    outcome = run_in_processes(postgres_server, SEEDS)

    assert len(outcome.reports) == len(SEEDS)
    assert not outcome.failed, outcome.told()
    assert outcome.total("deadlocks") == 0
    assert outcome.total("kills") > 100
    assert outcome.total("mishaps") > 500
    assert outcome.total("lock_waits") > 500


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_that_is_put_into_the_code_is_found(postgres_server: EmbeddedPostgres, name: str) -> None:
    assert name in MUTANTS

    outcome = run_in_processes(postgres_server, CAUGHT_WITHIN, mutant=name)

    assert outcome.failed
