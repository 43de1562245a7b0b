"""What pages are made of: tables, moments, states, lists of facts, pieces of JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from headwater.control.ui.markup import NOTHING, Content, Markup, element, text
from headwater.control.ui.visit import Visit

SHOWN_CHARACTERS: Final = 64 * 1024  # of a piece of JSON or a body
_TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("succeeded", "active", "done", "sent", "ok", "replayed", "finished", "enabled"), "good"),
    **dict.fromkeys(("failed", "dead", "error", "degraded", "problems", "gone"), "bad"),
    **dict.fromkeys(("partial", "paused", "open", "waiting", "expired", "stopped"), "warn"),
    **dict.fromkeys(("running", "queued", "accepted"), "busy"),
}
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def badge(state: str) -> Markup:
    """A state, coloured by what it means; the word says it too."""
    return element("span", state, class_=f"badge {_TONES.get(state, '')}".strip())


def moment(at: datetime | None, now: datetime) -> Markup:
    """The instant in UTC, and how far from now it is."""
    if at is None:
        return quiet("–")
    at = at.astimezone(UTC)
    told = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return text((element("time", told, datetime=told), " ", quiet(_distance(at, now))))


def _distance(at: datetime, now: datetime) -> str:
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    told = f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"
    return told.replace(" ", "\xa0")


def duration(seconds: float | None) -> str:
    """`850 ms`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    size, unit = next(each for each in _UNITS if seconds >= each[0])
    return f"{int(seconds // size)} {unit}"


def quiet(*content: Content) -> Markup:
    return element("span", *content, class_="quiet")


def code(content: Content) -> Markup:
    return element("code", content)


def short(identifier: object) -> str:
    """Both ends of an id: its beginning is a time, its end tells apart those of one moment."""
    told = str(identifier)
    return f"{told[:13]}…{told[-4:]}"


def item(visit: Visit, kind: str, identifier: object) -> Markup:
    """The way from a list to the page of one of its things."""
    return link(visit.link(kind, identifier), element("code", short(identifier), class_="id"))


def link(address: str, *content: Content) -> Markup:
    return element("a", *content, href=address)


def table(heads: Sequence[str], rows: Iterable[Sequence[Content]], empty: Content) -> Markup:
    """A table; `empty` says what to do when there is nothing. A head that ends in `#` is one of numbers."""
    cells = [list(row) for row in rows]
    if not cells:
        return element("p", empty, class_="quiet")
    kinds = ["number" if head.endswith("#") else None for head in heads]
    head = element(
        "tr",
        [
            element("th", name.rstrip("#"), scope="col", class_=kind)
            for name, kind in zip(heads, kinds, strict=True)
        ],
    )
    body = [
        element("tr", [element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)])
        for row in cells
    ]
    return element("div", element("table", element("thead", head), element("tbody", body)), class_="wide")


def facts(*pairs: tuple[str, Content]) -> Markup:
    """Names and values; what is None or empty is left out."""
    told = [(name, value) for name, value in pairs if value not in (None, "")]
    return element("dl", [(element("dt", name), element("dd", value)) for name, value in told])


def section(title: str, *content: Content) -> Markup:
    return text((element("h2", title), content))


def folded(title: Content, *content: Content, is_open: bool = False) -> Markup:
    """What shows when it is asked for."""
    return element("details", element("summary", title), *content, open=is_open)


def json_block(value: Any) -> Markup:
    """A document as text; a long one is cut."""
    return block(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return (
            int(value) if value == value.to_integral_value() and abs(value.adjusted()) < 1000 else str(value)
        )
    return value.isoformat() if isinstance(value, datetime) else str(value)


def block(content: str) -> Markup:
    """A text as it is; a long one is cut, and says so."""
    rest = len(content) - SHOWN_CHARACTERS
    cut = quiet(f" … {rest} more characters") if rest > 0 else NOTHING
    return element("pre", content[:SHOWN_CHARACTERS], cut)


def tiles(numbers: Mapping[str, int]) -> Markup:
    """Numbers at a glance; those that are 0 are pale."""
    return element(
        "div",
        [
            element("div", element("b", number), name, class_=None if number else "quiet")
            for name, number in numbers.items()
        ],
        class_="tiles",
    )


def pager(visit: Visit, following: str | None) -> Markup:
    """On to the next part of the list, with the same filters."""
    first = {name: value for name, value in visit.query.items() if name not in {"cursor", "done", "ask"}}
    links: list[Content] = []
    if "cursor" in visit.query:
        links.append(link("?" + urlencode(first), "First page"))
    if following is not None:
        links += [" · ", link("?" + urlencode({**first, "cursor": following}), "Next page")]
    return (
        element("p", links[1:] if links and links[0] == " · " else links, class_="pager")
        if links
        else NOTHING
    )


def note(*content: Content, tone: str = "") -> Markup:
    return element("p", *content, class_=f"note {tone}".strip())


def none_like_that(what: str, part: str) -> Markup:
    """What an empty list of a manifest's parts says: where they come from."""
    return text((f"No {what} is like that. Write one under ", code(part), " of a manifest and bring it into force: ",
                 code("headwater apply FILE"), "."))  # fmt: skip


def new_way(visit: Visit, noun: str, part: str) -> Markup:
    """The way to the page that makes one of a manifest's parts, for those who may."""
    if not visit.may("write"):
        return NOTHING
    return element("p", link(visit.link("new", part), f"New {noun} …"))


def definition(visit: Visit, content: Mapping[str, Any]) -> Markup:
    """What the page's part says in a manifest, and the way to change it, for those who may."""
    edit = element("p", link(visit.here("edit"), "Edit …")) if visit.may("write") else NOTHING
    return section("Definition", folded("Show", json_block(content)), edit)
