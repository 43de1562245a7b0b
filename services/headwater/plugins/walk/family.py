"""All walks of a stream: its own, and those of the streams whose records it is asked for."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from headwater.contracts.source import Stream, StreamDefinition
from headwater.plugins.walk.parents import ParentFields, key_of
from headwater.plugins.walk.templates import expressions_of, parameter_values, parameters_of
from headwater.plugins.walk.walk import Walk


class Family:
    """The walks of a definition by level, the topmost parent's first. Raises: ConfigError."""

    def __init__(self, definition: StreamDefinition) -> None:
        self.definition = definition
        self.definitions = tuple(
            definition.model_copy(
                update={"stream": _bounded(definition, level), "lineage": definition.lineage[:level]}
            )
            for level in range(len(definition.lineage) + 1)
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

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The run's parameters that its requests name, as `parameters.name`."""
        return tuple(
            dict.fromkeys(name for each in self.definitions for name in parameters_of(each.stream.request))
        )

    def values(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the first page's request is filled with, of a run with these parameters; None where it names none.

        Raises: ConfigError for a parameter that neither the run nor its stream has.
        """
        return parameter_values(self.parameters, given, self.definition.stream.parameters) or None

    def key(self, level: int, values: Mapping[str, Any], above: bytes) -> bytes:
        """What tells the walk of `level` for `values` from others; `above`: the key of the walk that found these."""
        return key_of(level, self._requested[level], values, above)


def _bounded(definition: StreamDefinition, level: int) -> Stream:
    """The stream of a level. A walk of parents ends where a run takes no more, where its pages can tell that."""
    parent = definition.stream.parent
    if parent is None or level == len(definition.lineage):
        return definition.stream
    stream = definition.lineage[level]
    if stream.records is not None and stream.records.filter is not None:
        return stream
    most = min(stream.limits.max_records, parent.max_parents)
    return stream.model_copy(update={"limits": stream.limits.model_copy(update={"max_records": most})})


def level_of(token: Mapping[str, Any]) -> int:
    """The level of the walk that a token belongs to."""
    return int(token.get("level") or 0)
