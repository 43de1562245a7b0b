"""JSON as the YAML reader takes it: nearly all JSON is YAML, and the rest is written otherwise."""

import re

from headwater.contracts.codec import loads
from headwater.model.errors import ContractError

_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
# YAML 1.1 takes some of these for the end of a line, and refuses others where they stand by themselves
_UNLIKE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def json_as_yaml(text: str) -> str:
    """The same values on the same lines: tabs can only be white space, pairs of surrogate escapes are one character,
    and what YAML reads otherwise is escaped. Raises: ContractError.
    """
    loads(text.encode("utf-8"))
    plain = _UNLIKE.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\t", " "))
    return _PAIR.sub(_joined, plain)


def manifest_as_yaml(text: str) -> str:
    """A manifest that is JSON as `json_as_yaml` has it; any other as it is."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json_as_yaml(text)
    except (ContractError, UnicodeEncodeError):
        return text  # YAML in braces, or a mistake whose place the YAML reader knows


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return match[1] + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
