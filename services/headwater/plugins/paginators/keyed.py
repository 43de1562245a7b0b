"""Walks that go on from what they know: the key of the last record, or a GraphQL connection's end cursor."""

from typing import ClassVar

from headwater.contracts.pagination import KeysetPagination, RelayPagination
from headwater.model.run import StopReason
from headwater.plugins.expressions import compile_path
from headwater.plugins.paginators.base import (
    WARNING_CURSOR_ABSENT,
    WARNING_UNUSABLE,
    Answer,
    Asked,
    Begin,
    Facts,
    Next,
    Parameter,
    Place,
    Progress,
    after_status,
    ending,
    is_short,
    truth_of,
)
from headwater.plugins.paginators.counting import size_parameters
from headwater.plugins.paginators.following import fits, is_end, loop


class KeysetPaginator:
    """The next page begins after the key of the last record."""

    name: ClassVar = "keyset"
    Config: ClassVar = KeysetPagination

    def __init__(self, config: KeysetPagination) -> None:
        self._config = config
        self._key = compile_path(config.key_path)
        self.facts = Facts(config)

    def first(self, _: Begin, /) -> Place:
        return {"key": self._config.start}

    def asked(self, place: Place) -> Asked:
        sizes = size_parameters(self._config)
        if place["key"] is None:
            return Asked(sizes)
        return Asked(
            (*sizes, Parameter(self._config.place, self._config.key_param or "", place["key"], "key"))
        )

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        reason = ending(self.facts, answer, progress, knows_cursor=False)
        if reason is not None:
            return Next.stop(reason)
        if self._config.end_on_short_page and is_short(answer, progress):
            return Next.stop(StopReason.SHORT_PAGE)
        key = self._key(answer.last_record)
        # without a key there is no way on, although the API did not say that this is the end
        if is_end(key) or not fits(key, self._config.place):
            return Next.stop(StopReason.ERROR, WARNING_UNUSABLE)
        if key != place["key"]:
            return Next({"key": key})
        # an API that gives the record of the key again gives it alone at the end
        is_alone = answer.again_count == answer.received_count == 1 and self.facts.is_less_than_asked(
            progress
        )
        is_last = is_alone or is_short(answer, progress)
        return Next.stop(StopReason.SHORT_PAGE) if is_last else loop(answer, progress)

    def after_end(self, _: Place, reason: StopReason, progress: Progress, /) -> Next:
        return after_status(reason, progress)


class RelayPaginator:
    """GraphQL connections: `pageInfo {hasNextPage endCursor}`; the parameters are variables of the query."""

    name: ClassVar = "graphql_relay"
    Config: ClassVar = RelayPagination

    def __init__(self, config: RelayPagination) -> None:
        self._config = config
        self._has_next = compile_path(f"{config.page_info}.hasNextPage")
        self._end_cursor = compile_path(f"{config.page_info}.endCursor")
        self.facts = Facts(config)

    def first(self, _: Begin, /) -> Place:
        return {"cursor": None}

    def asked(self, place: Place) -> Asked:
        sizes = tuple(_variable(one.name, one.value, one.word) for one in size_parameters(self._config))
        if place["cursor"] is None:
            return Asked(sizes)
        return Asked((*sizes, _variable(self._config.cursor_param, place["cursor"], "cursor")))

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        has_next = truth_of(self._has_next(answer.document))
        if has_next is False:
            return Next.stop(StopReason.HAS_MORE_FALSE)
        cursor = self._end_cursor(answer.document)
        ended = is_end(cursor)
        reason = ending(self.facts, answer, progress, knows_cursor=True, cursor_ended=ended)
        if reason is not None:
            is_cut = ended and has_next  # there is more, and not how to get it
            return Next.stop(reason, *((WARNING_CURSOR_ABSENT,) if is_cut else ()))
        if not fits(cursor, "json"):
            return Next.stop(StopReason.ERROR, WARNING_UNUSABLE)
        return loop(answer, progress) if cursor == place["cursor"] else Next({"cursor": cursor})

    def after_end(self, _: Place, reason: StopReason, progress: Progress, /) -> Next:
        return after_status(reason, progress)


def _variable(name: str, value: object, word: str) -> Parameter:
    return Parameter("json", f"variables.{name}" if name else "", value, word)
