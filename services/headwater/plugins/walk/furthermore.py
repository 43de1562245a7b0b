"""Answers that say of further pages, to walks that know of none: nobody would notice that these are missing."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from headwater.model.links import target_of
from headwater.plugins.paginators import Answer
from headwater.plugins.paginators.base import count_of, truth_of
from headwater.plugins.paginators.following import is_no_pointer

WARNING_MORE = "more_pages"
_DEPTH = 3
_MOST = 50  # members of an object
_NEXT = re.compile(
    r"@?(?:odata\.|__)?next(?:_?(?:url|uri|link|href|cursor|token|page|page_?url|page_?token|records_?url))?"
    r"|(?:next)?_?continuation_?(?:token)?",
    re.IGNORECASE,
)
_MORE = re.compile(r"(?:has|is)_?(?:more|next|next_?page|truncated)|more", re.IGNORECASE)
_WITHIN = ("hasNextPage", "has_more", "hasMore")
_TOTAL = re.compile(r"total_?(?:count|results|records|size|items|elements|hits)?", re.IGNORECASE)


def more_pages(answer: Answer, *, has_envelope: bool) -> tuple[str, ...]:
    """A warning where `answer`, which is taken for all there is, names a next page or more records than it has.
    `has_envelope`: the records stand in something, so that the answer itself is not one.
    """
    said = _said(answer, has_envelope=has_envelope)
    if said is None:
        return ()
    mend = "set pagination (headwater preview suggests one)"
    return (f"{WARNING_MORE}: {said}, and without pagination only this page is read; {mend}",)


def more_within(records: Sequence[Any]) -> tuple[str, ...]:
    """A warning where lists within the records have further pages (GraphQL's connections, Stripe's lists)."""
    for record in records:
        for name, value in record.items() if isinstance(record, dict) else ():
            if not isinstance(value, dict):
                continue
            info = value["pageInfo"] if isinstance(value.get("pageInfo"), dict) else value
            if any(truth_of(info.get(sign)) is True for sign in _WITHIN):
                mend = "ask for more of it at once, or for all of it by a stream with a parent"
                return (f"{WARNING_MORE}: {name} of a record has further pages, which are not read; {mend}",)
    return ()


def _said(answer: Answer, *, has_envelope: bool) -> str | None:
    if target_of(answer.headers.get("link", ()), "next") is not None:
        return "the Link header names a next page"
    if not has_envelope or answer.received_count < 2:  # one record may well have fields of these names
        return None
    for path, value in _leaves(answer.document):
        is_next = _NEXT.fullmatch(path[-1]) is not None or (len(path) > 1 and path[-2].lower() == "next")
        if (
            is_next
            and isinstance(value, str | int)
            and not isinstance(value, bool)
            and not is_no_pointer(value)
        ):
            return f"{'.'.join(path)} names a next page"
        if _MORE.fullmatch(path[-1]) and truth_of(value) is True:
            return f"{'.'.join(path)} says that there is more"
        is_total = _TOTAL.fullmatch(path[-1]) is not None and not path[0].startswith("_")  # `_shards.total`
        if is_total and (count_of(value) or 0) > answer.received_count:
            return f"{'.'.join(path)} says that there are {count_of(value)} records"
    return None


def _leaves(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(document, dict) or len(path) >= _DEPTH:
        return
    for name, value in list(document.items())[:_MOST]:
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        elif not isinstance(value, list):
            yield (*path, name), value
