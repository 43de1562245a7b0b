"""What a walk of parents hands on: of each record the values that its child's request and rows need."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from headwater.contracts.codec import dumps
from headwater.contracts.source import Stream, StreamDefinition
from headwater.model.errors import ContractError, SourceError
from headwater.plugins.conversions import CannotBeError
from headwater.plugins.expressions import MISSING, compile_path
from headwater.plugins.secret_text import names_in
from headwater.plugins.walk.select import Rejected
from headwater.plugins.walk.templates import PARAMETERS, Values, expressions_of

PARENT = "_parent"  # what the parent is called in paths of its children
_LOOKED_AT = 100  # records of a page
WARNING_INCLUDE = "include_hides"
WARNING_PARENTS_REJECTED = "parents_rejected"
MAX_BYTES = 16 * 1024  # of one parent's values: they travel with each page of its child
_REASON = 200
Fits = Callable[[Values], None]
_NAMES = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_PLAIN = re.compile(_NAMES)
_OF_PARENT = re.compile(rf"(?<![A-Za-z0-9_.]){PARENT}\.({_NAMES})")
_ABOVE = re.compile(rf"(?:{PARENT}|parent)\.({_NAMES})")


def needed(definition: StreamDefinition, level: int) -> dict[str, bool]:
    """The expressions over records of `lineage[level]` that the streams below it need.

    True: one of its child's request, so that there must be a value.
    """
    child = _streams(definition)[level + 1]
    wanted = dict.fromkeys(expressions_of(child.request), True)
    wanted |= {path: False for path in _carried(child) if path not in wanted}
    if level + 1 < len(definition.lineage):
        for path in needed(definition, level + 1):
            above = _ABOVE.fullmatch(path)
            if above and above[1] not in wanted:
                wanted[above[1]] = False
    return wanted


def _streams(definition: StreamDefinition) -> tuple[Stream, ...]:
    return (*definition.lineage, definition.stream)


def _carried(child: Stream) -> Iterator[str]:
    """What of the parent goes into the child's rows."""
    assert child.parent is not None
    for field in child.parent.include:
        yield field.path
    texts = [rule.path for rule in child.fields if rule.path is not None]
    if child.records is not None and child.records.filter is not None:
        texts.append(child.records.filter)
    for text in texts:
        yield from _OF_PARENT.findall(text)


class ParentFields:
    """Reads from the records of `lineage[level]` what the streams below need. Raises: ConfigError."""

    def __init__(self, definition: StreamDefinition, level: int) -> None:
        self._stream = definition.lineage[level].name
        self._wanted = [
            (expression, compile_path(expression), must)
            for expression, must in needed(definition, level).items()
        ]

    def read(
        self, records: Sequence[Any], above: Values | None, fits: Fits
    ) -> tuple[list[dict[str, Any]], list[Rejected]]:
        """The values of each record, and the records whose values cannot be asked for, by their place in `records`.

        `above`: the values of the record's own parent. `fits` raises CannotBeError when no request can be made of
        values. Raises: SourceError `parent_field_missing` when no record has what the child's request needs.
        """
        of_run = {name: value for name, value in (above or {}).items() if name.startswith(PARAMETERS)}
        above = {name: value for name, value in (above or {}).items() if name not in of_run} or None
        found: list[dict[str, Any]] = []
        rejected: list[Rejected] = []
        lacking: set[str] = set()
        for index, record in enumerate(records):
            try:
                values = self._values(_with_above(record, above)) | of_run
                fits(values)
            except _AbsentError as error:
                lacking.add(error.expression)
                rejected.append(Rejected(index, str(error)))
            except (CannotBeError, SourceError) as error:
                rejected.append(Rejected(index, f"no child can be asked for: {error}"[:_REASON]))
            else:
                found.append(values)
        if lacking and not found:
            there = ", ".join(str(name)[:40] for name in list(records[0])[:8])
            raise SourceError(
                "parent_field_missing",
                f"no record of {self._stream} has {', '.join(sorted(lacking))}, which the request of its child names "
                f"(fields there: {there}); correct the name in {{parent.…}}",
            )
        return found, rejected

    def _values(self, record: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for expression, getter, must in self._wanted:
            value = getter(record)
            if must and (value is MISSING or value is None):
                raise _AbsentError(expression)
            values[expression] = None if value is MISSING else value
        try:
            text = dumps(values)
        except ContractError as error:
            raise CannotBeError(str(error)) from error
        if len(text) > MAX_BYTES:
            raise CannotBeError(f"its values are larger than {MAX_BYTES} bytes")
        if b"\\u0000" in text:
            raise CannotBeError("its values hold a zero byte")
        if names_in(text.decode()):  # what an API says must not name our secrets
            raise CannotBeError("its values look like a reference to a secret")
        return values


class _AbsentError(Exception):
    def __init__(self, expression: str) -> None:
        super().__init__(f"no child can be asked for: {expression} is missing")
        self.expression = expression


def _with_above(record: Any, above: Values | None) -> Any:
    if above is None or not isinstance(record, dict):
        return record
    shown = view_of(above)
    return {"parent": shown, **record, PARENT: shown}


def view_of(values: Values) -> dict[str, Any]:
    """The values as an object in the form of the parent's record, as far as their paths are plain."""
    shown: dict[str, Any] = {}
    for path, value in values.items():
        if _PLAIN.fullmatch(path) and not path.startswith(PARAMETERS):
            *outer, name = path.split(".")
            here = shown
            for part in outer:
                inner = here.setdefault(part, {})
                if not isinstance(inner, dict):
                    break
                here = inner
            else:
                here[name] = value
    return shown


class ParentColumns:
    """Puts what a stream includes of its parent into its rows."""

    def __init__(self, stream: Stream) -> None:
        assert stream.parent is not None
        self._stream = stream.parent.stream
        self._include = [(field.name, field.path) for field in stream.parent.include]
        named = {rule.name for rule in stream.fields}
        self._hides_parent = PARENT not in named
        texts = [rule.path or "" for rule in stream.fields]
        if stream.records is not None and stream.records.filter is not None:
            texts.append(stream.records.filter)
        self._is_seen = any(PARENT in text for text in texts)

    def before(self, records: list[Any], parent: Values) -> list[Any]:
        """The records as `fields` and `filter` see them."""
        if not self._is_seen:
            return records
        shown = view_of(parent)
        return [{**record, PARENT: shown} for record in records]

    def hidden(self, records: Sequence[Any], parent: Values) -> tuple[str, ...]:
        """A warning where what is included takes the place of what the records have there, which is another value."""
        names = [
            name
            for name, path in self._include
            if any(
                str(record.get(name, parent.get(path))) != str(parent.get(path))
                for record in records[:_LOOKED_AT]
            )
        ]
        if not names:
            return ()
        named = ", ".join(map(repr, names[:3]))
        path = next(path for name, path in self._include if name == names[0])
        word = re.sub(r"[^A-Za-z0-9]+", "_", f"{self._stream}_{path}")
        mend = f"name it otherwise: include: {{{word}: {path}}}"
        return (
            f"{WARNING_INCLUDE}: the records have {named} of their own, and include puts the parent's there; {mend}",
        )

    def after(self, rows: list[Any], parent: Values) -> list[Any]:
        """The rows with what they include."""
        included = {name: parent.get(path) for name, path in self._include}
        if self._is_seen and self._hides_parent:
            rows = [{name: value for name, value in row.items() if name != PARENT} for row in rows]
        return [{**row, **included} for row in rows] if included else rows


def key_of(level: int, requested: Sequence[str], values: Mapping[str, Any], above: bytes) -> bytes:
    """32 bytes that are equal for two parents exactly when their children's requests are.

    `requested`: the expressions in the child's request; `above`: the key of the walk that the parent was found by.
    """
    named = {name: values.get(name) for name in requested}
    text = dumps([level, sorted(named.items())])
    return hashlib.sha256(above + text).digest()
