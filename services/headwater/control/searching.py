"""What deliveries are searched by, in lists and for replays."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from headwater.contracts.base import Closed
from headwater.store.deliveries import Search

_HEADER, _BODY = "header:", "body."


def _header_of(text: str, separator: str) -> tuple[str, str | None]:
    name, found, value = text.partition(separator)
    if not name.strip():
        raise ValueError("names no header")
    return name.strip(), value.strip() if found else None


def _place_of(text: str) -> tuple[list[str], str | None]:
    path, found, value = text.partition("=")
    keys = path.strip().split(".")
    if not all(keys):
        raise ValueError("is no place: write keys with dots between them, data.object.id")
    return keys, value if found else None


def _is_readable(text: str) -> str:
    if text.startswith(_HEADER):
        _header_of(text.removeprefix(_HEADER), "=")
    elif text.startswith(_BODY):
        _place_of(text.removeprefix(_BODY))
    return text


def _is_header(text: str) -> str:
    _header_of(text, ":")
    return text


def _is_place(text: str) -> str:
    _place_of(text)
    return text


_Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class Searched(Closed):
    """Texts that deliveries are found by; all that are given must hold."""

    q: Annotated[_Text, AfterValidator(_is_readable)] | None = Field(
        default=None,
        description="An id of ours or the provider's, a text in the body, `header:NAME=VALUE`, or a place in a "
        "JSON body: `body.data.id=VALUE` (without `=`: it is there).",
    )
    header: Annotated[_Text, AfterValidator(_is_header)] | None = Field(
        default=None, description="`NAME`, or `NAME: VALUE` (its whole value)."
    )
    payload: Annotated[_Text, AfterValidator(_is_place)] | None = Field(
        default=None, description="A place in a JSON body, `data.id`, or `data.id=VALUE`."
    )

    def search(self) -> Search:
        """What the texts ask for."""
        text, header, payload = self.q, None, None
        if text is not None and text.startswith(_HEADER):
            header, text = _header_of(text.removeprefix(_HEADER), "="), None
        elif text is not None and text.startswith(_BODY):
            payload, text = _place_of(text.removeprefix(_BODY)), None
        if self.header is not None:
            header = _header_of(self.header, ":")
        if self.payload is not None:
            payload = _place_of(self.payload)
        return Search(text, header, payload)
