"""What a handler's answer means for its messages. Pure: exceptions in, one of five verdicts out."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from headwater.model.errors import HeadwaterError, Later, Reject, Unavailable


class Kind(enum.Enum):
    DONE = "done"
    LATER = "later"  # again, no attempt spent
    REJECTED = "rejected"  # a dead letter
    FAILED = "failed"  # an attempt is spent
    UNAVAILABLE = "unavailable"  # our own means are away: keep and probe


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is for people; `delay_s` counts for LATER only; `error` is what a handler failed with, where its
    trace tells more than the reason does.
    """

    kind: Kind
    reason: str = ""
    delay_s: float = 0.0
    error: Exception | None = None


DONE = Verdict(Kind.DONE)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _judge_one(error: BaseException) -> Verdict:
    if isinstance(error, Unavailable):
        return Verdict(Kind.UNAVAILABLE, str(error) or type(error).__name__)
    if isinstance(error, Later):
        return Verdict(Kind.LATER, error.reason, max(error.delay_s, 0.0))
    if isinstance(error, Reject):
        return Verdict(Kind.REJECTED, error.reason)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Verdict(Kind.FAILED, text)


_PRECEDENCE = (Kind.UNAVAILABLE, Kind.FAILED, Kind.REJECTED, Kind.LATER)


def judge(error: Exception) -> Verdict:
    """The verdict on a handler that raised `error`.

    Of an exception group the strongest answer counts: Unavailable, then a failure, Reject, Later (the
    longest).
    """
    verdicts = [_judge_one(leaf) for leaf in _leaves(error)]
    verdicts.sort(key=lambda verdict: (_PRECEDENCE.index(verdict.kind), -verdict.delay_s))
    strongest = verdicts[0]
    if strongest.kind is Kind.FAILED and not all(isinstance(leaf, HeadwaterError) for leaf in _leaves(error)):
        return Verdict(Kind.FAILED, strongest.reason, error=error)
    return strongest
