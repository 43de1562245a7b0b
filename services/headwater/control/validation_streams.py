"""Checks of how the parts of one stream go together: who sets a parameter, what fills a path, what a cursor can be."""

from collections.abc import Iterator
from datetime import UTC, datetime

from headwater.contracts.source import Stream
from headwater.control.finding import Finding, Path
from headwater.model.errors import ConfigError, SourceError
from headwater.plugins.paginators import Begin, paginator_for
from headwater.plugins.paginators.base import Parameter
from headwater.plugins.walk.cursor import CursorField
from headwater.plugins.walk.request import names_in_path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parts_that_clash(path: Path, stream: Stream) -> Iterator[Finding]:
    """What is wrong between the parts of a stream whose expressions are right."""
    try:
        paginator = paginator_for(stream.pagination)
        asked = paginator.asked(paginator.first(Begin(_EPOCH))).parameters
    except (ConfigError, SourceError):
        return  # told where the stream is looked at as a whole
    yield from _parameters(path, stream, asked)
    yield from _path(path, stream, asked)
    yield from _cursor(path, stream)


def _parameters(path: Path, stream: Stream, asked: tuple[Parameter, ...]) -> Iterator[Finding]:
    """A parameter that two parts of the stream set."""
    in_query = {one.name for one in asked if one.place == "query"}
    for name in stream.request.params:
        if name in in_query:
            mend = "leave it out here, or name the pagination's parameter otherwise"
            yield Finding((*path, "request", "params", name), f"pagination sets {name!r} on every page", mend)
    if stream.incremental is None or stream.incremental.param is None:
        return
    name = stream.incremental.param
    if name in in_query:
        yield Finding(
            (*path, "incremental", "param"), f"pagination sets {name!r} too", "name one of them otherwise"
        )
    elif name in stream.request.params:
        yield Finding(
            (*path, "request", "params", name),
            f"incremental sets {name!r} from the second run on",
            "leave it out here, and give its first value as incremental.start",
        )


def _path(path: Path, stream: Stream, asked: tuple[Parameter, ...]) -> Iterator[Finding]:
    filled = {one.name for one in asked if one.place == "path"}
    for name in sorted(names_in_path(stream.request.path) - filled):
        yield Finding(
            (*path, "request", "path"),
            f"nothing fills {{{name}}}",
            "write the value, or let the pagination fill it (`in: path`)",
        )


def _cursor(path: Path, stream: Stream) -> Iterator[Finding]:
    config = stream.incremental
    if config is None:
        return
    here = (*path, "incremental")
    if config.lookback_s and config.format == "integer":
        what = "a look-back in seconds means nothing for a cursor that is a number"
        yield Finding((*here, "lookback_s"), what, "use format epoch_s or epoch_ms, or leave it out")
    if config.start is None or config.param is None:
        return
    try:
        CursorField(config).parameters(config.start)
    except (SourceError, ValueError):
        yield Finding(
            (*here, "start"),
            f"{str(config.start)[:60]!r} cannot be written in the format {config.format}",
            "write an instant such as 2024-01-01T00:00:00Z, or a number for format integer",
        )
    except ConfigError:
        return
