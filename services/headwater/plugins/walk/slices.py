"""A walk of a run for each slice of time, and the gaps that slices leave which did not come through.

What is known of gaps stands with the stream's cursor, which does not move over them: `{"windows": {"gaps": […],
"highest"}}`. The next run asks for the gaps, and then goes on from the highest cursor value that was seen behind them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headwater.contracts.source import StreamDefinition
from headwater.plugins.paginators.window import WindowPaginator
from headwater.plugins.walk.token import Token

MOST_SLICES = 10_000  # walks of one run; the last one takes all that is left
MOST_GAPS = 1000  # kept with a cursor; of more than that the last ones become one
WARNING_GAPS = "slices_missing"


@dataclass(frozen=True, slots=True)
class Gap:
    """What lies between two instants (ISO 8601) and did not come, and why. `token`: the page to go on at, good for
    `version` of the stream.
    """

    start: str
    end: str
    why: str
    token: Mapping[str, Any] | None = None
    version: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Gap":
        return cls(
            stored["from"], stored["to"], stored["why"], stored.get("token"), stored.get("stream_version")
        )

    def to_plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"from": self.start, "to": self.end, "why": self.why}
        return plain if self.token is None else plain | {"token": self.token, "stream_version": self.version}


@dataclass(frozen=True, slots=True)
class Slice:
    """A walk that is to be: its first token, and the instants that it is for."""

    token: dict[str, Any]
    start: str
    end: str

    @property
    def shown(self) -> dict[str, str]:
        return {"from": self.start, "to": self.end}


def gaps_of(resume: Mapping[str, Any] | None) -> tuple[tuple[Gap, ...], Any]:
    """The gaps that are kept with a cursor, and the highest cursor value that was seen behind them (None: none)."""
    resume = resume or {}
    token = resume.get("token")
    if token is not None and "until" not in token["place"]:  # a walk without slices
        return (), None
    if token is not None:  # one walk for all slices, which a limit ended
        place = token["place"]
        gap = Gap(place["from"], place["until"], "limit", token, resume.get("stream_version"))
        return (gap,), resume.get("highest")
    windows = resume.get("windows") or {}
    return tuple(Gap.of(each) for each in windows.get("gaps", ())), windows.get("highest")


def slices_at_once(definition: StreamDefinition) -> int:
    """How many slices of time are under way at once; 0 where a run of the stream is not walked in slices."""
    pagination = definition.stream.pagination
    return pagination.parallel if pagination.type == "window" and not definition.lineage else 0


def kept(gaps: Iterable[Gap], highest: Any) -> dict[str, Any]:
    """The gaps, neighbours as one, in the form in which they are kept with a cursor."""
    return {"windows": {"gaps": [gap.to_plain() for gap in joined_gaps(gaps)], "highest": highest}}


def joined_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """The gaps in order; those that touch and have no place of their own to go on at are one."""
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: moment(gap.start)):
        last = found[-1] if found else None
        is_joined = last is not None and last.token is None and gap.token is None
        if last is not None and is_joined and (last.end == gap.start or len(found) >= MOST_GAPS):
            found[-1] = replace(last, end=gap.end)
        else:
            found.append(gap)
    return found


def slices_of(
    paginator: WindowPaginator, first: Token, gaps: Sequence[Gap], version: str | None
) -> list[Slice]:
    """A walk for each slice: those of the gaps, then those of the walk that `first` begins where it is not in a gap."""
    begin, until = moment(first.place["from"]), moment(first.place["until"])
    begun = [gap for gap in gaps if gap.token is not None and gap.version == version]
    begin = max([begin, *(min(moment(gap.end), until) for gap in begun if moment(gap.end) > begin)])
    slices: list[Slice] = []
    for gap in gaps:
        if gap in begun:
            slices.append(_gone_on(first, gap))
        elif moment(gap.start) < begin:  # else it is asked for anyway
            place = paginator.between(moment(gap.start), min(moment(gap.end), begin))
            whole = first._replace(place=place, since=None, since_id=None, seen=())
            slices += _split(paginator, whole, MOST_SLICES - len(slices))
    if begin < until or not slices:
        whole = first._replace(place=paginator.between(begin, until))
        slices += _split(paginator, whole, max(1, MOST_SLICES - len(slices)))
    return slices


def _split(paginator: WindowPaginator, whole: Token, most: int) -> list[Slice]:
    return [
        Slice(whole._replace(place=place, is_slice=True).to_wire(), place["from"], place["until"])
        for place in paginator.split(whole.place, max(1, most))
    ]


def _gone_on(first: Token, gap: Gap) -> Slice:
    """The walk that goes on in the middle of a gap, with limits of its own."""
    assert gap.token is not None
    told = Token.from_wire(gap.token)
    token = told._replace(
        began_s=first.began_s,
        base_number=told.progress.number,
        base_received=told.progress.received,
        parent=first.parent,
        is_slice=True,
    )
    return Slice(token.to_wire(), gap.start, gap.end)


def moment(text: str) -> datetime:
    """The instant of a gap's or slice's bound."""
    return datetime.fromisoformat(text)
