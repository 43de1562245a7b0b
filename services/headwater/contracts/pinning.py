"""From a stream in a manifest to the definition that runs are pinned to, its parents included."""

from headwater.contracts.source import Source, Stream, StreamDefinition
from headwater.model.errors import ConfigError

MAX_LEVELS = 3  # parents above one another


class LineageError(ConfigError):
    """A stream whose parents cannot be: `mend` says what to do."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"parent.stream: {what}; {mend}")
        self.what = what
        self.mend = mend


def lineage_of(source: Source, stream: Stream) -> tuple[Stream, ...]:
    """The parents of `stream`, the topmost first. Raises: LineageError."""
    by_name = {each.name: each for each in source.streams}
    found: list[Stream] = []
    names = [stream.name]
    here = stream
    while here.parent is not None:
        name = here.parent.stream
        if name in names:
            raise LineageError(
                f"the streams {' -> '.join([*names[names.index(name) :], name])} are one another's parents",
                "one of them must come first, without a parent",
            )
        if name not in by_name:
            raise LineageError(f"source {source.name} has no stream {name[:80]!r}", _mend(source, name))
        if len(found) == MAX_LEVELS:
            raise LineageError(
                f"{stream.name} has more than {MAX_LEVELS} streams above it", "begin further down"
            )
        here = by_name[name]
        names.append(name)
        found.append(here)
    return tuple(reversed(found))


def _mend(source: Source, name: str) -> str:
    its_own, _, inner = name.partition(".")
    if inner and its_own == source.name:
        return f"write it without its source: {inner}"
    if inner:
        return "a parent is a stream of the same source"
    there = ", ".join(each.name for each in source.streams[:10])
    return f"a parent is a stream of the same source: {there}"


def pinned(tenant: str, source: Source, stream: Stream) -> StreamDefinition:
    """The definition of `stream` with the parts of its source. Raises: LineageError."""
    shared = source.model_dump(exclude={"name", "streams", "rate_limit", "max_running"}, by_alias=True)
    return StreamDefinition(
        tenant=tenant, source=source.name, stream=stream, lineage=lineage_of(source, stream), **shared
    )
