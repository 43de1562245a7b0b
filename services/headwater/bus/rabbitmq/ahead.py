"""How far the broker runs ahead of a consumer: a bound in bytes, where the protocol knows a count only.

A consumer takes as many messages at once as may be of the largest size. While bodies are light and these do not
suffice, a second one beside it takes the rest of what was asked for. When bodies get heavy it is cancelled, and what it
brought beyond the bound is given back.
"""

from headwater.bus.port import MAX_BODY_BYTES

_SHARE = 1 / 16  # of the newest body in the mean
NARROW_S = 1.0  # before it is tried again with more
KEPT_FROM = 2  # who was given back so often is kept, so that nothing is handed out to the broker's limit


class Ahead:
    """Of `most` messages `few` are always taken, the `rest` only while bodies are light."""

    def __init__(self, most: int, held_bytes: int) -> None:
        self._most = most
        self._held_bytes = held_bytes
        self._mean = float(MAX_BODY_BYTES)
        self.few = min(most, max(1, held_bytes // MAX_BODY_BYTES))
        self.rest = most - self.few

    def note(self, size: int) -> None:
        """A body of `size` bytes has come."""
        self._mean += (size - self._mean) * _SHARE

    @property
    def is_light(self) -> bool:
        """Whether as many as were asked for may be in hand, if the next ones are like the last."""
        return self._mean * self._most <= self._held_bytes
