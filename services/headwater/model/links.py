"""The Link header of RFC 8288: several links, several rels, quoted commas, any case."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_HEADER_CHARACTERS = 65_536
_BLANK = " \t"
_REL = re.compile(r"\brel\s*=\s*[\"']?([^\"',;]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """One link: `target` as written (may be relative), `rels` in lower case."""

    target: str
    rels: tuple[str, ...]


def parse_links(headers: Iterable[str]) -> tuple[Link, ...]:
    """The links in the values of all Link headers; what cannot be read as a link is passed over."""
    return tuple(link for header in headers for link in _links(header[:MAX_HEADER_CHARACTERS]))


def target_of(headers: Iterable[str], rel: str) -> str | None:
    """The target of the first link that has `rel` among its rels (any case), or None."""
    wanted = rel.lower()
    return next((link.target for link in parse_links(headers) if wanted in link.rels), None)


def names_unread(headers: Iterable[str], rel: str) -> bool:
    """Whether a header names `rel` and has no link that can be read: the angle brackets are missing."""
    wanted = rel.lower()
    garbled = (header[:MAX_HEADER_CHARACTERS] for header in headers if "<" not in header or ">" not in header)
    return any(wanted in found.lower().split() for header in garbled for found in _REL.findall(header))


def _links(text: str) -> Iterable[Link]:
    position = 0
    while (start := text.find("<", position)) >= 0:
        end = text.find(">", start)
        if end < 0:
            return
        position, parameters = _parameters(text, end + 1)
        # RFC 8288 §3.3: only the first rel counts; `anchor` would make it a link of another page. Servers put rel into
        # single quotes too, and some (Sentry) say by `results` that nothing is behind the link.
        if "anchor" not in parameters and parameters.get("results", "").lower() != "false":
            rels = parameters.get("rel", "").strip("'").lower().split()
            yield Link(text[start + 1 : end].strip(), tuple(rels))


def _parameters(text: str, position: int) -> tuple[int, dict[str, str]]:
    """The parameters of one link from `position` on, and where the next link begins."""
    found: dict[str, str] = {}
    while position < len(text):
        position = _skip(text, position, _BLANK)
        if position >= len(text) or text[position] != ";":
            break
        position = _skip(text, position + 1, _BLANK)
        begin = position
        while position < len(text) and text[position] not in "=;,":
            position += 1
        name, value = text[begin:position].strip().lower(), ""
        if position < len(text) and text[position] == "=":
            position, value = _value(text, _skip(text, position + 1, _BLANK))
        if name:
            found.setdefault(name, value)
    following = text.find(",", position)
    return (following + 1 if following >= 0 else len(text)), found


def _value(text: str, position: int) -> tuple[int, str]:
    """A token or quoted string at `position`, and where it ends."""
    if position >= len(text) or text[position] != '"':
        begin = position
        while position < len(text) and text[position] not in ";,":
            position += 1
        return position, text[begin:position].strip()
    characters: list[str] = []
    position += 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        characters.append(text[position])
        position += 1
    return position + 1, "".join(characters)


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position
