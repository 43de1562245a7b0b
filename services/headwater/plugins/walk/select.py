"""From a document to its records: a missing list is not an empty one, and a bad record is rejected alone."""

import difflib
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from headwater.contracts.codec import dumps
from headwater.model.errors import ContractError, SourceError
from headwater.plugins.expressions import MISSING, Getter, compile_path
from headwater.plugins.walk.formats import Unreadable

WARNING_SINGLE = "single_record"
_DIGEST_BYTES = 12
_NONCE = bytes(12)
_SAMPLE_CHARACTERS = 120
_NO_OBJECT = "not an object but "
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_PLAIN_BEGINNING = re.compile(rf"{_PLAIN.pattern}(?=\[|$)")  # `rows.row[].{…}` begins at `rows.row`

_PREFIXED = re.compile(r'"[A-Za-z_][^":]*:([^"]+)"')
_NAME_OR_PLAIN = re.compile(rf"[A-Za-z_][A-Za-z0-9_]*|{_PLAIN.pattern}")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be taken: its place on the page (from 0) and why."""

    index: int
    reason: str


class Selected(NamedTuple):
    """The records of a page; `received_count` counts the rejected too, `digest` is "" for an empty page; `columns` are
    those of CSV.

    `body` are the records as a JSON list, where they had to be written anyway; `is_plain`: that is known to be plain
    (`is_plain_json`).
    """

    records: list[Any]
    rejected: tuple[Rejected, ...] = ()
    received_count: int = 0
    warnings: tuple[str, ...] = ()
    digest: str = ""
    body: bytes | None = None
    is_plain: bool = False
    columns: tuple[str, ...] = ()


NOTHING = Selected([])


def select_records(
    document: Any, path: Getter | None, label: str | None, *, one_page: bool, may_lack: bool = False
) -> Selected:
    """The records in `document`.

    A null or empty object where the list should be is an empty list, a single object one record (with a
    warning). Without a path the document itself is the list; an object is then one record only where the walk
    has but one page (`one_page`), since elsewhere it is likelier an error or an envelope. With `may_lack` (XML, which
    has no lists) one element is one record, and nothing in an element that is there are no records, with a warning.
    Raises: SourceError `records_missing` when nothing is at the path, or something that cannot be records.
    """
    found = document if path is None else path(document)
    if isinstance(found, list):
        return _checked(found, ())
    if found is MISSING and may_lack and label is not None and (lack := _lack(document, label)) is not None:
        return Selected([], warnings=(f"path_unmatched: {lack}",))
    if found is MISSING:
        text = f"records.path {label!r} leads to nothing in the answer{_hint(document)}"
        if may_lack and label is not None and _PREFIXED.search(label):
            text += (
                f"; names stand without the prefix of their namespace: write {_PREFIXED.sub(_bare, label)}"
            )
        if label is not None and (_PLAIN if _lists_in(document) else _NAME_OR_PLAIN).fullmatch(label):
            text += f"; where an answer without records leaves it out, write '{label} || `[]`'"
        raise SourceError("records_missing", text)
    if found is None or found == {}:
        return NOTHING
    if isinstance(found, dict):
        if path is None and not one_page:
            raise SourceError(
                "records_missing", f"the answer is an object, not a list: set records.path{_hint(document)}"
            )
        return _checked([found], () if path is None or may_lack else (WARNING_SINGLE,))
    where = "the answer" if path is None else f"what records.path {label!r} leads to"
    raise SourceError("records_missing", f"{where} is a {type(found).__name__}, not a list of records")


def _bare(prefixed: re.Match[str]) -> str:
    return prefixed[1] if _NAME_OR_PLAIN.fullmatch(prefixed[1]) else f'"{prefixed[1]}"'


def _lack(document: Any, label: str) -> str | None:
    """What is said of an element without the children that are the records; None where the element is not there
    either, or has others of much the same name.
    """
    plain = _PLAIN_BEGINNING.match(label)
    if plain is None:
        return None
    outer, _, name = plain[0].rpartition(".")
    element = compile_path(outer)(document)
    others = list(element) if isinstance(element, dict) else []
    if element is MISSING or difflib.get_close_matches(name, others, 1, 0.6):
        return None
    return f"records.path {label!r}: {outer} has no {name}, which is taken for an empty list"


def _hint(document: Any) -> str:
    """Where lists are in the document, for people who correct a path."""
    if not isinstance(document, dict):
        return ""
    names = _lists_in(document)[:5]
    keys = [name[:60] for name in document][:8]
    return f" (lists in it: {', '.join(names)})" if names else f" (keys in it: {', '.join(keys)})"


def _lists_in(document: Any, depth: int = 3) -> list[str]:
    """The paths of the lists in the objects of a document, those nearer to its top first."""
    if not isinstance(document, dict) or not depth:
        return []
    parts = list(document.items())[:100]
    here = [name[:60] for name, value in parts if isinstance(value, list)]
    return here + [f"{name[:60]}.{path}" for name, value in parts for path in _lists_in(value, depth - 1)]


def digest_of(body: bytes) -> str:
    """What tells a page's records, as JSON, from those of any other page: 24 hexadecimal digits.

    GMAC (NIST SP 800-38D) under a key that everybody knows: nobody gains from forging it, and it takes a small part of
    the time that a hash takes (`make bench`, digest).
    """
    return _mac()(_NONCE, b"", body)[:_DIGEST_BYTES].hex()


@functools.cache
def _mac() -> Callable[[bytes, bytes, bytes], bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - heavy; only fetchers need it

    return AESGCM(bytes(16)).encrypt


def _checked(found: list[Any], warnings: tuple[str, ...]) -> Selected:
    """`found` without what is no object or has no JSON form that can be stored."""
    is_plain = set(map(type, found)) == {dict}  # most often; looked at one by one it would take longer
    records = found if is_plain else [record for record in found if isinstance(record, dict)]
    rejected = [] if len(records) == len(found) else _no_objects(found)
    whole: bytes | None = None
    try:
        body = whole = dumps(records)
    except ContractError:
        records, body, unwritable = _writable(found)
        rejected += unwritable
    digest = digest_of(body) if found else ""
    ordered = tuple(sorted(rejected, key=lambda one: one.index))
    return Selected(records, ordered, len(found), warnings, digest, whole)


def _no_objects(found: list[Any]) -> list[Rejected]:
    return [
        Rejected(index, _no_object(record))
        for index, record in enumerate(found)
        if not isinstance(record, dict)
    ]


def _no_object(record: Any) -> str:
    if isinstance(record, Unreadable):
        return record.reason
    return f"{_NO_OBJECT}{type(record).__name__}"


def no_object_kind(rejected: Rejected) -> str | None:
    """What the record is instead of an object; None where that is not why it was rejected."""
    is_kind = rejected.reason.startswith(_NO_OBJECT)
    return rejected.reason.removeprefix(_NO_OBJECT) if is_kind else None


def _writable(found: list[Any]) -> tuple[list[Any], bytes, list[Rejected]]:
    """Those of `found` that have a JSON form (not too deep, no lone surrogate), their bytes, the others."""
    records: list[Any] = []
    bodies: list[bytes] = []
    rejected: list[Rejected] = []
    for index, record in enumerate(found):
        if not isinstance(record, dict):
            continue
        try:
            bodies.append(dumps(record))
        except ContractError as error:
            rejected.append(Rejected(index, str(error)[:_SAMPLE_CHARACTERS]))
        else:
            records.append(record)
    return records, b",".join(bodies), rejected
