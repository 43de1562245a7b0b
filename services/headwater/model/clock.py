"""Where time comes from. Everything that waits or dates takes a Clock, so that tests move it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """`now()` is aware UTC; `monotonic()` is seconds that never go back."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...
