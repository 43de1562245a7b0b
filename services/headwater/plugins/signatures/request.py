"""A request as it came over the wire, and strict reading of its headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from headwater.plugins.signatures.reasons import Refused

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature may cover. `url` is the full public URL the sender used; headers are in wire order.

    `unique` are the headers by lower-case name, where it is known already that each is there once.
    """

    method: str
    url: str
    headers: Headers
    body: bytes
    unique: Mapping[bytes, bytes] | None = field(default=None, repr=False, compare=False)


def header_values(request: SignedRequest, name: bytes) -> list[bytes]:
    """All values of a header, in wire order. `name` is in lower case."""
    if request.unique is not None:
        value = request.unique.get(name)
        return [] if value is None else [value]
    size = len(name)
    return [value for key, value in request.headers if len(key) == size and key.lower() == name]


def optional_header(request: SignedRequest, name: bytes) -> bytes | None:
    """The value of a header that may be missing but not be there twice."""
    if request.unique is not None:
        return request.unique.get(name)
    values = header_values(request, name)
    if len(values) > 1:
        raise Refused("header_duplicated", name.decode("ascii"))
    return values[0] if values else None


def single_header(request: SignedRequest, name: bytes) -> bytes:
    """The value of a header that must be there exactly once."""
    value = optional_header(request, name)
    if value is None:
        raise Refused("header_missing", name.decode("ascii"))
    return value


def query_of(url: str) -> tuple[str, str]:
    """The URL up to its question mark, and the query as it was written."""
    before, _, query = url.partition("?")
    return before, query


def parameter_name(field: str) -> bytes:
    """The name of one field of a query, decoded."""
    return unquote_to_bytes(field.partition("=")[0].replace("+", " "))


def single_parameter(request: SignedRequest, name: bytes) -> str:
    """The value of a query parameter that must be there exactly once, as it was written."""
    found = [field for field in query_of(request.url)[1].split("&") if parameter_name(field) == name]
    if len(found) != 1:
        reason = "parameter_duplicated" if found else "parameter_missing"
        raise Refused(reason, name.decode("utf-8"))
    return found[0].partition("=")[2]


def spelled_parameter(request: SignedRequest, name: bytes) -> bytes:
    """The same, decoded as forms are."""
    return unquote_to_bytes(single_parameter(request, name).replace("+", " "))
