"""A loop whose means are away tells it once a minute, and not at each of its looks."""

from tests.support.virtual_time import VirtualTime

from headwater.telemetry.repeats import AGAIN_S, MAX_KNOWN, Repeats


def test_a_text_is_due_at_first_and_once_a_minute_while_it_comes_again() -> None:
    clock = VirtualTime()
    repeats = Repeats(clock.monotonic)
    due_at = []

    for _ in range(150):
        if repeats.is_due("the database is not at hand"):
            due_at.append(clock.elapsed_s)
        clock.advance(1)

    assert due_at == [0, AGAIN_S, 2 * AGAIN_S]


def test_another_text_is_due_at_once_and_no_more_texts_are_kept_than_there_is_room_for() -> None:
    repeats = Repeats(lambda: 0.0)

    assert all(repeats.is_due(f"fault {number}") for number in range(MAX_KNOWN + 1))
    assert not repeats.is_due(f"fault {MAX_KNOWN}")
    assert repeats.is_due("fault 0")
