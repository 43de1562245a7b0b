"""Texts that PostgreSQL and JSON can hold: none with NUL or half of a surrogate pair."""

_INSTEAD = "\ufffd"


def is_storable(text: str) -> bool:
    """Whether a row and a message can hold `text`."""
    return text.isprintable() or ("\0" not in text and _is_whole(text))


def storable(text: str) -> str:
    """`text` with U+FFFD for what no row can hold."""
    if is_storable(text):
        return text
    return text.replace("\0", _INSTEAD).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_fault(text: str) -> str | None:
    """Why no row and no message can hold `text`; None when they can."""
    if is_storable(text):
        return None
    return "holds a NUL character" if "\0" in text else "holds half a surrogate pair"
