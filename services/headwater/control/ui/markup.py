"""HTML that cannot be forgotten to be escaped: only what `element` makes is markup, every other text is text."""

from collections.abc import Iterable
from html import escape
from typing import Final, Union
from uuid import UUID

VOID: Final = frozenset({"input", "meta", "br", "hr", "link"})
_ADDRESSES: Final = frozenset({"href", "action", "src", "formaction"})
# What would not be seen, or would turn the order of what is seen: control characters, and those of two directions.
_TURNING: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_VISIBLE: Final = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"},
    0x7F: "\u2421",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" for code in _TURNING},
}


class Markup(str):
    """HTML whose texts are escaped. Made by `element` and `text` alone."""

    __slots__ = ()


Content = Union[str, int, float, UUID, None, Iterable["Content"]]  # noqa: UP007 - it names itself
Attribute = str | int | bool | None
NOTHING: Final = Markup("")


def text(content: Content) -> Markup:
    """`content` as markup: texts are escaped, and what is invisible in them is shown; None is nothing."""
    if content is None:
        return NOTHING
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        seen = content.encode("utf-8", "backslashreplace").decode().translate(_VISIBLE)
        return Markup(escape(seen))
    if isinstance(content, Iterable):
        return Markup("".join(map(text, content)))
    return text(str(content))


def is_shown_as_it_is(content: str) -> bool:
    """Whether a page shows the very characters of `content`, so that they come back from a form."""
    return content.translate(_VISIBLE) == content


def element(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """An element. `class_` and `for_` lose their underscore, others become hyphens; None and False leave one out.

    Raises: ValueError for an address that does not lie on this server: nothing that came from elsewhere is a link.
    """
    told = "".join(_attribute(_name(key), value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{text(content)}</{name}>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    if name in _ADDRESSES and not _is_ours(str(value)):
        raise ValueError(f"{name} is no address of this server")
    return f' {name}="{text(str(value))}"'


def _is_ours(address: str) -> bool:
    return address.startswith(("/", "?", "#")) and not address.startswith(("//", "/\\"))
