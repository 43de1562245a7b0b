"""Paths of a stream that lead to nothing in its first page: most likely they are wrong, and nobody would notice.

What would lose records, or lets a run read everything for ever, is an error; what may be left out by an API that has
no more to say is a warning. Both name the path, what the answer has there, and what to write instead.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headwater.contracts.pagination import pages_of
from headwater.contracts.source import Stream
from headwater.model.errors import SourceError
from headwater.model.run import StopReason
from headwater.plugins.expressions import MISSING, Getter, compile_path
from headwater.plugins.paginators import Answer
from headwater.plugins.paginators.base import count_of, truth_of
from headwater.plugins.paginators.following import is_end
from headwater.plugins.walk.cursor import field_of, is_mark, is_readable
from headwater.plugins.walk.furthermore import more_pages, more_within
from headwater.plugins.walk.select import WARNING_SINGLE, Selected, no_object_kind

WARNING_UNMATCHED = "path_unmatched"
_FACTS = ("total", "total_pages", "has_more")
_POINTERS = ("cursor_path", "cursor_params", "next_path")
_NEXT = re.compile(r"next|continuation", re.IGNORECASE)
_OF_RUNS = re.compile(r"sync|delta", re.IGNORECASE)  # what the next run goes on from, and no page
_PLAIN = re.compile(r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+"))*')
_PREFIX = re.compile(rf"({_PLAIN.pattern})\s*[\[|]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIPE = " | "  # what follows a projection goes into each of its items; behind a pipe it means the list
_DEPTH = 4
_SHOWN = 8
ENOUGH = (
    5  # records that lack a field, or are none, before the stream is taken to be wrong, and not the records
)


class FirstPage:
    """Looks at the first page of a walk with records. Raises: ConfigError for wrong expressions."""

    def __init__(self, stream: Stream, *, is_gathering: bool) -> None:
        self._stream = stream
        is_sliced = stream.pagination.type == "window"
        pages = pages_of(stream.pagination)
        self._place = "pagination.pages" if is_sliced else "pagination"
        self._pages = pages
        self._paths: dict[str, tuple[str, Getter]] = {}
        for name in (*_FACTS, *_POINTERS, "page_info", "key_path"):
            path = getattr(pages, name, None)
            if isinstance(path, Mapping):  # one of them is enough
                path = " || ".join(f"({one})" for one in path.values())
            if path is not None:
                self._paths[name] = (path, compile_path(path))
        self._has_envelope = stream.records is not None and stream.records.path is not None
        self._fields = () if is_gathering else stream.fields
        self._getters = [
            (index, rule.path, compile_path(rule.path))
            for index, rule in enumerate(self._fields)
            if rule.path is not None and rule.default is None and rule.constant is None
        ]
        self._destination = None if is_gathering else stream.destination
        rule = None if is_gathering else stream.cursor_rule
        self._cursor = None if rule is None or rule.field is None else (rule.field, field_of(rule))
        self._kept = None if stream.cursor_rule is None else stream.cursor_rule.token_path
        self._id = None if rule is None or rule.id is None else (rule.id, compile_path(rule.id))

    def answer(
        self, answer: Answer, reason: StopReason | None, *, is_of_new: bool = False
    ) -> tuple[str, ...]:
        """Warnings about the paths into the answer; `reason` is why the walk ends with it. `is_of_new`: the walk asks
        for what is new alone, which may well be one page. Raises: SourceError.
        """
        document = answer.document
        found = [
            f"{WARNING_UNMATCHED}: {self._told(name, document)}"
            for name in _FACTS
            if name in self._paths
            and self._is_nothing(name, document)
            and not self._is_in_header(name, answer)
        ]
        found += [
            f"{WARNING_UNMATCHED}: {self._place}.{name} {self._paths[name][0]!r} leads to an object "
            f"({_names(there)} there), and is no number; write {name}: {self._paths[name][0]}.{key}"
            for name in _FACTS
            if name in self._paths
            and isinstance(there := self._paths[name][1](document), dict)
            and (key := next((key for key, value in there.items() if _is_fact(value)), None)) is not None
        ]
        if reason is StopReason.CURSOR_END:
            found += [text for text in self._pointers(document) if not is_of_new]
        if self._pages.type == "none":
            found += more_pages(answer, has_envelope=self._has_envelope)
        if reason is StopReason.ERROR:
            self._check_objects(document)
        if (
            reason is StopReason.ERROR
            and "key_path" in self._paths
            and self._is_nothing("key_path", answer.last_record)
        ):
            raise SourceError(
                "path_unmatched", self._told("key_path", answer.last_record, where="the last record")
            )
        return tuple(found)

    def selected(self, document: Any, path: str | None, selected: Selected) -> tuple[str, ...]:
        """Warnings about where the records are; `selected` were found at `path`. Raises: SourceError."""
        _check_kinds(path, selected)
        form = self._stream.records
        if form is not None and form.format == "csv" and isinstance(document, list) and document:
            return _delimiter(document[0], form.delimiter)
        if path is None or selected.received_count or _PLAIN.fullmatch(path):
            return ()
        prefix = _PREFIX.match(path)
        there = compile_path(prefix[1])(document) if prefix and "?" not in path else None
        if isinstance(there, list) and there and isinstance(there[0], dict):
            raise SourceError(
                "records_missing",
                f"records.path {path!r} finds nothing in the {len(there)} at {prefix[1] if prefix else ''} "
                f"(fields there: {_names(there[0])}); correct what follows it",
            )
        return ()

    def _is_nothing(self, name: str, document: Any) -> bool:
        return self._paths[name][1](document) is MISSING

    def _is_in_header(self, name: str, answer: Answer) -> bool:
        header = getattr(self._pages, f"{name}_header", None)
        return header is not None and header.lower() in answer.headers

    def _pointers(self, document: Any) -> Iterator[str]:
        """A way to the next page that is not there, so that the walk ends with its first one."""
        if "page_info" in self._paths:
            info = self._paths["page_info"][1](document)
            if info is MISSING:
                raise SourceError("path_unmatched", self._told("page_info", document))
            if isinstance(info, dict) and "endCursor" not in info:
                raise SourceError(
                    "path_unmatched",
                    f"{self._place}.page_info has no endCursor ({_names(info)} there); ask for "
                    "pageInfo { hasNextPage endCursor } in request.graphql.query",
                )
        for name in _POINTERS:
            if name in self._paths and self._is_nothing(name, document):
                if _is_said_null(self._paths[name][0], document):
                    continue
                likely = _pointer(document, self._kept)
                told = self._told(name, document, likely)
                if likely is not None:
                    raise SourceError("path_unmatched", told)
                yield f"{WARNING_UNMATCHED}: {told}"

    def _told(self, name: str, document: Any, likely: str | None = None, *, where: str = "the answer") -> str:
        path = self._paths[name][0]
        return _told(f"{self._place}.{name}", path, document, where, likely)

    def records(self, records: Sequence[Any]) -> tuple[str, ...]:
        """Warnings about the paths into the records. Raises: SourceError."""
        if not records:
            return ()
        found = list(() if self._cursor is None else self._check_cursor(records, *self._cursor))
        if self._id is not None and all(self._id[1](record) is MISSING for record in records):
            found.append(_in_records("incremental.id", self._id[0], records))
        return tuple(f"{WARNING_UNMATCHED}: {text}" for text in found) + more_within(records)

    def fields(self, records: Sequence[Any]) -> tuple[str, ...]:
        """Warnings about the paths of fields into the records, which know their parent here. Raises: SourceError."""
        gone = [one for one in self._getters if all(one[2](record) is MISSING for record in records)]
        key = () if self._destination is None else self._destination.key
        for index, path, _ in gone:
            if self._fields[index].name in key and len(records) >= ENOUGH:
                raise SourceError("key_missing", _in_records(f"fields.{index}.path", path, records))
        found = (_in_records(f"fields.{index}.path", path, records) for index, path, _ in gone)
        return tuple(f"{WARNING_UNMATCHED}: {text}" for text in found)

    def _check_cursor(self, records: Sequence[Any], path: str, getter: Getter) -> tuple[str, ...]:
        """A cursor that could never move, or never in the right order."""
        rule = self._stream.cursor_rule
        assert rule is not None
        values = [getter(record) for record in records]
        if all(value is MISSING for value in values):
            if len(records) < ENOUGH:
                return (_in_records("incremental.field", path, records),)
            raise SourceError("path_unmatched", _in_records("incremental.field", path, records))
        there = [value for value in values if value is not MISSING and value not in (None, "")]
        value = next(filter(is_mark, there), there[0] if there else None)
        if value is None and len(records) >= ENOUGH:
            found = f"incremental.field {path!r} is null in the {len(records)} records of the first page"
            return (f"{found}, so that the cursor stays; name a field that all records have",)
        fault = (
            None
            if value is None
            else is_readable(value, rule, in_slices=self._pages is not self._stream.pagination)
        )
        if fault is not None:
            raise SourceError("cursor_unusable", f"incremental.field {path!r}: {fault}")
        return ()

    def _check_objects(self, document: Any) -> None:
        """A way to the next page that is an object, with the way itself in it."""
        for name in _POINTERS:
            found = self._paths[name][1](document) if name in self._paths else None
            if not isinstance(found, dict):
                continue
            inner = [key for key, value in found.items() if isinstance(value, str)]
            key = next((key for key in inner if key in {"href", "url", "cursor"}), None)
            if key is not None:
                path = self._paths[name][0]
                raise SourceError(
                    "path_unmatched",
                    f"{self._place}.{name} {path!r} leads to an object (keys there: {_names(found)}); "
                    f"write {name}: {path}.{key}",
                )

    def rows(self, rows: Sequence[Any]) -> tuple[str, ...]:
        """Warnings about the fields of rows that the destination names. Raises: SourceError."""
        destination = self._destination
        if destination is None or not rows:
            return ()
        for name in destination.key:
            if len(rows) >= ENOUGH and not any(_has(row, name) for row in rows):
                raise SourceError("key_missing", _in_rows("destination.key", name, rows))
        named = [("destination.key", name) for name in destination.key]
        named += [("destination.children", name) for name in destination.children]
        if destination.order_by is not None:
            named.append(("destination.order_by", destination.order_by))
        unmatched = tuple(
            f"{WARNING_UNMATCHED}: {_in_rows(place, name, rows)}"
            for place, name in named
            if not any(_has(row, name) for row in rows)
        )
        return unmatched + _doubt_of_order(destination.order_by, rows)


def _doubt_of_order(name: str | None, rows: Sequence[Any]) -> tuple[str, ...]:
    """A warning where what says which record is newer are numbers as texts, of which 9 is behind 10."""
    values = [row[name] for row in rows if name is not None and _has(row, name) and row[name] is not None]
    if not values or not all(isinstance(value, str) and value.isdigit() for value in values):
        return ()
    mend = f"make it a number: fields: {{{name}: {{type: integer}}}} with rest: keep"
    return (f"order_by_text: destination.order_by {name!r} is a text, and so '9' is newer than '10'; {mend}",)


def _is_fact(value: Any) -> bool:
    return count_of(value) is not None or truth_of(value) is not None


def _check_kinds(path: str | None, selected: Selected) -> None:
    """A list of what is no record, or an object whose members are the records. Raises: SourceError."""
    where, list_ = ("the answer", "") if path is None else (f"records.path {path!r}", path)
    kinds = {kind for one in selected.rejected if (kind := no_object_kind(one)) not in {None, "NoneType"}}
    made = (
        "[1:].{name: [0], other: [1]}" if kinds == {"list"} else "[*].{value: @}"
    )  # the first row may be names
    if kinds and len(selected.rejected) == selected.received_count >= ENOUGH:
        raise SourceError(
            "records_missing",
            f"{where} leads to a list of {', '.join(sorted(map(str, kinds)))}, and records are objects; name the list "
            f"that has these, or make some: write records.path: '{list_}{_PIPE if '[' in list_ else ''}{made}'",
        )
    record = selected.records[0] if WARNING_SINGLE in selected.warnings and selected.records else {}
    if len(record) > 1 and all(isinstance(member, dict) for member in record.values()):
        raise SourceError(
            "records_missing",
            f"{where} leads to an object of {len(record)} objects ({_names(record)}), which look like records by name; "
            f"write records.path: '{path}.*', or '[{path}]' where it is one record",
        )


def _delimiter(row: Any, delimiter: str) -> tuple[str, ...]:
    """A warning where rows have one column, in whose name other delimiters stand."""
    if not isinstance(row, dict) or len(row) != 1:
        return ()
    (name,) = row
    other = next((mark for mark in ";\t|," if mark in name and mark != delimiter), None)
    if other is None:
        return ()
    return (
        f"delimiter_unmatched: the rows have one column, {name[:60]!r}; write records.delimiter: {other!r}",
    )


def _has(row: Any, name: str) -> bool:
    return isinstance(row, dict) and name in row


def _in_records(place: str, path: str, records: Sequence[Any]) -> str:
    return _told(place, path, records[0], f"any of the {len(records)} records of the first page")


def _in_rows(place: str, name: str, rows: Sequence[Any]) -> str:
    first = rows[0] if isinstance(rows[0], dict) else {}
    if "." in name and compile_path(_path(name.split(".")))(first) is not MISSING:
        word = re.sub(r"[^A-Za-z0-9]+", "_", name)
        return (
            f"{place} {name!r} is no field of a row, but a path; make it one by fields: {{{word}: {name}}} and rest: "
            f"keep, and write {word} here"
        )
    close = difflib.get_close_matches(name, [str(key) for key in first], 1, 0.6)
    mend = f"write {close[0]}" if close else "correct the name"
    return f"{place} {name!r} is in no record of the first page (fields there: {_names(first)}); {mend}"


def _told(place: str, path: str, document: Any, where: str, likely: str | None = None) -> str:
    """A sentence about a path that leads to nothing in `document`."""
    there, nearest = _nearest(path, document)
    likely = likely or nearest
    mend = f"write {place.rpartition('.')[2]}: {likely}" if likely else "correct the path, or leave it out"
    return f"{place} {path!r} leads to nothing in {where} ({there}); {mend}"


def _nearest(path: str, document: Any) -> tuple[str, str | None]:
    """What stands where a path leads to nothing, and a path like it that leads to something."""
    if not isinstance(document, dict):
        return f"it is a {type(document).__name__}, not an object", None
    names = re.findall(r'[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+"', path) if _PLAIN.fullmatch(path) else []
    here: Any = document
    gone: list[str] = []
    for name in (name.strip('"') for name in names):
        if not isinstance(here.get(name), dict):
            keys = [str(key) for key in here if _OF_RUNS.search(name) or not _OF_RUNS.search(str(key))]
            close = difflib.get_close_matches(name, keys, 1, 0.6)
            last = names[-1].strip('"')
            if close and name == last:
                return _there(here, gone), _path((*gone, close[0]))
            return _there(here, gone), _elsewhere(last, document)
        here, gone = here[name], [*gone, name]
    return _there(document, []), None


def _there(here: Mapping[str, Any], gone: Sequence[str]) -> str:
    return f"keys {'in ' + _path(gone) if gone else 'there'}: {_names(here)}"


def _names(here: Mapping[str, Any]) -> str:
    names = [str(name)[:40] for name in list(here)[:_SHOWN]]
    return ", ".join(names) + (", …" if len(here) > _SHOWN else "") if names else "none"


def _elsewhere(name: str, document: Mapping[str, Any]) -> str | None:
    """Where a key of this name, or one much like it, stands in the document."""
    paths = {path: path[-1] for path, _ in _leaves(document)}
    same = next((path for path, last in paths.items() if last == name), None)
    if same is None:
        close = difflib.get_close_matches(name, list(paths.values()), 1, 0.8)
        same = next((path for path, last in paths.items() if close and last == close[0]), None)
    return None if same is None else _path(same)


def _is_said_null(path: str, document: Any) -> bool:
    """Whether what the path leads through is null, by which an API says that there is no next page."""
    names = [name.strip('"') for name in re.findall(r'[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+"', path)]
    if not _PLAIN.fullmatch(path):
        return False
    return any(compile_path(_path(names[:length]))(document) is None for length in range(1, len(names)))


def _pointer(document: Any, kept: str | None) -> str | None:
    """Where the answer names a next page, as far as its name and value tell; at `kept` is what the next run needs."""
    for path, value in _leaves(document):
        is_value = isinstance(value, str | int) and not isinstance(value, bool) and not is_end(value)
        if is_value and _NEXT.search(path[-1]) and not _OF_RUNS.search(path[-1]) and _path(path) != kept:
            return _path(path)
    return None


def _leaves(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(document, dict) or len(path) >= _DEPTH:
        return
    for name, value in list(document.items())[:200]:
        yield (*path, str(name)), value
        yield from _leaves(value, (*path, str(name)))


def _path(names: Sequence[str]) -> str:
    return ".".join(name if _NAME.fullmatch(name) else '"' + name.replace('"', '\\"') + '"' for name in names)
