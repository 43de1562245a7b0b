"""No test takes for ever: one that hangs fails, with the place at which it stood, and the others go on."""

import signal
from collections.abc import Generator
from types import FrameType

import pytest

LONGEST_S = 400.0  # several times what the longest one takes


def _too_long(_: int, frame: FrameType | None) -> None:
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"
    raise TimeoutError(f"this test takes longer than {LONGEST_S:.0f} s; it stood at {where}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if item.get_closest_marker("long") is not None:
        return (yield)
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S, LONGEST_S)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
