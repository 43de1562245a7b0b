"""From the text of a manifest to a Manifest, with every problem at its line and column.

YAML is read node by node, so that each value knows its place; `${env:NAME}` is filled in on the way.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from headwater.contracts.manifest import Manifest
from headwater.contracts.problem import ManifestError, Part, Path, Problem, pointer
from headwater.contracts.problem_words import FORMS, OTHER_FORMS, one_of, words
from headwater.model.storable import storable, text_fault

MAX_TEXT_BYTES = 5 * 1024 * 1024
MAX_NODES = 500_000  # after aliases are followed, so that a few lines cannot unfold into gigabytes
MAX_PROBLEMS = 100
_WORDS = frozenset({"yes", "no", "on", "off", "y", "n"})
_SENT = frozenset(
    {"params", "json", "variables", "parameters", "constant", "default"}
)  # values of requests, of rows
_MERGE = "tag:yaml.org,2002:merge"
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
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

    def place_of(self, pointer: str) -> tuple[int, int]:
        """The same for an RFC 6901 pointer."""
        path: Path = ()
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            index = int(name) if name.isascii() and name.isdigit() and len(name) < 9 else name
            path = (*path, index if (*path, index) in self.places else name)
        return self.place(path)

    def problem(self, path: Path, what: str, mend: str = "", part: Part | None = None) -> Problem:
        line, column = self.place(path)
        return Problem(pointer(path), what, mend, line, column, self.file, part)


def read_document(text: str, file: str, environment: Mapping[str, str] | None) -> Document:
    """The values of a YAML (or JSON) text with their places. `environment` None: this is no place to read it.

    Raises: ManifestError.
    """
    document = Document(file)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise ManifestError([Problem("", f"is larger than {MAX_TEXT_BYTES} bytes", "split it", file=file)])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ManifestError([_yaml_problem(error, file, text)]) from error
    except RecursionError as error:
        raise ManifestError([Problem("", "is nested too deeply", "flatten it", file=file)]) from error
    if node is None:
        raise ManifestError([Problem("", "is empty", "begin with `version: 1`", file=file)])
    builder = _Builder(document, environment)
    try:
        document.value = builder.build(node, ())
    except RecursionError as error:
        what, mend = "is nested too deeply, or holds itself by an alias (*)", "write it out"
        raise ManifestError([Problem("", what, mend, file=file)]) from error
    if builder.problems:
        raise ManifestError(builder.problems)
    return document


def _yaml_problem(error: yaml.YAMLError, file: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = str(getattr(error, "problem", None) or error).splitlines()[0]
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    mend = "check indentation, quotes and colons there"
    begun = getattr(error, "context_mark", None)
    context = str(getattr(error, "context", None) or "")
    if "another document" in what:
        what, mend = "a second document begins here", "put it into a file of its own, or remove the line ---"
    elif "\\t" in what:
        mend = "indent by blanks, not by tabs"
    elif "cannot start any token" in what or "alphabetic or numeric" in what:
        mend = "put the value in quotes"
    elif what.startswith("expected <block end>"):
        mend = "bring its indentation in line with that of a key above"
    elif mark is not None and text[max(mark.index - 1, 0) : mark.index + 1] == "${":
        what, mend = "in braces and brackets, { and } are YAML's own", 'put it in quotes: "${env:NAME}"'
    elif context.startswith(("while parsing a flow", "while scanning a quoted")) and begun is not None:
        what += f", in what begins in line {begun.line + 1}, column {begun.column + 1}"
        mend = "close its brackets and quotes, and check its colons"
    return Problem("", f"is not YAML: {what}", mend, line, column, file)


def _key(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else "?"


def _surprise(node: yaml.Node, path: Path) -> tuple[str, str] | None:
    """What YAML reads as something else than stands there, and the mend: numbers, and words that are sent."""
    text = str(node.value)
    if node.tag.endswith(":bool") and text.lower() in _WORDS and not _SENT.isdisjoint(path):
        return "is {} to YAML, whatever it says", "write true or false, or put a text in quotes"
    if not node.tag.endswith((":int", ":float")):
        return None
    if _OCTAL.fullmatch(text):
        return "is {} to YAML, for which a leading 0 is octal", "leave out the 0, or put a text in quotes"
    if ":" in text:
        return "is {} to YAML, which counts it in sixties", "put it in quotes"
    return None


class _Builder:
    def __init__(self, document: Document, environment: Mapping[str, str] | None) -> None:
        self._document = document
        self._environment = environment
        self._scalars = yaml.SafeLoader("")
        self._count = 0
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._counted(1)
        self._document.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _counted(self, more: int) -> None:
        self._count += more
        if self._count > MAX_NODES:
            what = f"unfolds to more than {MAX_NODES} values"
            raise ManifestError([Problem("", what, "use fewer aliases", file=self._document.file)])

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own = [pair for pair in node.value if pair[0].tag != _MERGE]
        names = {_key(key) for key, _ in own}
        inherited: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for pair in self._inherited(node, path, ()):
            if _key(pair[0]) not in names:
                inherited.setdefault(_key(pair[0]), pair)
        built: dict[str, Any] = {}
        for key_node, value_node in (*inherited.values(), *own):
            key = self._whole(_key(key_node), path)
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

    def _inherited(
        self, node: yaml.MappingNode, path: Path, above: tuple[yaml.Node, ...]
    ) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """What `<<: *name` takes over from other mappings: of several the first one that has a key counts."""
        for key_node, value_node in node.value:
            if key_node.tag != _MERGE:
                continue
            named = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for other in named:
                if not isinstance(other, yaml.MappingNode):
                    place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                    what, mend = "takes over the keys of a mapping, and this is none", "write <<: *NAME"
                    self.problems.append(
                        Problem(pointer((*path, "<<")), what, mend, *place, self._document.file)
                    )
                elif other not in above:
                    self._counted(len(other.value))
                    yield from (pair for pair in other.value if pair[0].tag != _MERGE)
                    yield from self._inherited(other, path, (*above, other))

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        fault = _surprise(node, path)
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            why = str(getattr(error, "problem", None) or error)
            fault = (f"cannot be read: {why}", "put it in quotes, and leave out tags (!)")
            if node.tag.endswith(":timestamp"):
                fault = (f"is no time: {why}", "write a time such as 2026-12-04T18:00:00Z")
            value = None
        if fault is not None:
            self.problems.append(self._document.problem(path, fault[0].format(value), fault[1]))
            return None
        if isinstance(value, str):
            return self._filled(value, path)
        if node.tag.endswith((":timestamp", ":binary")):
            return self._filled(str(node.value), path)  # the model decides what a time is
        return value

    def _filled(self, text: str, path: Path) -> str:
        def fill(match: re.Match[str]) -> str:
            value = None if self._environment is None else self._environment.get(match[1])
            if value is None:
                what, mend = f"${{env:{match[1]}}} is not set", f"export {match[1]} before"
                if self._environment is None:
                    what = f"${{env:{match[1]}}} is of the environment of commands, which is not here"
                    mend = "name a secret that is kept, ${secret:NAME}, or use `headwater apply`"
                self.problems.append(self._document.problem(path, what, mend))
                return ""
            return value

        return self._whole(_ENV.sub(fill, text), path)

    def _whole(self, text: str, path: Path) -> str:
        """`text` without what is no text, which is told: no check can be made of what cannot be written as UTF-8."""
        fault = text_fault(text)
        if fault is not None:
            self.problems.append(self._document.problem(path, fault, "write it anew"))
        return storable(text)


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    found = []
    items = error.errors()
    placed = [
        (_path_in(document.value, item["loc"], is_missing=item["type"] == "missing"), item)
        for item in items[:MAX_PROBLEMS]
    ]
    for path, item in placed:
        here = [each for other, each in placed if other == path]
        if len(here) > 1 and {each["type"] for each in here} <= FORMS:
            if item is here[0]:
                found.append(document.problem(path, *one_of(here, path)))
            continue
        if item["type"] == "too_short" and _has_wrong_items(item["loc"], items):
            continue  # wrong items are not counted: a list is not short because of them
        if item["type"] in OTHER_FORMS and _is_wrong_in_its_own_form(path, placed):
            continue
        tag: Path = ()
        if item["type"] == "union_tag_invalid":
            tag = (str((item.get("ctx") or {}).get("discriminator", "type")).strip("'"),)
        place = (*path, *tag)
        found.append(document.problem(place, *words(item, place, Manifest)))
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
        elif isinstance(value, dict) and isinstance(part, int) and part < len(value):
            name, value = list(value.items())[part]  # a list that is written as a mapping
            path.append(name)
            continue
        elif is_missing and isinstance(value, dict) and index == len(loc) - 1 and isinstance(part, str):
            value = None  # a key that is missing
        else:
            continue
        path.append(part)
    return tuple(path)


def parse_manifest(text: str, file: str, environment: Mapping[str, str] | None) -> tuple[Manifest, Document]:
    """The manifest in `text`, as `read_document` reads it. Raises: ManifestError with every problem at its place."""
    document = read_document(text, file, environment)
    if not isinstance(document.value, dict):
        raise ManifestError([document.problem((), "is no mapping", "begin with `version: 1`")])
    try:
        return Manifest.model_validate(document.value), document
    except ValidationError as error:
        raise ManifestError(_problems(error, document)) from error
