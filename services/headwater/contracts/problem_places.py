"""Where in a document a key belongs that stands in the wrong place."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]
_Place = tuple[str, ...]
_MOST = 2
_DEEPEST = 12  # keys within keys; a manifest has fewer


def belongs(path: Path, root: type[BaseModel]) -> str:
    """Where the key at `path`, which is not known there, is: in words; the places that are nearest to it."""
    name = str(path[-1])
    here = tuple("[]" if isinstance(part, int) else part for part in path[:-1])
    known = _places(root).get(name, ())
    nearest = sorted(known, key=lambda place: (_distance(here, place), len(place), place))
    if not nearest:
        return ""
    best = _distance(here, nearest[0])
    if best == 0:  # known at this very place, to a sibling of a union
        return f"to another `type` of `{here[-1]}`" if here else "to another `type`"
    shown = [_shown(here, place) for place in nearest if _distance(here, place) == best]
    return " or ".join(shown[:_MOST])


def _shown(here: _Place, place: _Place) -> str:
    """A place in words: relative to `here` where it lies within it."""
    if not place:
        return "at the top"
    if place[: len(here)] == here and here:
        return f"in `{_written(place[len(here) :])}`"
    return f"in `{_written(place)}`"


def _written(place: Sequence[str]) -> str:
    return ".".join(place).replace(".[]", "[]")


def _distance(one: _Place, other: _Place) -> int:
    common = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        common += 1
    return len(one) + len(other) - 2 * common


@cache
def _places(root: type[BaseModel]) -> Mapping[str, tuple[_Place, ...]]:
    """The places of every key, by its name."""
    schema = root.model_json_schema()
    found: dict[str, set[_Place]] = {}
    waiting: list[tuple[Any, _Place, tuple[str, ...]]] = [(schema, (), ())]
    while waiting:
        node, place, above = waiting.pop()
        if not isinstance(node, Mapping) or len(place) > _DEEPEST:
            continue
        reference = str(node.get("$ref", "")).rpartition("/")[2]
        if reference:
            if reference not in above:
                waiting.append((schema["$defs"][reference], place, (*above, reference)))
            continue
        for choice in ("anyOf", "oneOf", "allOf"):
            waiting += [(one, place, above) for one in node.get(choice, ())]
        waiting.append((node.get("items"), (*place, "[]"), above))
        for key, inner in node.get("properties", {}).items():
            found.setdefault(key, set()).add(place)
            waiting.append((inner, (*place, key), above))
    return {key: tuple(places) for key, places in found.items()}
