"""The states of a run and the one table of its transitions."""

from enum import StrEnum


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED}),
    # running -> queued is a retry: the same run, attempt + 1
    RunState.RUNNING: frozenset(
        {RunState.QUEUED, RunState.SUCCEEDED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED}
    ),
    RunState.SUCCEEDED: frozenset(),
    RunState.PARTIAL: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
    RunState.SKIPPED: frozenset(),
}
FINAL_STATES = tuple(state for state in RunState if state.is_final)


class StopReason(StrEnum):
    """Why a walk ended."""

    HAS_MORE_FALSE = "has_more_false"
    CURSOR_END = "cursor_end"
    TOTAL_REACHED = "total_reached"
    EMPTY_PAGE = "empty_page"
    SHORT_PAGE = "short_page"
    WATERMARK = "watermark"
    LIMIT = "limit"
    LOOP = "loop"
    STATUS_END = "status_end"
    NOT_FOUND = "not_found"  # a parent that is not there any more: its walk has nothing
    ERROR = "error"

    @property
    def is_complete(self) -> bool:
        """Whether a walk that ended so has seen everything there was."""
        return self not in {StopReason.LIMIT, StopReason.LOOP, StopReason.ERROR}

    @property
    def words(self) -> str:
        """The same for people."""
        return _WORDS[self]


_WORDS = {
    StopReason.HAS_MORE_FALSE: "the API said that there is no more",
    StopReason.CURSOR_END: "nothing leads to a further page",
    StopReason.TOTAL_REACHED: "as many came as the API said there are",
    StopReason.EMPTY_PAGE: "a page had no records",
    StopReason.SHORT_PAGE: "a page had fewer records than it may have",
    StopReason.WATERMARK: "what follows was read by earlier runs",
    StopReason.LIMIT: "a limit of the stream was reached",
    StopReason.LOOP: "a page or its token came a second time",
    StopReason.STATUS_END: "a status said that there is no further page",
    StopReason.NOT_FOUND: "the parent is not there any more",
    StopReason.ERROR: "an error",
}


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    API = "api"
    CLI = "cli"
    UI = "ui"
    AMQP = "amqp"
    WEBHOOK = "webhook"
    AFTER = "after"
