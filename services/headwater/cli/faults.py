"""Errors as people see them: one line that says what, and what to do; never a stack trace."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from headwater.app.patience import Unreachable
from headwater.cli.exits import Exit
from headwater.contracts.problem import ManifestError
from headwater.model.errors import ConfigError, HeadwaterError, Unavailable


class NotFound(HeadwaterError):
    """There is no such thing."""


class Conflict(HeadwaterError):
    """What is there does not allow it."""


def key_was_used() -> Conflict:
    return Conflict("--key: this key was used for another request: take a new one")


def exit_code_of(error: BaseException) -> Exit:
    if isinstance(error, Unreachable | Unavailable):
        return Exit.UNREACHABLE
    if isinstance(error, NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, Conflict):
        return Exit.CONFLICT
    return Exit.USAGE if isinstance(error, ConfigError) else Exit.FAILURE


def run_and_report(work: Coroutine[Any, Any, int]) -> int:
    """Run `work`; a fault of ours becomes one line and its exit code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except HeadwaterError as error:
        return report(error)
    except BaseExceptionGroup as group:
        first = _first_of_ours(group)
        if first is None:
            raise
        return report(first)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _first_of_ours(group: BaseExceptionGroup[BaseException]) -> HeadwaterError | None:
    """The fault, when a group holds nothing but faults of ours."""
    ours, others = group.split(HeadwaterError)
    if ours is None or others is not None:
        return None
    error: BaseException = ours
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, HeadwaterError) else None


def report(error: HeadwaterError) -> int:
    is_list = isinstance(error, ManifestError)  # each of its lines begins with file:line:column already
    print(error if is_list else f"headwater: {error}", file=sys.stderr)
    return exit_code_of(error)
