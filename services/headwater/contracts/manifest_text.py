"""From the text of a manifest to a Manifest, with every problem at its line and column.

YAML is read node by node, so that each value knows its place; `${env:NAME}` is filled in on the way.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from headwater.contracts.manifest import Manifest
from headwater.contracts.problem import ManifestError, Part, Path, Problem, pointer
from headwater.contracts.problem_words import OTHER_FORMS, words

MAX_TEXT_BYTES = 5 * 1024 * 1024
MAX_NODES = 500_000  # after aliases are followed, so that a few lines cannot unfold into gigabytes
MAX_PROBLEMS = 100
_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(slots=True)
class Document:
    """A read text: plain values, and the place of each by its path."""

    file: str
    value: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of the value at `path`, or of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))

    def problem(self, path: Path, what: str, mend: str = "", part: Part | None = None) -> Problem:
        line, column = self.place(path)
        return Problem(pointer(path), what, mend, line, column, self.file, part)


def read_document(text: str, file: str, environment: Mapping[str, str]) -> Document:
    """The values of a YAML (or JSON) text with their places. Raises: ManifestError."""
    document = Document(file)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise ManifestError([Problem("", f"is larger than {MAX_TEXT_BYTES} bytes", "split it", file=file)])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ManifestError([_yaml_problem(error, file)]) from error
    except RecursionError as error:
        raise ManifestError([Problem("", "is nested too deeply", "flatten it", file=file)]) from error
    if node is None:
        raise ManifestError([Problem("", "is empty", "begin with `version: 1`", file=file)])
    builder = _Builder(document, environment)
    document.value = builder.build(node, ())
    if builder.problems:
        raise ManifestError(builder.problems)
    return document


def _yaml_problem(error: yaml.YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = str(getattr(error, "problem", None) or error).splitlines()[0]
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return Problem(
        "", f"is not YAML: {what}", "check indentation, quotes and colons there", line, column, file
    )


class _Builder:
    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._scalars = yaml.SafeLoader("")
        self._count = 0
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_NODES:
            raise ManifestError(
                [
                    Problem(
                        "",
                        f"unfolds to more than {MAX_NODES} values",
                        "use fewer aliases",
                        file=self._document.file,
                    )
                ]
            )
        self._document.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            here = (*path, key)
            value = self.build(value_node, here)
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in built:
                self.problems.append(
                    Problem(pointer(here), "is given twice", "keep one", *place, self._document.file)
                )
            if not isinstance(value_node, yaml.ScalarNode):
                self._document.places[here] = place
            built[key] = value
        return built

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.problems.append(self._document.problem(path, f"cannot be read: {error}", "put it in quotes"))
            return None
        if isinstance(value, str):
            return self._filled(value, path)
        if node.tag.endswith((":timestamp", ":binary")):
            return self._filled(str(node.value), path)  # the model decides what a time is
        return value

    def _filled(self, text: str, path: Path) -> str:
        def fill(match: re.Match[str]) -> str:
            value = self._environment.get(match[1])
            if value is None:
                self.problems.append(
                    self._document.problem(
                        path, f"${{env:{match[1]}}} is not set", f"export {match[1]} before"
                    )
                )
                return ""
            return value

        return _ENV.sub(fill, text)


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    found = []
    items = error.errors()
    placed = [
        (_path_in(document.value, item["loc"], is_missing=item["type"] == "missing"), item)
        for item in items[:MAX_PROBLEMS]
    ]
    for path, item in placed:
        if item["type"] == "too_short" and _has_wrong_items(item["loc"], items):
            continue  # wrong items are not counted: a list is not short because of them
        if item["type"] in OTHER_FORMS and _is_wrong_in_its_own_form(path, placed):
            continue
        tag: Path = ()
        if item["type"] == "union_tag_invalid":
            tag = (str((item.get("ctx") or {}).get("discriminator", "type")).strip("'"),)
        here = (*path, *tag)
        found.append(document.problem(here, *words(item, here, Manifest)))
    return found


def _has_wrong_items(loc: Sequence[str | int], items: Sequence[Any]) -> bool:
    """Whether there are errors within the list at `loc`."""
    return any(len(each["loc"]) > len(loc) and tuple(each["loc"][: len(loc)]) == tuple(loc) for each in items)


def _is_wrong_in_its_own_form(path: Path, placed: Sequence[tuple[Path, Any]]) -> bool:
    """Whether something else is wrong with a value that may be of several forms: then it has one of them."""
    return any(other[: len(path)] == path and each["type"] not in OTHER_FORMS for other, each in placed)


def _path_in(value: Any, loc: Sequence[str | int], *, is_missing: bool) -> Path:
    """The path of a validation error in the document; the names of union members are not part of it."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        is_index = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_index or (isinstance(value, dict) and part in value):
            value = value[part]
        elif is_missing and isinstance(value, dict) and index == len(loc) - 1 and isinstance(part, str):
            value = None  # a key that is missing
        else:
            continue
        path.append(part)
    return tuple(path)


def parse_manifest(text: str, file: str, environment: Mapping[str, str]) -> tuple[Manifest, Document]:
    """The manifest in `text`. Raises: ManifestError with every problem at its place."""
    document = read_document(text, file, environment)
    if not isinstance(document.value, dict):
        raise ManifestError([document.problem((), "is no mapping", "begin with `version: 1`")])
    try:
        return Manifest.model_validate(document.value), document
    except ValidationError as error:
        raise ManifestError(_problems(error, document)) from error
