"""All walks of a stream: its own, and those of the streams whose records it is asked for."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from headwater.contracts.manifest import StreamDefinition
from headwater.plugins.walk.parents import ParentFields, key_of
from headwater.plugins.walk.templates import expressions_of
from headwater.plugins.walk.walk import Walk


class Family:
    """The walks of a definition by level, the topmost parent's first. Raises: ConfigError."""

    def __init__(self, definition: StreamDefinition) -> None:
        self.definition = definition
        self.definitions = tuple(
            definition.model_copy(update={"stream": stream, "lineage": definition.lineage[:level]})
            for level, stream in enumerate((*definition.lineage, definition.stream))
        )
        walks: list[Walk] = []
        for level in reversed(range(len(self.definitions))):
            child = walks[-1] if walks else None
            gather = None if child is None else ParentFields(definition, level)
            walks.append(Walk(self.definitions[level], gather, child))
        self.walks = tuple(reversed(walks))

    @property
    def top(self) -> Walk:
        """The walk that a run begins with."""
        return self.walks[0]

    @property
    def leaf(self) -> int:
        """The level whose records are the stream's own."""
        return len(self.walks) - 1

    @cached_property
    def _requested(self) -> tuple[tuple[str, ...], ...]:
        return tuple(expressions_of(each.stream.request) for each in self.definitions)

    def key(self, level: int, values: Mapping[str, Any], above: bytes) -> bytes:
        """What tells the walk of `level` for `values` from others; `above`: the key of the walk that found these."""
        return key_of(level, self._requested[level], values, above)


def level_of(token: Mapping[str, Any]) -> int:
    """The level of the walk that a token belongs to."""
    return int(token.get("level") or 0)
