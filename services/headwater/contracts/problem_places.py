"""Where in a document a key belongs that stands in the wrong place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]
_Place = tuple[str, ...]
_MOST = 2
_DEEPEST = 12  # keys within keys; a manifest has fewer


@dataclass(frozen=True, slots=True)
class Places:
    """Where a key belongs, in words; `distance`: how many keys are between there and where it stands (0: none, it is
    known there to another `type`).
    """

    words: str
    distance: int


def belongs(path: Path, root: type[BaseModel]) -> Places | None:
    """Where the key at `path`, which is not known there, is: the places that are nearest to it; None: nowhere."""
    name = str(path[-1])
    here = _here(path)
    known = _places(root).get(name, ())
    nearest = sorted(known, key=lambda place: (_distance(here, place), len(place), place))
    if not nearest:
        return None
    best = _distance(here, nearest[0])
    if best == 0:
        return Places(f"to another `type` of `{here[-1]}`" if here else "to another `type`", 0)
    shown = [_shown(here, place) for place in nearest if _distance(here, place) == best]
    return Places(" or ".join(shown[:_MOST]), best)


def keys_of_type(
    path: Path, tags: Sequence[str | int], root: type[BaseModel]
) -> tuple[str, Sequence[str]] | None:
    """The `type` of the mapping in which the key at `path` stands, and the keys that it takes; None where it has none.

    `tags` holds the type among other names: the validator's own place of the fault.
    """
    types = _types(root).get(_here(path), {})
    return next(((tag, types[tag]) for tag in reversed(tags) if isinstance(tag, str) and tag in types), None)


def keys(root: type[BaseModel]) -> Sequence[str]:
    """Every key that a document of this model may have, anywhere in it."""
    return tuple(_places(root))


def keys_of(place: Path, root: type[BaseModel]) -> Sequence[str]:
    """The keys that the mapping at `place` may have; empty where these are of several forms."""
    here = _here((*place, ""))
    forms = [properties for at, properties in _mappings(root) if at == here]
    return tuple(forms[0]) if len(forms) == 1 else ()


def _here(path: Path) -> _Place:
    return tuple("[]" if isinstance(part, int) else part for part in path[:-1])


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
    found: dict[str, set[_Place]] = {}
    for place, properties in _mappings(root):
        for key in properties:
            found.setdefault(key, set()).add(place)
    return {key: tuple(places) for key, places in found.items()}


@cache
def _types(root: type[BaseModel]) -> Mapping[_Place, Mapping[str, Sequence[str]]]:
    """The keys of mappings that say their `type`, by place and type."""
    found: dict[_Place, dict[str, Sequence[str]]] = {}
    for place, properties in _mappings(root):
        tag = properties.get("type", {}).get("const")
        if tag is not None:
            found.setdefault(place, {})[tag] = [key for key in properties if key != "type"]
    return found


@cache
def _mappings(root: type[BaseModel]) -> Sequence[tuple[_Place, Mapping[str, Any]]]:
    """Every mapping that a document may hold: its place, and the schemas of its keys."""
    schema = root.model_json_schema()
    found: list[tuple[_Place, Mapping[str, Any]]] = []
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
        properties = node.get("properties", {})
        if properties:
            found.append((place, properties))
        waiting += [(inner, (*place, key), above) for key, inner in properties.items()]
    return found
