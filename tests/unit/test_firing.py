"""What a due schedule comes to, as far as it needs no database: ids, messages, and what schedules share."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headwater.bus.wire import to_message
from headwater.contracts.messages import RunDue
from headwater.contracts.schedules import Schedule
from headwater.model.ids import TimedIds, derive_id, following_text, time_of
from headwater.store.scheduled_runs import scheduled_run
from headwater.timer.announce import message_of
from headwater.timer.planning import fire, plan_of

DUE_AT = datetime(2026, 5, 1, 4, 30, tzinfo=UTC)
_PARTS = st.lists(st.text(max_size=300) | st.integers() | st.binary(max_size=20), max_size=6)


@given(_PARTS, _PARTS)
def test_an_id_is_the_same_however_it_is_put_together(first, rest):
    whole = derive_id(DUE_AT, *first, *rest)

    assert TimedIds(DUE_AT, *first).text(*rest) == str(whole)
    assert following_text(whole, *first) == str(derive_id(time_of(whole), *first))


def test_the_run_of_a_due_time_has_the_id_that_everybody_derives_for_it():
    ((start,),) = fire(_row("nightly", "30 4 * * *"), lambda: 0.0).starts

    schedule = Schedule.model_validate({"name": "nightly", "streams": ["shop.orders"], "cron": "30 4 * * *"})
    assert start.id == str(scheduled_run("acme", schedule, "shop.orders", DUE_AT).id)


def test_the_message_that_is_put_together_by_hand_is_the_one_of_the_contract():
    run_id, version = derive_id(DUE_AT, "run"), UUID(int=7)
    row = {"id": run_id, "attempt": 2, "tenant": 'ac"mé', "stream_version": version, "due_at": DUE_AT}

    due = RunDue(run_id=run_id, attempt=2, tenant='ac"mé', stream_version=version)
    assert message_of(row) == to_message(due, derive_id(DUE_AT, "run.due", run_id, 2), 'ac"mé')


def test_schedules_that_differ_in_their_names_alone_are_planned_once():
    shape = '{"cron": "0 4 * * *", "timezone": "UTC"}'

    assert plan_of(shape, "{}", "acme", "a") is plan_of(shape, "{}", "acme", "b")
    assert plan_of(shape, "{}", "acme", "a") is not plan_of(shape, "{}", "other", "a")


def test_schedules_whose_times_are_drawn_from_their_names_are_not():
    found = {fire(_row(f"s{n}", "H H * * *"), lambda: 0.0).advance.next_at for n in range(20)}

    assert len(found) > 10


def _row(name, cron):
    shape = f'{{"cron": "{cron}", "timezone": "UTC"}}'
    return {
        "tenant": "acme",
        "name": name,
        "streams": '["shop.orders"]',
        "shape": shape,
        "calendars": "{}",
        "next_at": DUE_AT,
        "fired_count": 0,
        "now": DUE_AT,
    }
