"""An endpoint's secrets at work: which of them count at a moment, and which one verified."""

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.model.secret import Secret
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.signatures.verify import Verifier, bind


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """A secret with its window in epoch seconds. `name` is None for one that is not in table `secret`."""

    name: str | None
    secret: Secret
    not_before_s: float | None = None
    not_after_s: float | None = None

    def counts_at(self, at_s: float) -> bool:
        return (self.not_before_s is None or at_s >= self.not_before_s) and (
            self.not_after_s is None or at_s < self.not_after_s
        )


@dataclass(frozen=True, slots=True)
class ActiveKeys:
    """The secrets of a moment. `indexes` are their places in the endpoint's list."""

    verifier: Verifier
    secrets: tuple[NamedSecret, ...]
    indexes: tuple[int, ...]

    @property
    def newest(self) -> Secret | None:
        """The one that began last; without beginnings the first of the list."""
        if not self.secrets:
            return None
        return max(self.secrets, key=lambda each: each.not_before_s or 0.0).secret


class Keys:
    """Keeps the active keys of now, until a window opens or closes."""

    def __init__(self, scheme: Scheme, secrets: Sequence[NamedSecret]) -> None:
        self._scheme = scheme
        self._secrets = tuple(secrets)
        self._active: ActiveKeys | None = None
        self._from_s = 0.0
        self._until_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def at(self, at_s: float) -> ActiveKeys:
        """The keys that count at `at_s`."""
        if self._active is None or not self._from_s <= at_s < self._until_s:
            self._active = self._made(at_s)
        return self._active

    def resting_at(self, at_s: float) -> ActiveKeys:
        """The others: those whose window is not open at `at_s`."""
        return self._bound([pair for pair in enumerate(self._secrets) if not pair[1].counts_at(at_s)])

    def _made(self, at_s: float) -> ActiveKeys:
        edges = [
            edge
            for each in self._secrets
            for edge in (each.not_before_s, each.not_after_s)
            if edge is not None
        ]
        self._from_s = max((edge for edge in edges if edge <= at_s), default=float("-inf"))
        self._until_s = min((edge for edge in edges if edge > at_s), default=float("inf"))
        return self._bound([pair for pair in enumerate(self._secrets) if pair[1].counts_at(at_s)])

    def _bound(self, chosen: Sequence[tuple[int, NamedSecret]]) -> ActiveKeys:
        return ActiveKeys(
            bind(self._scheme, [each.secret for _, each in chosen]),
            tuple(each for _, each in chosen),
            tuple(index for index, _ in chosen),
        )
